"""Places: how many notifications a process has in flight at most, shared by its threads and its loop."""

from __future__ import annotations

import threading


class Places:
    """A counted semaphore. One place is taken per notification and given back when its coroutine ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._free = threading.Semaphore(count)
        self._closed = False

    def take(self) -> bool:
        """Waits for a place; False once closed."""
        while not self._closed:
            if self._free.acquire(timeout=0.5):
                return True
        return False

    def take_up_to(self, wanted: int) -> int:
        """Takes as many places as are free now, at most `wanted`, without waiting; returns how many."""
        taken = 0
        while taken < wanted and self._free.acquire(blocking=False):
            taken += 1
        return taken

    def give_back(self, places: int = 1) -> None:
        if places:
            self._free.release(places)

    def close(self) -> None:
        """Lets nobody wait any longer."""
        self._closed = True
