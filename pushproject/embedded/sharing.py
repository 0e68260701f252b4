"""Lets our processes share one embedded server: the first starts it, the last stops it.

Who uses it is said by a shared lock on a file, which the kernel drops even after a kill -9.
"""

import atexit
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from threading import Lock
from typing import IO

from django.db.utils import OperationalError

from pushproject.embedded.cluster import Cluster, ClusterError


class SharedCluster:
    """This process's hold on the cluster; a forked child takes one of its own."""

    def __init__(self, data: Path) -> None:
        self.cluster = Cluster(data)
        self._thread_lock = Lock()
        self._users: IO[str] | None = None
        self._pid = 0

    @classmethod
    @cache
    def at(cls, data: Path) -> "SharedCluster":
        return cls(data)

    def attach(self) -> None:
        """Returns with the server up; raises OperationalError with one line saying why it is not.

        Cheap when it is, and heals when it is not: a server that was killed is started again.
        """
        if self._pid == os.getpid() and self.cluster.is_up():
            return
        try:
            with self._thread_lock, self._turn():
                self._hold()
                if not self.cluster.is_up():
                    self.cluster.start()
        except (ClusterError, OSError) as error:
            raise OperationalError(f"embedded PostgreSQL: {error}") from error

    def detach(self) -> None:
        """Lets go of the server, and stops it when nobody else holds it."""
        if self._users is None or self._pid != os.getpid():
            return
        with self._turn(), suppress(BlockingIOError, ClusterError):
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.cluster.stop()
        self._users.close()
        self._users, self._pid = None, 0

    def _hold(self) -> None:
        if self._pid == os.getpid():
            return
        self._users = self._beside(".users").open("a")
        fcntl.flock(self._users, fcntl.LOCK_SH)
        self._pid = os.getpid()
        atexit.register(self.detach)

    @contextmanager
    def _turn(self) -> Iterator[None]:
        """One process at a time starts or stops the server."""
        path = self._beside(".lock")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _beside(self, suffix: str) -> Path:
        return self.cluster.data.with_name(self.cluster.data.name + suffix)
