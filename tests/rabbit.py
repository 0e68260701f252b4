"""A RabbitMQ node of the tests' own, with a name, ports, cookie and directory of its own."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from tests import packages
from tests.processes import ServiceError, answers, end, free_port, spawn, wait_until

VARIABLE = "TEST_RABBITMQ_NODE"
SCRIPTS = (Path("/usr/lib/rabbitmq/bin"), Path("/opt/rabbitmq/sbin"), Path("/opt/homebrew/sbin"))
CONFIGURATION = """\
listeners.tcp.1 = 127.0.0.1:{port}
disk_free_limit.absolute = 50MB
"""

_servers: dict[int, subprocess.Popen[bytes]] = {}  # by port; of this process


def find_scripts() -> Path | None:
    """The directory of RabbitMQ's own scripts; those on Debian's PATH insist on being root."""
    on_path = shutil.which("rabbitmq-server")
    places = [*SCRIPTS, Path(on_path).resolve().parent] if on_path else SCRIPTS
    return next((place for place in places if (place / "rabbitmq-server").exists()), None)


def install() -> Path:
    """RabbitMQ's scripts, installed by apt-get if need be. Raises ServiceError with one line."""
    found = find_scripts()
    if found is None:
        packages.install("rabbitmq-server")
        found = find_scripts()
    if found is None:
        raise ServiceError("RabbitMQ is not installed, nor can it be from here: install rabbitmq-server.")
    return found


@dataclass(frozen=True)
class RabbitNode:
    """A node in `directory`; the tests find the wrapper's through the environment."""

    directory: Path
    scripts: Path
    port: int
    dist_port: int
    epmd_port: int

    @classmethod
    def create(cls, directory: Path) -> Self:
        directory.mkdir()
        node = cls(directory, install(), free_port(), free_port(), free_port())
        (directory / "rabbitmq.conf").write_text(CONFIGURATION.format(port=node.port))
        (directory / "enabled_plugins").write_text("[].\n")
        (directory / "epmd").symlink_to(shutil.which("epmd") or "epmd")
        return node

    @classmethod
    def from_env(cls) -> Self:
        """The node that `python -m tests.services` brought up. Raises KeyError without it."""
        given = json.loads(os.environ[VARIABLE])
        places = {name: Path(given.pop(name)) for name in ("directory", "scripts")}
        return cls(**places, **given)

    def variables(self) -> dict[str, str]:
        return {"RABBITMQ_URL": self.url, VARIABLE: json.dumps(asdict(self), default=str)}

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}/%2F"

    @property
    def name(self) -> str:
        return f"push-{self.port}@localhost"

    def spawn(self) -> None:
        """Starts the node and returns at once; `wait` waits for it."""
        if not answers(self.epmd_port):
            port = ["-port", str(self.epmd_port)]
            epmd = spawn(
                "epmd", [str(self.directory / "epmd"), *port], self.directory, env=self._env(), cwd=self.directory
            )
            wait_until(lambda: answers(self.epmd_port), epmd, self.directory / "epmd.out")
        server = str(self.scripts / "rabbitmq-server")
        _servers[self.port] = spawn("rabbitmq", [server], self.directory, env=self._env(), cwd=self.directory)

    def wait(self) -> None:
        """Returns when the node takes connections. Raises ServiceError when it will not."""
        out = self.directory / "rabbitmq.out"
        wait_until(lambda: answers(self.port), _servers[self.port], out)

    def start(self) -> None:
        self.spawn()
        self.wait()

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """kill -9: what was not on disk is gone, as after a power cut."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        end(self.directory / "rabbitmq.pid", number, self.directory)
        while answers(self.port):  # a process of many threads is a zombie before its sockets close
            time.sleep(0.01)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """It stands still: connections stay open, nothing answers."""
        pid = int((self.directory / "rabbitmq.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def restart(self) -> None:
        self.stop()
        self.start()

    def close_all_connections(self, reason: str = "test") -> None:
        self.ctl("close_all_connections", reason)

    def list_queues(self) -> dict[str, int]:
        """Messages, ready and unacknowledged, by queue."""
        lines = self.ctl("-q", "list_queues", "--no-table-headers", "name", "messages").splitlines()
        return {name: int(count) for name, count in (line.rsplit("\t", 1) for line in lines)}

    def ctl(self, *arguments: str) -> str:
        """What rabbitmqctl says; 0.5 to 1.5 s of CPU. Raises ServiceError."""
        command = [str(self.scripts / "rabbitmqctl"), *arguments]
        done = subprocess.run(command, env=self._env(), check=False, capture_output=True, text=True)
        if done.returncode:
            raise ServiceError(f"rabbitmqctl {arguments[0]}: {done.stdout}{done.stderr}")
        return done.stdout

    def _env(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if k in ("PATH", "LANG", "LC_ALL")}
        base = str(self.directory)
        return kept | {
            "HOME": base,  # the Erlang cookie
            "RABBITMQ_NODENAME": self.name,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_DIST_PORT": str(self.dist_port),
            "RABBITMQ_MNESIA_BASE": base,
            "RABBITMQ_LOG_BASE": base,
            "RABBITMQ_CONFIG_FILE": f"{base}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{base}/advanced.config",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{base}/enabled_plugins",
            "RABBITMQ_CONF_ENV_FILE": f"{base}/none",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none",  # do not spin on shared cores
            "ERL_EPMD_PORT": str(self.epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RUNNING_UNDER_SYSTEMD": "yes",  # the script becomes the node, so its pid is the node's
        }
