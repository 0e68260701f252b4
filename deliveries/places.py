"""Places: how many notifications a process has in flight at most, shared by its threads and its loop."""

from __future__ import annotations

import math
import threading

#: A waiting thread is woken up for so many places at once: one by one, it would be switched to for each notification.
WORTH_WAKING = 50


class Places:
    """Counts places: one is taken per notification in flight and given back when its coroutine ends.

    Nobody waits while holding some: two batches that each held half of the places would wait for each other for ever.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = count
        self._closed = False
        self._needed = math.inf
        self._changed = threading.Condition()

    def take(self, wanted: int) -> int:
        """Waits until it is worth it, takes up to `wanted` places and returns how many; 0 once closed."""
        enough = min(wanted, self.count, WORTH_WAKING)
        with self._changed:
            while not self._closed and self._free < enough:
                self._needed = min(self._needed, enough)
                self._changed.wait()
            return 0 if self._closed else self._take(wanted)

    def take_up_to(self, wanted: int) -> int:
        """Takes as many places as are free now, at most `wanted`, without waiting; returns how many, 0 once closed."""
        with self._changed:
            return 0 if self._closed else self._take(wanted)

    def give_back(self, places: int = 1) -> None:
        with self._changed:
            self._free += places
            if self._free >= self._needed:
                self._needed = math.inf  # whoever still lacks some says so again
                self._changed.notify_all()

    def close(self) -> None:
        """Gives out no more places, and lets nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, wanted: int) -> int:
        taken = min(wanted, self._free)
        self._free -= taken
        return taken
