"""A disk that is full: PostgreSQL cannot extend its tables, then cannot go on with its log, and gives up."""

import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

import psycopg
import pytest
from django.db import connection

from tests.chaos.scene import Scene
from tests.postgres import PostgresServer
from tests.processes import free_port
from tests.rabbit import RabbitNode
from tests.world import SandboxProcess, WorkerProcess, eventually, query

SIZE = "256m"


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of a few megabytes, which is ours alone to fill."""
    directory = Path(tempfile.mkdtemp(prefix="push-test-"))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=0711", "tmpfs", str(directory)]
    mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
    if not mounted.returncode:
        yield directory
        subprocess.run(["umount", "--lazy", directory], check=True)
    directory.rmdir()
    if mounted.returncode:
        pytest.skip(
            f"No small file system can be mounted here, so that only what PostgreSQL says of a full disk is"
            f" tested, not the disk: {mounted.stderr.strip()}"
        )


@contextmanager
def copied(postgres: PostgresServer, disk: Path) -> Iterator[PostgresServer]:
    """A copy of the server with all that is in it, on that disk; Django finds itself there."""
    copy = PostgresServer(disk / "postgres", free_port())
    copy.directory.mkdir()
    copy.directory.chmod(0o777)  # under root the server is another user
    copy.cluster.run("pg_basebackup", "-d", postgres.url, "-D", copy.directory / "data", "--checkpoint=fast")
    try:
        copy.start()
        connection.close()
        connection.settings_dict["PORT"] = str(copy.port)
        yield copy
    finally:
        connection.close()
        connection.settings_dict["PORT"] = str(postgres.port)
        copy.crash()


@pytest.mark.fault("disk full")
def test_a_full_disk_stops_everything_and_loses_nothing(
    transactional_db: None,
    rabbit: RabbitNode,
    postgres: PostgresServer,
    sandbox: SandboxProcess,
    small_disk: Path,
    tmp_path: Path,
) -> None:
    ballast = small_disk / "ballast"
    with copied(postgres, small_disk) as server:
        scene = Scene(rabbit, server, sandbox, tmp_path)
        try:
            worker = _nothing_is_accepted_or_lost(scene, lambda: fill(ballast))
            processes = worker.children()
            with suppress(psycopg.Error), psycopg.connect(server.url, autocommit=True) as operator:
                while True:  # until the log needs a new file, and PostgreSQL panics
                    operator.execute("SELECT pg_logical_emit_message(false, 'chaos', 'x'), pg_switch_wal()")
            assert scene.health()["status"] == "down"
            server.crash()  # what is left of it
            ballast.unlink()
            server.start()
            scene.drained()
            assert worker.children() == processes, "it comes back by itself"
            scene.check()
        finally:
            scene.close()


def fill(ballast: Path) -> None:
    """Leaves no room on its disk."""
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(1 << 20))


@pytest.mark.fault("disk full")
def test_what_postgresql_says_of_a_full_disk_refuses_no_change_for_good(scene):
    """The same without a disk: every write fails with the error of a full one."""
    worker = _nothing_is_accepted_or_lost(scene, refuse_rows)
    query("DROP FUNCTION disk_is_full CASCADE")
    scene.drained()
    assert "A change was refused" not in worker.words()
    scene.check()


def refuse_rows() -> None:
    query(
        "CREATE FUNCTION disk_is_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION"
        " 'could not extend file: No space left on device' USING ERRCODE = 'disk_full'; END $$"
    )
    query("CREATE TRIGGER disk_is_full BEFORE INSERT ON notifications EXECUTE FUNCTION disk_is_full()")


def _nothing_is_accepted_or_lost(scene: Scene, fill: Callable[[], None]) -> WorkerProcess:
    """A worker and a server whose database's disk is filled under load. Returns the worker."""
    worker = scene.worker()
    scene.serve()
    worker.wait_until_ready()
    scene.publish(f"before-{number}" for number in range(100))
    fill()
    ids = (f"posted-{number}" for number in count())
    eventually(lambda: scene.post(next(ids)) == 503, what="an API that promises nothing")
    scene.publish(f"during-{number}" for number in range(200))
    eventually(lambda: scene.health()["status"] == "down", what="a health that says so")
    left = scene.rabbit.list_queues()["push.queue"]  # first: what is acked after this is a row below
    [[rows]] = query("SELECT count(*) FROM notifications")
    assert rows + left >= len(scene.confirmed), "nothing is acked that is no row"
    assert worker.running
    return worker
