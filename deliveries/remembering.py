"""An answer that is kept for a while, so that no number of probes asks more often."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Lock
from typing import Generic, ParamSpec, TypeVar

Parameters = ParamSpec("Parameters")
Answer = TypeVar("Answer")


class Remembered(Generic[Parameters, Answer]):
    """An answer that is asked for again only when it is `seconds` old, by one thread at a time."""

    def __init__(self, ask: Callable[Parameters, Answer], seconds: float) -> None:
        self._ask = ask
        self._seconds = seconds
        self._lock = Lock()
        self._answer: list[Answer] = []
        self._good_until = float("-inf")

    def __call__(self, *how: Parameters.args, **more: Parameters.kwargs) -> Answer:
        """What `ask` returned last; raises what it raises."""
        with self._lock:
            if time.monotonic() > self._good_until:
                self._answer = [self._ask(*how, **more)]
                self._good_until = time.monotonic() + self._seconds
            return self._answer[0]

    def forget(self) -> None:
        """Lets the next call ask."""
        self._good_until = float("-inf")
