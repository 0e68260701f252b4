"""A clock that a test moves, in the place of a module's `time`: nothing waits, and a busy machine changes nothing."""

from __future__ import annotations

from types import ModuleType

import pytest


class Clock:
    """Stands still at `now` (s) until it is moved, or slept by."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


def clock_of(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Clock:
    """From now on the clock of a module that says `time.monotonic()`."""
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock
