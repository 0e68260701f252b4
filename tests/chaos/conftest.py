"""What tests of faults start from."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.chaos.scene import Scene
from tests.postgres import PostgresServer
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


@pytest.fixture
def scene(
    transactional_db: None, rabbit: RabbitNode, postgres: PostgresServer, sandbox: SandboxProcess, tmp_path: Path
) -> Iterator[Scene]:
    """A scene with the sandbox that answers at once."""
    scene = Scene(rabbit, postgres, sandbox, tmp_path)
    yield scene
    scene.close()


@pytest.fixture
def slow_scene(transactional_db: None, rabbit: RabbitNode, postgres: PostgresServer, tmp_path: Path) -> Iterator[Scene]:
    """A scene whose FCM books a push at once and answers a fifth of a second later: hundreds are in the air."""
    sandbox = SandboxProcess(tmp_path / "sandbox", "--fcm-latency", "200")
    scene = Scene(rabbit, postgres, sandbox, tmp_path)
    yield scene
    scene.close()
    sandbox.stop()
