"""Redriving: what a dead letter becomes, and many of them at a rate, each when its turn comes.

They wait in their rows; the redrive office of any worker takes those that are due.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.conf import settings
from django.db import connection

from deliveries.contract import InvalidMessage, read
from deliveries.ledger import direct
from deliveries.ledger.accepting import Accept
from deliveries.ledger.audit import Audited
from deliveries.ledger.bulk_redriving import QUEUE, QueueUp, Stop
from deliveries.ledger.redriving import Redrive
from deliveries.ledger.selecting import COUNTED_LETTERS, LETTER_CAUSES, LETTERS_OF_CAUSE, MOST_LETTERS, REDRIVE_QUEUE
from deliveries.models import AuditEntry, DeadLetter
from deliveries.neighbours.profiles import in_force

__all__ = ["COUNTED_LETTERS", "MOST_LETTERS"]

#: Letters a minute: what a service that has just recovered takes without noticing, and what one worker has time for.
USUAL_RATE, HIGHEST_RATE = 600, 6000

CUT = "Only a part of its body was kept, so it cannot be read again. Have it published anew."


class NotReadable(ValueError):
    """A dead letter cannot be redriven: `code` and a sentence."""

    def __init__(self, code: str, sentence: str) -> None:
        self.code = code
        super().__init__(sentence)


@dataclass(frozen=True, slots=True)
class Cause:
    """Open dead letters that share a code and a first reason but for its particulars; `key` names it in an address.

    `messages` counts what came twice twice; `kept` were tried in vain, with a `note` why; `samples`
    were made up by the demo; `cut`: there may be more.
    """

    code: str
    cause: str
    key: str
    letters: int
    messages: int
    first_seen_at: datetime
    last_seen_at: datetime
    example: int
    queued: int
    kept: int
    note: str
    samples: int
    cut: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """How far a redrive is: of `total` letters `left` are left, the last of them due at `ends_at`; who asked for it."""

    total: int
    left: int
    ends_at: datetime
    asked: AuditEntry | None

    @property
    def done(self) -> int:
        return self.total - self.left


def redrive_of(letter: DeadLetter, who: Audited) -> Redrive:
    """The message of a letter as an actor reads it, to be accepted. Raises NotReadable."""
    if letter.size > len(letter.body):
        raise NotReadable("cut", CUT)
    push = settings.PUSH
    try:
        request = read(
            bytes(letter.body),
            message_id=letter.notification_id,
            correlation_id=letter.correlation_id or None,
            trust_tokens=push.trust_message_tokens,
        )
    except InvalidMessage as invalid:
        raise NotReadable("still_invalid", f"It still cannot be accepted: {invalid}.") from None
    accept = Accept(request, "redrive", in_force(push).is_high(request.priority), push.notification_ttl)
    return Redrive(letter.pk, accept, who)


def causes() -> list[Cause]:
    """Why letters are open, the most first, counted among the newest COUNTED_LETTERS of each code."""
    return [Cause(**row) for row in _rows(LETTER_CAUSES)]


def letters_of(cause: Cause) -> list[int]:
    """The ids of its letters, the oldest first, MOST_LETTERS at most."""
    return [row["id"] for row in _rows(LETTERS_OF_CAUSE, code=cause.code, key=cause.key)]


def queue_up(cause: Cause, rate: int, who: Audited) -> int:
    """Lets its letters be redriven, `rate` a minute, behind what is queued already. Returns how many it queued."""
    [queued] = direct.write([QueueUp(cause.code, cause.cause, cause.key, rate, who)])
    return int(queued)


def stop(who: Audited) -> int:
    """Lets nothing of what is queued be redriven. Returns how many were left."""
    [left] = direct.write([Stop(who)])
    return int(left)


def queue() -> Queue | None:
    """What waits to be redriven; None where nothing does."""
    [row] = _rows(REDRIVE_QUEUE)
    if not row["letters"]:
        return None
    asked = AuditEntry.objects.filter(subject=QUEUE, action=AuditEntry.Action.REDRIVE).order_by("-at").first()
    detail = asked.detail if asked else {}
    total = detail.get("ahead", 0) + detail.get("letters", 0)
    return Queue(max(total, row["letters"]), row["letters"], row["ends_at"], asked)


def _rows(statement: str, **values: Any) -> list[dict[str, Any]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values or None)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
