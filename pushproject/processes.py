"""Servers that we start beside us, in the demo and in tests: they end with us, and are found if not."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

END_SECONDS = 20
PR_SET_PDEATHSIG = 1
PROC = Path("/proc")

_children: list[subprocess.Popen[bytes]] = []


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def spawn(name: str, command: list[str], directory: Path, **how: Any) -> subprocess.Popen[bytes]:
    """Starts a server that dies with us; its words go to `name`.out, its pid to `name`.pid.

    To be called from the main thread: Linux ties the child to the thread.
    """
    with (directory / f"{name}.out").open("a") as out:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,  # a Ctrl-C is for us, and we pass it on
            preexec_fn=_die_with_parent(),  # noqa: PLW1509
            **how,
        )
    (directory / f"{name}.pid").write_text(f"{process.pid}\n")
    _children.append(process)
    return process


def _die_with_parent() -> Callable[[], Any] | None:
    """The kernel sends the child SIGTERM when we die, kill -9 included. Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None).prctl
    return lambda: prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def end(pid_file: Path, number: signal.Signals, mark: object) -> None:
    """Ends the process that `pid_file` names, if `mark` is still in its command line."""
    with suppress(OSError, ValueError):
        pid = int(pid_file.read_text().split()[0])
        if str(mark) in command_line(pid):
            os.kill(pid, number)
            _wait_for_end(pid)
    pid_file.unlink(missing_ok=True)


def _wait_for_end(pid: int) -> None:
    deadline = time.monotonic() + END_SECONDS
    while is_alive(pid):
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def is_alive(pid: int) -> bool:
    """Whether there is such a process, and not just its remains."""
    for child in _children:
        child.poll()
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return not is_zombie(pid)


def is_zombie(pid: int) -> bool:
    """Whether it is dead and only waits for its parent to notice. Linux only; else False."""
    with suppress(OSError):
        return (PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def command_line(pid: int) -> str:
    """The command line of a living process; empty for a dead one or a zombie."""
    if PROC.exists():
        with suppress(OSError):
            return (PROC / str(pid) / "cmdline").read_text(errors="replace").replace("\0", " ")
        return ""
    said = ["ps", "-o", "args=", "-p", str(pid)]
    return subprocess.run(said, capture_output=True, text=True, check=False).stdout
