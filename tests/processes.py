"""Waiting for the servers that the tests start."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from pushproject.processes import answers, end, free_port, spawn

__all__ = ["ServiceError", "answers", "end", "free_port", "spawn", "wait_until"]

START_SECONDS = 90


class ServiceError(Exception):
    """A server that the tests need cannot be had; the message is for a person."""


def wait_until(ready: Callable[[], bool], process: subprocess.Popen[bytes], out: Path) -> None:
    """Returns when the server is ready; raises ServiceError with its last words if it ends."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None or time.monotonic() > deadline:
            raise ServiceError(f"{out.stem} did not start: {out.read_text()[-2000:]}")
        time.sleep(0.02)
