"""A PostgreSQL of the tests' own, durable as in production; made to be killed."""

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pushproject.embedded.cluster import SUPERUSER, Cluster, server_account
from tests.processes import end, free_port, spawn, wait_until

VARIABLE = "TEST_POSTGRES"

_servers: dict[int, subprocess.Popen[bytes]] = {}  # by port; of this process


@dataclass(frozen=True)
class PostgresServer:
    """A server in `directory`, on `port`; the tests find the wrapper's through the environment."""

    directory: Path
    port: int

    @classmethod
    def create(cls, directory: Path) -> Self:
        directory.mkdir()
        return cls(directory, free_port())

    @classmethod
    def from_env(cls) -> Self:
        """The server that `python -m tests.services` brought up. Raises KeyError without it."""
        directory, port = json.loads(os.environ[VARIABLE])
        return cls(Path(directory), port)

    def variables(self) -> dict[str, str]:
        return {"DATABASE_URL": self.url, VARIABLE: json.dumps([str(self.directory), self.port])}

    @property
    def url(self) -> str:
        return f"postgresql://{SUPERUSER}@127.0.0.1:{self.port}/{SUPERUSER}"

    @property
    def cluster(self) -> Cluster:
        return Cluster(self.directory / "data", self.port, tcp=True)

    def spawn(self) -> None:
        """Starts the server and returns when it is about to be up; `wait` waits for it."""
        self.cluster.initialise()
        account = server_account()
        who = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        self.cluster.forget_the_dead()
        _servers[self.port] = spawn("postgres", self.cluster.command(), self.directory, **who)

    def wait(self) -> None:
        """Returns when the server takes connections. Raises ServiceError when it will not."""
        out = self.directory / "postgres.out"
        wait_until(self.cluster.is_up, _servers[self.port], out)

    def start(self) -> None:
        self.spawn()
        self.wait()

    def stop(self) -> None:
        self._end(signal.SIGINT)  # "fast": clients are cut off, everything is written

    def kill(self) -> None:
        """kill -9 of the server; its children notice and leave."""
        self._end(signal.SIGKILL)

    def crash(self) -> None:
        """It goes at once, under everybody's feet ("immediate"): the next start recovers from its log."""
        self._end(signal.SIGQUIT)

    def restart(self) -> None:
        """A crash, and a start at once."""
        self.crash()
        self.start()

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its processes stand still: connections stay open, nothing answers. Linux only."""
        server = int(self._pid_file.read_text())
        pids = [server, *map(int, Path(f"/proc/{server}/task/{server}/children").read_text().split())]
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)

    def _end(self, number: signal.Signals) -> None:
        end(self._pid_file, number, self.directory)

    @property
    def _pid_file(self) -> Path:
        return self.directory / "postgres.pid"


def _signal(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
