"""Brakes: what a provider's "not now" holds up, how it is called, and how fast sends climb afterwards."""

from __future__ import annotations

import socket
from uuid import UUID

from deliveries.ledger import Braked
from deliveries.ledger.holding import brake_keys, token_hash
from deliveries.masking import fingerprint
from deliveries.work import Delivery
from providers.errors import Scope

#: Sends per second that a device and a topic climb to. FCM allows a device 240 a minute.
#: https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
PACE = {"device": 4.0, "topic": 1.0}


class Brakes:
    """Puts brakes on, in the name of one worker; a project climbs to `pace` sends a second."""

    def __init__(self, worker_id: UUID | None, pace: float) -> None:
        self._worker_id = worker_id
        self._pace = pace

    def on(self, delivery: Delivery, scope: Scope, code: str, advice: str, wait: float) -> Braked:
        """For `wait` seconds nothing of this scope is sent: what is said of `target` is of this device or topic."""
        word = scope if scope != "target" else "topic" if delivery.target == "topic" else "device"
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

    def _subject(self, word: str, delivery: Delivery) -> str:
        """What it holds for, in words."""
        subjects = {
            "project": delivery.provider,
            "process": f"worker {str(self._worker_id)[:8]} on {socket.gethostname()}",
            "topic": delivery.device_token,
            "device": f"#{fingerprint(delivery.device_token)}",
        }
        return subjects[word]
