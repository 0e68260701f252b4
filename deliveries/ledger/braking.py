"""Braking: a provider's pause becomes a row that every process sees, and one whose reason is gone is lifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import Hand, rows, token
from deliveries.ledger.holding import IS_ON, LAST, LOCK, SINCE
from deliveries.models import AuditEntry
from deliveries.ramp import RAMP

#: So many times it slows down at most, and so many earlier rounds are kept in mind.
SLOWEST, ROUNDS = 64, 100

#: Sends that a ramp has to have carried until a refusal says that it is too steep: the first probe says nothing of it.
CARRIED = 20

#: What a pause or a lift makes void: whoever has a place in the round that was.
VOID = f"(array_prepend(b.round, b.earlier_rounds))[1:{ROUNDS}]"

# Of sends that were in the air together the one that was told to wait longest decides; a pause that grows is a new one,
# for the places on the ramp of the old one come too early. One that ends another's ramp halves the pace.
BRAKE = f"""
INSERT INTO brakes AS b (
    key, scope, subject, provider, code, advice, notification_id, until, round, pace, full_pace)
SELECT key, scope, subject, provider, code, advice, notification_id, now() + make_interval(secs => wait), round, pace,
    pace
FROM json_to_recordset(%(rows)s::json) AS i(
    key text, scope text, subject text, provider text, code text, advice text, notification_id text, wait float8,
    round bigint, pace float8)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    code = excluded.code, advice = excluded.advice, notification_id = excluded.notification_id,
    set_at = CASE WHEN b.until > now() THEN b.set_at ELSE now() END,
    pace = CASE WHEN b.until > now() THEN b.pace
                WHEN {SINCE} >= {RAMP} THEN excluded.full_pace
                WHEN b.pace * {SINCE} ^ 2 / (2 * {RAMP}) >= {CARRIED}
                THEN greatest(b.pace / 2, excluded.full_pace / {SLOWEST})
                ELSE b.pace END,
    earlier_rounds = CASE WHEN {IS_ON} OR b.lifted THEN {VOID} ELSE '{{}}' END,
    full_pace = excluded.full_pace, until = excluded.until, round = excluded.round, taken = 0, taken_urgent = 0
WHERE b.until < excluded.until AND b.round <> excluded.round
"""


@dataclass(slots=True)
class Braked:
    """Nothing that `key` holds for is sent for `wait` seconds; then sends climb to `pace` a second.

    Results in None. What locks brakes has ranks in a row: together they are one lock, and nothing lies between.
    """

    rank: ClassVar[int] = -2

    key: str
    scope: str
    subject: str
    provider: str
    code: str
    advice: str
    notification_id: str
    wait: float
    pace: float
    round: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Braked], hand: Hand) -> list[None]:
        longest = {change.key: change for change in sorted(changes, key=lambda change: change.wait)}
        cursor.execute(LOCK)
        cursor.execute(BRAKE, rows(list(longest.values())))
        return [None] * len(changes)


LIFT = f"""
UPDATE brakes b
SET until = CASE WHEN i.ramp THEN now() ELSE now() - make_interval(secs => {RAMP}) END, round = i.round,
    earlier_rounds = {VOID}, lifted = true, taken = 0, taken_urgent = 0, pace = b.full_pace
FROM json_to_recordset(%(rows)s::json) AS i(key text, round bigint, ramp bool)
WHERE b.key = i.key AND {IS_ON} AND b.round <> i.round
"""

LIFTED = """
SELECT b.key FROM brakes b JOIN json_to_recordset(%(rows)s::json) AS i(key text, round bigint)
ON b.key = i.key AND b.round = i.round
"""


@dataclass(slots=True)
class Lift:
    """The pause is over: sends climb to their full pace from now on, or are there without a `ramp`.

    Results in whether it was on. What waits is woken up by everybody's watch (`waking.Wake`): its places are void.
    """

    rank: ClassVar[int] = -1

    key: str
    ramp: bool = True
    by: Audited | None = None
    round: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Lift], hand: Hand) -> list[bool]:
        wishes = rows([{"key": c.key, "round": c.round, "ramp": c.ramp} for c in changes])
        cursor.execute(LOCK)
        cursor.execute(LIFT, wishes)
        cursor.execute(LIFTED, wishes)
        lifted = {key for (key,) in cursor.fetchall()}
        for change in changes:
            if change.by is not None and change.key in lifted:
                write_down(cursor, AuditEntry.Action.LIFT, change.by, {change.key: {}})
        return [change.key in lifted for change in changes]


@dataclass(slots=True)
class PausesOver:
    """Results in those of the brakes' keys whose pause is over, or was ended by somebody."""

    rank: ClassVar[int] = 36

    keys: list[str]

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[PausesOver], hand: Hand) -> list[list[str]]:
        asked = [key for change in changes for key in change.keys]
        cursor.execute("SELECT key FROM brakes WHERE key = ANY(%s) AND until <= now()", (asked,))
        over = [key for (key,) in cursor.fetchall()]
        return [[key for key in change.keys if key in over] for change in changes]


# There may be one for each of many devices.
IS_OLD = f"""
FROM brakes b
WHERE {LAST} < now() - CASE WHEN b.scope IN ('device', 'topic') THEN interval '1 hour' ELSE interval '1 day' END
  AND NOT b.lifted
"""


@dataclass(slots=True)
class TidyBrakes:
    """Forgets the brakes of devices and topics that have been over for an hour, and others after a day."""

    rank: ClassVar[int] = 0

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[TidyBrakes], hand: Hand) -> list[None]:
        if cursor.execute(f"SELECT 1 {IS_OLD} LIMIT 1").fetchone():
            cursor.execute(LOCK)
            cursor.execute(f"DELETE {IS_OLD}")
        return [None] * len(changes)
