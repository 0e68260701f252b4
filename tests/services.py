"""Runs a command beside RabbitMQ and PostgreSQL: `python -m tests.services <command…>`.

What an earlier run left behind, because it was killed, is stopped first.
"""

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pushproject.embedded.cluster import ClusterError
from tests.postgres import PostgresServer
from tests.processes import ServiceError, end
from tests.rabbit import RabbitNode

#: Of the name of a run's directory.
PREFIX = "push-test-"
RECORDS = Path(__file__).resolve().parent.parent / "var" / "test-services"


def leave(directory: Path) -> None:
    """Ends whatever runs in a run's directory, and removes it. Nobody needs the data any more."""
    end(directory / "rabbitmq" / "rabbitmq.pid", signal.SIGKILL, directory)
    end(directory / "rabbitmq" / "epmd.pid", signal.SIGTERM, directory)
    end(directory / "postgres" / "postgres.pid", signal.SIGQUIT, directory)
    shutil.rmtree(directory, ignore_errors=True)


def clear_leftovers() -> None:
    """A record that nobody holds a lock on belongs to a run that was killed."""
    for record in RECORDS.glob("*.run"):
        with suppress(FileNotFoundError), record.open("r+") as file:  # another run may clear up at the same moment
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            directory = Path(file.read().strip())
            if directory.name.startswith(PREFIX):  # and not whatever an empty record would name: where we stand
                leave(directory)
            record.unlink(missing_ok=True)


@contextmanager
def run_directory() -> Iterator[Path]:
    """A directory for one run, on record until it is gone."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    clear_leftovers()
    directory = Path(tempfile.mkdtemp(prefix=PREFIX))
    directory.chmod(0o711)  # under root the servers are other users
    record = RECORDS / f"{directory.name}.run"
    written = record.with_suffix(".new")  # nobody sees it before it is whole and locked: others begin beside us
    with written.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(str(directory))
        file.flush()
        written.rename(record)
        try:
            yield directory
        finally:
            leave(directory)
            record.unlink(missing_ok=True)


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Two runs that begin at once must not both install what they lack."""
    RECORDS.mkdir(parents=True, exist_ok=True)
    with (RECORDS / "install.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def services() -> Iterator[dict[str, str]]:
    """Both servers, up; gives the variables that name them. Raises ServiceError, ClusterError."""
    with run_directory() as directory:
        with one_at_a_time():
            node = RabbitNode.create(directory / "rabbitmq")
        server = PostgresServer.create(directory / "postgres")
        node.spawn()
        server.spawn()  # while the node boots
        server.wait()
        node.wait()
        yield node.variables() | server.variables()


def run(command: list[str], variables: dict[str, str]) -> int:
    """The command's exit status. A Ctrl-C reaches it by itself, a SIGTERM through us."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    process = subprocess.Popen(
        command,
        env=os.environ | variables,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    signal.signal(signal.SIGTERM, lambda *_: process.terminate())
    status = process.wait()
    return status if status >= 0 else 128 - status


def main(command: list[str]) -> int:
    if not command:
        sys.stderr.write("usage: python -m tests.services <command…>\n")
        return 2
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        with services() as variables:
            return run(command, variables)
    except (ServiceError, ClusterError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
