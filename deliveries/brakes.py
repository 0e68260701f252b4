"""Brakes: what a provider's "not now" holds up, how it is called, and how fast sends climb afterwards."""

from __future__ import annotations

import logging
import socket
import time
from uuid import UUID

from deliveries.ledger import Braked, Lift
from deliveries.ledger.holding import brake_keys, process_key, token_hash
from deliveries.masking import fingerprint
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
        self._let_in: set[str] = set()  # those of them that took a send since
        self._paused: dict[str, float] = {}  # providers whose project has to wait, and until when

    def on(self, delivery: Delivery, scope: Scope, code: str, advice: str, wait: float) -> Braked:
        """For `wait` seconds nothing of this scope is sent: what is said of `target` is of this device or topic."""
        word = scope if scope != "target" else "topic" if delivery.target == "topic" else "device"
        self._note(word, delivery.provider, f"{code}: {advice}", wait)
        return Braked(
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

    def accepted(self, provider: str, began: float) -> None:
        """The provider has taken a send that began then, by the monotonic clock: it lets this process in again."""
        if self._shut_out and self._shut_out.get(provider, began) < began:
            self._let_in.add(provider)

    @property
    def shut_out(self) -> bool:
        """Whether some provider does not let this process in, as far as is known."""
        return bool(self._shut_out)

    def over(self, mended: list[str]) -> list[str]:
        """The providers that have let this process in again, or may well: those whose credentials are `mended`."""
        return [name for name in self._shut_out if name in self._let_in or name in mended]

    def lift(self, provider: str) -> Lift:
        """What ends the pause of this process."""
        return Lift(process_key(self._worker_id, provider), self._pace)

    def lifted(self, provider: str) -> None:
        """Forgets the pause, and says so."""
        why = "takes pushes of this process again" if provider in self._let_in else "has other credentials now"
        logger.warning("The pause is over: %s %s, and what waited is sent", provider, why)
        del self._shut_out[provider]
        self._let_in.discard(provider)

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
