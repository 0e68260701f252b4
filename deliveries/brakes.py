"""Brakes: what a provider's "not now" holds up, how it is called, and how fast sends climb afterwards."""

from __future__ import annotations

import logging
import socket
import time
from collections.abc import Iterator
from uuid import UUID

from deliveries.ledger import Braked, Lift
from deliveries.ledger.holding import brake_keys, process_key
from deliveries.masking import fingerprint, token_hash
from deliveries.work import Delivery
from providers.errors import Scope

logger = logging.getLogger(__name__)

#: Sends per second that a scope climbs to. FCM allows a device 240 a minute. A process that is not let in only tries
#: whether it is again: at this pace one send goes out in the first two seconds, and three in four.
#: https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
PACE = {"device": 4.0, "topic": 1.0, "process": 30.0}


class Brakes:
    """Puts brakes on, in the name of one worker, and knows which it has put on. A project climbs to `pace` a second.

    The log has a line for each pause of everything: when it begins and when it is over, not for each notification.
    """

    def __init__(self, worker_id: UUID | None, pace: float) -> None:
        self._worker_id = worker_id
        self._pace = pace
        self._shut_out: dict[str, float] = {}  # providers that do not let this process in, and since when
        self._pause_ends: dict[str, float] = {}  # of those, when they may be tried again
        self._lifted: dict[str, float] = {}  # when it was lifted: what was asked before says nothing any more
        self._let_in: set[str] = set()  # those of them that judged a send since
        self._paused: dict[str, float] = {}  # providers whose project has to wait, and until when

    def on(
        self, delivery: Delivery, scope: Scope, code: str, advice: str, wait: float, began: float
    ) -> Iterator[Braked]:
        """For `wait` seconds nothing of this scope is sent: what is said of `target` is of this device or topic.

        The send that was refused began then, by the monotonic clock.
        """
        if scope == "process" and began < self._lifted.get(delivery.provider, began):
            return
        word = scope if scope != "target" else "topic" if delivery.target == "topic" else "device"
        self._note(word, delivery.provider, f"{code}: {advice}", wait)
        yield Braked(
            brake_keys(delivery, token_hash(delivery.device_token), self._worker_id)[word],
            word,
            self._subject(word, delivery),
            delivery.provider,
            code,
            advice,
            delivery.notification_id,
            wait,
            PACE.get(word, self._pace),
        )

    def let_in(self, provider: str, began: float) -> None:
        """The provider has judged a push whose send began then, by the monotonic clock: it lets this process in."""
        if self._shut_out and self._shut_out.get(provider, began) < began:
            self._let_in.add(provider)

    def shut_out(self) -> bool:
        """Whether some provider does not let this process in, as far as is known."""
        return bool(self._shut_out)

    def probes(self) -> int | None:
        """How many sends this process may claim, to try whether it is let in again; None where it is.

        0 while the pause is on: it would take a push out of the others' hands just when it is due, again and again.
        """
        if not self._shut_out:
            return None
        return int(any(self._pause_ends[name] <= time.monotonic() for name in self._shut_out))

    def pauses(self) -> list[str]:
        """The keys of this process's pauses that are on, as far as it knows: the ledger may know better."""
        on = (name for name in self._shut_out if self._pause_ends[name] > time.monotonic())
        return [process_key(self._worker_id, name) for name in on]

    def are_over(self, keys: list[str]) -> None:
        """These pauses are over: somebody has lifted them."""
        over = [name for name in self._shut_out if process_key(self._worker_id, name) in keys]
        self._pause_ends |= dict.fromkeys(over, time.monotonic())

    def lifts(self, mended: list[str]) -> list[Lift]:
        """What ends the pauses of this process: at once where it is let in, which is forgotten and said.

        Where only its credentials are `mended`, a probe goes out now.
        """
        let_in = sorted(self._let_in)
        for name in let_in:
            logger.warning("The pause is over: %s takes pushes of this process again, and what waited is sent", name)
            del self._shut_out[name]
        self._let_in.clear()
        probed = [name for name in self._shut_out if name in mended]
        self._lifted |= dict.fromkeys(let_in + probed, time.monotonic())
        self._pause_ends |= dict.fromkeys(probed, time.monotonic())
        lifts = [(name, False) for name in let_in] + [(name, True) for name in probed]
        return [Lift(process_key(self._worker_id, name), ramp) for name, ramp in lifts]

    def tell_of_ends(self) -> None:
        """Says which projects' pauses are over."""
        for name in [name for name, until in self._paused.items() if until <= time.monotonic()]:
            logger.info("The pause is over: sends through %s climb back to their full pace within a minute", name)
            del self._paused[name]

    def _note(self, word: str, provider: str, why: str, wait: float) -> None:
        """Remembers the pause, and says so where it is a new one."""
        if word == "process":
            if provider not in self._shut_out:
                logger.error("Nothing is sent through %s by this process until that is mended. %s", provider, why)
                self._shut_out[provider] = time.monotonic()
            self._pause_ends[provider] = time.monotonic() + wait
        elif word == "project":
            if provider not in self._paused:
                logger.warning("Nothing is sent through %s for %.0f s. %s", provider, wait, why)
            self._paused[provider] = max(self._paused.get(provider, 0.0), time.monotonic() + wait)

    def _subject(self, word: str, delivery: Delivery) -> str:
        """What it holds for, in words."""
        subjects = {
            "project": delivery.provider,
            "process": f"worker {str(self._worker_id)[:8]} on {socket.gethostname()}",
            "topic": delivery.device_token,
            "device": f"#{fingerprint(delivery.device_token)}",
        }
        return subjects[word]
