"""The servers that tests may ask for; those that ask for none run without."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import PostgresServer
from tests.rabbit import RabbitNode

pytest_plugins = ["tests.world", "tests.api_client"]

#: `--hypothesis-profile chaos`: other examples every time, for about ten minutes.
settings.register_profile(
    "chaos",
    max_examples=3000,
    stateful_step_count=80,
    derandomize=False,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
)

MISSING = "{} is not up: run `make test`, or `python -m tests.services pytest …`"


@pytest.fixture(scope="session")
def rabbitmq() -> RabbitNode:
    """The run's own RabbitMQ node, which a test may kill if it starts it again."""
    try:
        return RabbitNode.from_env()
    except KeyError:
        pytest.fail(MISSING.format("RabbitMQ"), pytrace=False)


@pytest.fixture(scope="session")
def postgres() -> PostgresServer:
    """The run's own PostgreSQL server, which a test may kill if it starts it again."""
    try:
        return PostgresServer.from_env()
    except KeyError:
        pytest.fail(MISSING.format("PostgreSQL"), pytrace=False)


@pytest.fixture(scope="module")
def passable() -> Iterator[Path]:
    """A directory for an embedded PostgreSQL, which runs as another user when we are root.

    pytest's own are closed to others, again by every run that starts meanwhile.
    """
    directory = Path(tempfile.mkdtemp(prefix="push-test-"))
    directory.chmod(0o711)
    yield directory
    shutil.rmtree(directory, ignore_errors=True)
