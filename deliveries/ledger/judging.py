"""Judging: what becomes of dead tokens when too many died at once to be believed, and when a person has decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand
from deliveries.masking import FINGERPRINT
from deliveries.models import AuditEntry

#: So many tokens are held in one statement: all of a bad hour at once would keep every send of its worker waiting.
BATCH = 5000

# What the user service has been told is not untold, and what a person has believed stays believed. It waits for nobody:
# what is locked, somebody else holds or calls dead at this moment.
HOLD = f"""
UPDATE dead_tokens SET held_at = now(), report_due_at = NULL
WHERE id IN (
    SELECT id FROM dead_tokens t
    WHERE provider = ANY(%(providers)s) AND died_at > now() - make_interval(secs => %(window)s) AND held_at IS NULL
      AND (reported_at IS NULL OR reported_at < died_at)
      AND NOT EXISTS (
          SELECT FROM audit_log a WHERE a.subject = t.id::text AND a.action = 'believe' AND a.at > t.died_at)
    ORDER BY died_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED)
"""

HELD = "SELECT DISTINCT provider FROM dead_tokens WHERE held_at > now() - make_interval(secs => %(window)s)"

# Its memory begins anew, and is as long as it was meant to be when it died.
BELIEVE = """
UPDATE dead_tokens
SET held_at = NULL, report_attempts = 0, remembered_until = now() + (remembered_until - died_at),
    report_due_at = CASE WHEN %(tells)s AND fate = 'dead' AND (reported_at IS NULL OR reported_at < died_at)
                         THEN now() END
WHERE id IN (SELECT id FROM dead_tokens WHERE id = ANY(%(ids)s) ORDER BY token_hash FOR UPDATE)
  AND held_at IS NOT NULL
RETURNING id, token_hash, user_id
"""

FORGET = """
DELETE FROM dead_tokens
WHERE id IN (SELECT id FROM dead_tokens WHERE id = ANY(%(ids)s) ORDER BY token_hash FOR UPDATE)
RETURNING id, token_hash, user_id
"""


@dataclass(slots=True)
class HoldDeadTokens:
    """Holds a batch of what these providers called dead within `window` seconds and nobody has been told of.

    Results in how many it held: fewer than BATCH where none is left.
    """

    rank: ClassVar[int] = 25

    providers: list[str]
    window: float

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[HoldDeadTokens], hand: Hand) -> list[int]:
        return [
            cursor.execute(HOLD, {"providers": change.providers, "window": change.window}).rowcount
            for change in changes
        ]


@dataclass(slots=True)
class RecentlyHeld:
    """Results in the providers of which tokens were held within `window` seconds."""

    rank: ClassVar[int] = 26

    window: float

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[RecentlyHeld], hand: Hand) -> list[list[str]]:
        return [
            [provider for (provider,) in cursor.execute(HELD, {"window": change.window}).fetchall()]
            for change in changes
        ]


@dataclass(frozen=True, slots=True)
class Believe:
    """A held token is dead after all: it is remembered, and the user service is owed word (if it is told at all).

    Results in `believed` or `not_held`.
    """

    rank: ClassVar[int] = 34

    token_id: int
    by: Audited
    tells: bool

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Believe], hand: Hand) -> list[str]:
        """For changes by one asker."""
        cursor.execute(BELIEVE, {"ids": [c.token_id for c in changes], "tells": changes[0].tells})
        believed = _written_down(cursor, AuditEntry.Action.BELIEVE, changes[0].by)
        return ["believed" if change.token_id in believed else "not_held" for change in changes]


@dataclass(frozen=True, slots=True)
class Forget:
    """A token counts as living: its row goes. Results in `forgotten` or `unknown_token`."""

    rank: ClassVar[int] = 35

    token_id: int
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Forget], hand: Hand) -> list[str]:
        """For changes by one asker."""
        cursor.execute(FORGET, {"ids": [c.token_id for c in changes]})
        forgotten = _written_down(cursor, AuditEntry.Action.FORGET, changes[0].by)
        return ["forgotten" if change.token_id in forgotten else "unknown_token" for change in changes]


def _written_down(cursor: Cursor[Any], action: AuditEntry.Action, by: Audited) -> set[int]:
    """Audits the rows that the last statement returned; returns their ids."""
    found = cursor.fetchall()
    details = {str(id): {"device": digits[:FINGERPRINT], "user": user} for id, digits, user in found}
    write_down(cursor, action, by, details)
    return {id for id, _, _ in found}
