"""A circuit breaker for coroutines: pybreaker counts and decides, and nobody waits inside its lock.

`pybreaker.CircuitBreaker.call()` locks for as long as the call takes, and around many awaits
`calling()` lets all of them through when half-open. So the call is awaited outside and only its
outcome is reported. Added here is what pybreaker leaves open: one probe at a time, outcomes that
come too late to mean anything, and a clock that cannot jump.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, NoReturn, Self

from pybreaker import (
    STATE_CLOSED,
    STATE_OPEN,
    CircuitBreaker,
    CircuitBreakerListener,
    CircuitBreakerState,
)

logger = logging.getLogger(__name__)

#: Calls whose durations are kept, for their 95th percentile.
CALLS = 200


class BreakerOpen(Exception):
    """Not admitted; `retry_after` is in seconds."""

    def __init__(self, name: str, retry_after: float) -> None:
        super().__init__(f"{name} is failing; not called for another {retry_after:.1f} s")
        self.retry_after = retry_after


class Ticket:
    """The right to make one call, whose outcome is to be reported once; later reports are ignored.

    As a context manager it gives its place back when no outcome was reported: a 4xx, a 429, a cancelled call.
    """

    __slots__ = ("_breaker", "_used", "began", "era")

    def __init__(self, breaker: Breaker, era: int) -> None:
        self.era = era
        self.began = time.monotonic()
        self._breaker = breaker
        self._used = False

    def success(self) -> None:
        """The peer did what was asked."""
        self._report(_succeed)

    def failure(self, why: str) -> None:
        """The peer is in trouble: a timeout, a network fault or a 5xx. In a few words: people read them."""
        with suppress(_Failure):
            self._report(_fail, why)

    def _report(self, outcome: Callable[[], None] | None, why: str = "") -> None:
        if not self._used:
            self._used = True
            self._breaker.settle(self, outcome, why)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._report(None)


class Breaker(CircuitBreakerListener):
    """Closed until `fail_max` failures in a row, then open for `reset_timeout` s, then half-open.

    Half-open admits one call at a time, whose outcome closes it or opens it again. For one event
    loop: there is no await between looking and deciding, so there is no lock of ours.
    """

    def __init__(self, name: str, fail_max: int, reset_timeout: float) -> None:
        self.name = name
        self.reset_timeout = reset_timeout
        self._circuit = CircuitBreaker(
            fail_max=fail_max,
            reset_timeout=reset_timeout,
            name=name,
            listeners=[self],
            throw_new_error_on_trip=False,
        )
        self._era = 0
        self._probe: Ticket | None = None
        self._failing = False
        self._failing_since = 0.0
        self._opened_at = 0.0
        self._last_error = ""
        self._durations: deque[float] = deque(maxlen=CALLS)

    @property
    def state(self) -> str:
        """`closed`, `open` or `half-open`."""
        return self._circuit.current_state

    @property
    def retry_after(self) -> float:
        """Seconds until a call may be admitted; 0 when one would be now."""
        if self.state == STATE_CLOSED:
            return 0.0
        if self._probe is not None:
            return self.reset_timeout / 10  # by then it is known how the probe ended, or soon
        return max(0.0, self._opened_at + self.reset_timeout - time.monotonic())

    def admit(self) -> Ticket:
        """Returns the Ticket of a call that may be made now; raises BreakerOpen."""
        if self.state == STATE_CLOSED:
            return Ticket(self, self._era)
        wait = self.retry_after
        if wait > 0:
            raise BreakerOpen(self.name, wait)
        if self.state == STATE_OPEN:
            self._circuit.half_open()
        self._probe = Ticket(self, self._era)
        return self._probe

    def settle(self, ticket: Ticket, outcome: Callable[[], None] | None, why: str = "") -> None:
        """Reports the outcome of a call, if it began in the present state; a Ticket calls it."""
        self._durations.append(time.monotonic() - ticket.began)
        if self._probe is ticket:
            self._probe = None
        if outcome is None or ticket.era != self._era:
            return
        if outcome is _succeed and not self._failing:
            return  # it would reset a counter that stands at zero
        if outcome is not _succeed:
            self._note_failure(why)
        self._failing = outcome is not _succeed
        self._circuit.call(outcome)

    def snapshot(self) -> dict[str, Any]:
        """For health and metrics, in seconds. `failing_for` counts from the first failure since the last success."""
        return {
            "name": self.name,
            "state": self.state,
            "failures": self._circuit.fail_counter,
            "retry_after": round(self.retry_after, 1),
            "failing_for": round(time.monotonic() - self._failing_since, 1) if self._failing else None,
            "last_error": self._last_error,
            "p95": self.p95,
        }

    def _note_failure(self, why: str) -> None:
        if not self._failing:
            self._failing_since = time.monotonic()
        self._last_error = why

    @property
    def p95(self) -> float | None:
        """Seconds within which 19 of 20 of the last calls had their answer, or none; None before the first."""
        longest = sorted(self._durations)
        return round(longest[int(0.95 * (len(longest) - 1))], 4) if longest else None

    def state_change(
        self,
        cb: CircuitBreaker,
        old_state: CircuitBreakerState | None,
        new_state: CircuitBreakerState,
    ) -> None:
        """Called by pybreaker."""
        self._era += 1
        if new_state.name == STATE_OPEN:
            self._opened_at = time.monotonic()
        level = logging.WARNING if new_state.name == STATE_OPEN else logging.INFO
        old = old_state.name if old_state else "new"
        logger.log(level, "breaker %s: %s -> %s", cb.name, old, new_state.name)


class _Failure(Exception):
    """Tells pybreaker that a call failed."""


def _succeed() -> None:
    pass


def _fail() -> NoReturn:
    raise _Failure
