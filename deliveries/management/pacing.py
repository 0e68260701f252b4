"""Long work in small batches: as fast as allowed, to be stopped between two of them, with a line that tells how far."""

from __future__ import annotations

import math
import signal
import time
from collections.abc import Iterable, Iterator
from itertools import islice
from types import FrameType
from typing import Any, Self, TypeVar

from django.core.management.base import OutputWrapper

T = TypeVar("T")

#: Seconds after which a pause looks again whether it is to end.
BLINK = 0.1


class Interruption:
    """Turns Ctrl-C and SIGTERM into a question that is asked between batches; a second one ends the command at once."""

    def __init__(self) -> None:
        self.asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def pause(self, seconds: float) -> None:
        """Sleeps, but not through an interruption."""
        end = time.monotonic() + seconds
        while not self.asked and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, BLINK))

    def _ask(self, _number: int, _frame: FrameType | None) -> None:
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


def paced(items: Iterable[T], rate: float, interruption: Interruption, most: int = 100) -> Iterator[list[T]]:
    """The items in batches of up to `most`, no more than `rate` items a second, until interrupted."""
    rest = iter(items)
    size = max(1, min(most, int(rate)))
    due = time.monotonic()
    while batch := list(islice(rest, size)):
        interruption.pause(due - time.monotonic())
        if interruption.asked:
            return
        due = max(due, time.monotonic()) + len(batch) / rate
        yield batch


class Progress:
    """One line that tells how far it is, on a terminal only. `total` None: nobody knows how much there is.

    It gets no faster than `most` a second, whatever the first batch took.
    """

    def __init__(self, stream: OutputWrapper, what: str, total: int | None = None, most: float = math.inf) -> None:
        self._stream = stream
        self._what = what
        self._total = total
        self._most = most
        self._begun = time.monotonic()

    def show(self, done: int) -> None:
        self._write(f"{done:,}{self._share(done)} {self._what}, {self._pace(done)}")

    def say(self, text: str) -> None:
        self._write(text)

    def clear(self) -> None:
        """Leaves the line empty, for what is said next."""
        self._write("")

    def _share(self, done: int) -> str:
        return "" if self._total is None else f"/{self._total:,} ({done / max(self._total, 1):.0%})"

    def _pace(self, done: int) -> str:
        rate = min(self._most, done / max(time.monotonic() - self._begun, 0.001))
        left = "" if self._total is None or not rate else f", {(self._total - done) / rate:.0f} s left"
        return f"{rate:,.0f}/s{left}"

    def _write(self, text: str) -> None:
        if self._stream.isatty():
            self._stream.write(f"\r\x1b[K{text}", str, "")
            self._stream.flush()
