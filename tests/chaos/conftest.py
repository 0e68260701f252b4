"""What tests of faults start from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.scene import Scene
from tests.postgres import PostgresServer
from tests.rabbit import RabbitNode
from tests.world import SandboxProcess


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
