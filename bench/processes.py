"""Child processes that end with the bench, however it ends, and what they cost. Linux only."""

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

END_SECONDS = 30
PR_SET_PDEATHSIG = 1
TICKS = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """A run that measures nothing; the message is for a person."""


@contextmanager
def running(
    module: Sequence[str], log: Path, variables: Mapping[str, str] | None = None, *, pinned: bool = False
) -> Iterator[subprocess.Popen[str]]:
    """A Python command in a session of its own, stderr to `log`, stdout for us; ended at the end.

    A `pinned` one runs on one core, as under `taskset -c`.
    """
    prctl = ctypes.CDLL(None).prctl
    core = {max(os.sched_getaffinity(0))} if pinned else None

    def prepare() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if core:
            os.sched_setaffinity(0, core)

    with log.open("w") as words:
        process = subprocess.Popen(
            [sys.executable, *module],
            env=os.environ | (variables or {}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=words,
            text=True,
            start_new_session=True,  # a Ctrl-C is for us: we end our children in order
            preexec_fn=prepare,  # noqa: PLW1509
        )
    try:
        yield process
    finally:
        end(process)


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM, and after half a minute SIGKILL for all that it started."""
    process.terminate()
    try:
        process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if process.stdout:
        process.stdout.close()


def said(process: subprocess.Popen[str], log: Path) -> str:
    """The next line that a process prints. Raises BenchError with its last words if it ends."""
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise BenchError(f"{process.args!r} ended early: {tail(log)}")
    return line


def tail(log: Path, size: int = 3000) -> str:
    return log.read_text(errors="replace")[-size:]


def cpu_seconds(pids: Sequence[int]) -> float:
    """User and system time of processes, all their threads included; to 10 ms. Raises BenchError."""
    return sum(_ticks(pid) for pid in pids) / TICKS


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        raise BenchError(f"worker process {pid} has ended") from None
    return int(fields[11]) + int(fields[12])
