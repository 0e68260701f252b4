"""What tests of faults start from."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from django.db import connection

from tests.chaos.scene import Scene
from tests.postgres import PostgresServer
from tests.processes import answers
from tests.rabbit import RabbitNode
from tests.world import SandboxProcess

_told: list[str] = []


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in _told:
        terminalreporter.write_line(line)


@pytest.fixture
def tell(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Says something at the end of the run, whether the test passes or not."""
    return lambda figures: _told.append(f"{request.node.name}: {figures}")


@pytest.fixture(autouse=True)
def _servers_are_up(request: pytest.FixtureRequest) -> Iterator[None]:
    """Whatever a test leaves behind that fails half-way, the next one finds both servers where they belong."""
    if "transactional_db" not in request.fixturenames:
        yield
        return
    request.getfixturevalue("transactional_db")  # first, so that it is emptied after this
    postgres, rabbit = request.getfixturevalue("postgres"), request.getfixturevalue("rabbitmq")
    yield
    connection.close()
    connection.settings_dict["PORT"] = str(postgres.port)
    if not postgres.cluster.is_up():
        postgres.restart()
    if not answers(rabbit.port):
        rabbit.restart()


@pytest.fixture
def scene(
    transactional_db: None, rabbit: RabbitNode, postgres: PostgresServer, sandbox: SandboxProcess, tmp_path: Path
) -> Iterator[Scene]:
    """A scene with the sandbox that answers at once."""
    with closing(Scene(rabbit, postgres, sandbox, tmp_path)) as scene:
        yield scene


@pytest.fixture
def slow_scene(transactional_db: None, rabbit: RabbitNode, postgres: PostgresServer, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose FCM books a push at once and answers a fifth of a second later: hundreds are in the air."""
    yield from _scene_of_latency("200", rabbit, postgres, tmp_path)


@pytest.fixture
def brisk_scene(
    transactional_db: None, rabbit: RabbitNode, postgres: PostgresServer, tmp_path: Path
) -> Iterator[Scene]:
    """A scene whose FCM answers as quickly as Google's, after 50 ms."""
    yield from _scene_of_latency("50", rabbit, postgres, tmp_path)


def _scene_of_latency(
    milliseconds: str, rabbit: RabbitNode, postgres: PostgresServer, directory: Path
) -> Iterator[Scene]:
    sandbox = SandboxProcess(directory / "sandbox", "--fcm-latency", milliseconds)
    try:
        with closing(Scene(rabbit, postgres, sandbox, directory)) as scene:
            yield scene
    finally:
        sandbox.stop()
