"""The demo's servers: the sandbox, and the service that believes it to be the world."""

import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import requests
from py_vapid import Vapid02

from pushproject.environment import BASE_DIR, Environment
from pushproject.processes import answers, end, free_port, spawn

START_SECONDS = 60
# What each command line contains, in the order in which they are stopped.
PROCESSES = {"demo": "manage.py demo", "serve": "manage.py serve", "sandbox": "-m sandbox"}


class DemoError(Exception):
    """The demo cannot go on; the message is one line for a person."""


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """One demo at a time: an older one is stopped first, also what was left of a killed one."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("a") as lock:
        stop(directory)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError("another demo is just starting") from None
        try:
            (directory / "demo.pid").write_text(f"{os.getpid()}\n")
            yield
        finally:
            (directory / "demo.pid").unlink(missing_ok=True)
            stop(directory)


def stop(directory: Path) -> None:
    """Stops whatever is on record in `directory`."""
    for name, mark in PROCESSES.items():
        end(directory / f"{name}.pid", signal.SIGTERM, mark)


def port(wanted: int) -> int:
    """The wanted port or, when somebody has it, a free one."""
    return free_port() if answers(wanted) else wanted


@dataclass
class Demo:
    """The servers, with their logs and pids in `directory`; their data lies beside it."""

    directory: Path
    web_port: int
    sandbox_port: int
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def web(self) -> str:
        return f"http://127.0.0.1:{self.web_port}"

    @property
    def sandbox(self) -> str:
        return f"http://127.0.0.1:{self.sandbox_port}"

    def start_sandbox(self) -> None:
        """Returns when the sandbox answers. Raises DemoError."""
        where = ["--dir", str(self._sandbox_dir), "--port", str(self.sandbox_port)]
        self._start("sandbox", ["-m", "sandbox", *where], f"{self.sandbox}/health")

    def start_service(self) -> None:
        """Returns when the service answers. Raises DemoError."""
        bind = ["--bind", f"127.0.0.1:{self.web_port}"]
        self._start("serve", ["manage.py", "serve", *bind], f"{self.web}/api/v1/health/live")

    def watch(self) -> None:
        """Waits. Raises DemoError when a server ends by itself."""
        while True:
            for name, process in self.running.items():
                if process.poll() is not None:
                    raise DemoError(f"{name} ended by itself: see {self.directory / name}.out")
            time.sleep(0.5)

    @property
    def _sandbox_dir(self) -> Path:
        return self.directory.parent / "sandbox"

    def _variables(self) -> dict[str, str]:
        """The environment of the servers: of our settings only these."""
        ours = {name.upper() for name in Environment.model_fields}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        return kept | {
            "ENV_FILE": "",
            "VAR_DIR": str(self.directory.parent),
            "INSECURE_HTTP": "true",
            "USER_SERVICE_URL": self.sandbox,
            "USER_SERVICE_DEAD_TOKEN_PATH": "/api/v1/users/{user_id}/push-tokens/dead",
            "TEMPLATE_SERVICE_URL": self.sandbox,
            "API_GATEWAY_URL": self.sandbox,
            "FCM_ENDPOINT": self.sandbox,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self._sandbox_dir / "service-account.json"),
            "VAPID_PRIVATE_KEY_FILE": str(self._vapid_key()),
            "VAPID_SUBJECT": "mailto:operator@example.org",
            "WEBPUSH_LOOPBACK": "true",
        }

    def _vapid_key(self) -> Path:
        """The key file of Web Push, made for the first demo and kept: another key would make browsers foreign."""
        path = self.directory / "vapid-private-key.pem"
        if not path.exists():
            vapid = Vapid02()
            vapid.generate_keys()
            path.touch(mode=0o600)
            path.write_bytes(vapid.private_pem())
        return path

    def _start(self, name: str, arguments: list[str], address: str) -> None:
        command = [sys.executable, *arguments]
        process = spawn(name, command, self.directory, env=self._variables(), cwd=BASE_DIR)
        self.running[name] = process
        deadline = time.monotonic() + START_SECONDS
        while not _is_there(address):
            if process.poll() is not None or time.monotonic() > deadline:
                raise DemoError(f"{name} did not start: see {self.directory / name}.out")
            time.sleep(0.1)


def _is_there(address: str) -> bool:
    with suppress(requests.RequestException):
        return requests.get(address, timeout=2).ok
    return False
