"""Pausing: a person stops what a provider sends, in all processes and for as long as it takes, and lets it go on.

It is a brake of its own beside those that the provider puts on: what that asks for meanwhile does not change it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.braking import VOID, Lift
from deliveries.ledger.change import Hand, rows, token
from deliveries.ledger.holding import IS_ON, LOCK, pause_key
from deliveries.models import AuditEntry
from deliveries.models.brakes import UNTIL_RESUMED

#: The word for it in rows of what is held, where a provider's own code would stand.
PAUSED = "paused"

# A pause that is on stays as it is. One on the ramp of the last makes the places there void.
PAUSE = f"""
INSERT INTO brakes AS b (
    key, scope, subject, provider, code, advice, notification_id, until, round, pace, full_pace)
SELECT key, 'operator', provider, provider, '{PAUSED}', advice, '', '{UNTIL_RESUMED:%Y-%m-%d}+00', round, pace, pace
FROM json_to_recordset(%(rows)s::json) AS i(key text, provider text, advice text, round bigint, pace float8)
ON CONFLICT (key) DO UPDATE SET
    advice = excluded.advice, set_at = now(), until = excluded.until, round = excluded.round, taken = 0,
    taken_urgent = 0, pace = excluded.pace, full_pace = excluded.full_pace,
    earlier_rounds = CASE WHEN {IS_ON} OR b.lifted THEN {VOID} ELSE '{{}}' END
WHERE b.until < excluded.until
RETURNING key
"""


@dataclass(slots=True)
class Pause:
    """Nothing is sent through the provider until somebody resumes; then sends climb to `pace` a second.

    Results in whether it was not paused already. The reason goes far, to the gateway too where a notification expires;
    who it was stays in the audit log.
    """

    rank: ClassVar[int] = 45

    provider: str
    pace: float
    by: Audited
    round: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Pause], hand: Hand) -> list[bool]:
        cursor.execute(LOCK)
        return [change._put_on(cursor) for change in changes]

    def _put_on(self, cursor: Cursor[Any]) -> bool:
        brake = {
            "key": pause_key(self.provider),
            "provider": self.provider,
            "advice": f"Sending was paused by an operator: {self.by.reason}",
            "round": self.round,
            "pace": self.pace,
        }
        cursor.execute(PAUSE, rows([brake]))
        if cursor.fetchone() is None:
            return False
        write_down(cursor, AuditEntry.Action.PAUSE, self.by, {self.provider: {}})
        return True


@dataclass(slots=True)
class Resume:
    """The provider's pause is over: what waits is woken up, and sends climb. Results in whether it was paused."""

    rank: ClassVar[int] = 46

    provider: str
    by: Audited

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Resume], hand: Hand) -> list[bool]:
        cursor.execute(LOCK)
        return [change._lift(cursor, hand) for change in changes]

    def _lift(self, cursor: Cursor[Any], hand: Hand) -> bool:
        key = pause_key(self.provider)
        # By how long it lasts, not by now(): a transaction that began before another's resume would find it on.
        if cursor.execute("SELECT FROM brakes WHERE key = %s AND until = %s", (key, UNTIL_RESUMED)).fetchone() is None:
            return False
        Lift.apply(cursor, [Lift(key)], hand)
        write_down(cursor, AuditEntry.Action.RESUME, self.by, {self.provider: {}})
        return True
