"""When to try again, by tenacity's stop and wait objects; the wait is a row's `next_attempt_at`, never a sleep."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tenacity import RetryCallState, stop_after_attempt, wait_exponential
from tenacity.stop import stop_base
from tenacity.wait import wait_base

LONGEST_WAIT = 3600.0

#: A report to the gateway is owed until it is answered: only its pace slows down.
REPORT_FIRST_WAIT = 2.0
REPORT_LONGEST_WAIT = 300.0


def _state(attempts: int) -> RetryCallState:
    state = RetryCallState(retry_object=None, fn=None, args=(), kwargs={})  # type: ignore[arg-type]
    state.attempt_number = attempts
    return state


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often something is tried and how long each wait is; `jitter` adds up to that share of the wait at random."""

    stop: stop_base
    pace: wait_base
    jitter: float

    def exhausted(self, attempts: int) -> bool:
        """Whether that many failed attempts were the last."""
        return bool(self.stop(_state(attempts)))

    def wait(self, attempts: int, asked: float | None = None) -> float:
        """Seconds until the next attempt after that many failed ones; not fewer than the other side `asked` for."""
        wait = self.pace(_state(attempts)) * (1 + self.jitter * random.random())  # noqa: S311 - jitter
        return max(wait, asked or 0.0)


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The backoffs of the service: for connection faults and upstream trouble, and for reports to the gateway."""

    trouble: Backoff
    report: Backoff

    @classmethod
    def of(cls, *, attempts: int, min_wait: float, max_wait: float) -> RetryPolicy:
        stop = stop_after_attempt(attempts)
        trouble = wait_exponential(multiplier=min_wait, min=min_wait, max=max_wait)
        report = wait_exponential(multiplier=REPORT_FIRST_WAIT, max=REPORT_LONGEST_WAIT)
        return cls(Backoff(stop, trouble, 0.1), Backoff(stop, report, 0.1))

    def from_first_wait(self, seconds: float) -> Backoff:
        """Where a provider has a rule of its own: that wait first, doubled each time, plus as much again at random."""
        return Backoff(self.trouble.stop, wait_exponential(multiplier=seconds, max=LONGEST_WAIT), 1.0)
