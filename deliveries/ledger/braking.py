"""Braking: a provider's pause becomes a row that every process sees, and one whose reason is gone is lifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.change import ALIVE, Hand, rows, token
from deliveries.ledger.holding import IS_ON, LOCK
from deliveries.models import AuditEntry
from deliveries.ramp import RAMP

#: The least that sends are slowed down to, in sends per second.
SLOWEST = 1.0

# Of sends that were in the air together the one that was told to wait longest decides; a pause that grows is a new one,
# for the places on the ramp of the old one come too early. One that follows on another's ramp halves the pace; but
# what a process tries while it is not let in is slow enough, and a sign of nothing.
BRAKE = f"""
INSERT INTO brakes AS b (key, scope, subject, provider, code, advice, notification_id, until, round, pace)
SELECT key, scope, subject, provider, code, advice, notification_id, now() + make_interval(secs => wait), round, pace
FROM json_to_recordset(%(rows)s::json) AS i(
    key text, scope text, subject text, provider text, code text, advice text, notification_id text, wait float8,
    round bigint, pace float8)
ORDER BY key
ON CONFLICT (key) DO UPDATE SET
    code = excluded.code, advice = excluded.advice, notification_id = excluded.notification_id,
    set_at = CASE WHEN b.until > now() THEN b.set_at ELSE now() END,
    pace = CASE WHEN b.until > now() THEN b.pace
                WHEN {IS_ON} AND b.scope <> 'process' THEN greatest(b.pace / 2, {SLOWEST})
                ELSE excluded.pace END,
    until = excluded.until, round = excluded.round, taken = 0
WHERE b.until < excluded.until AND b.round <> excluded.round
"""


@dataclass(slots=True)
class Braked:
    """Nothing that `key` holds for is sent for `wait` seconds; then it climbs to `pace` sends a second.

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
SET until = CASE WHEN b.round = i.round THEN b.until ELSE now() END, round = i.round, taken = 0,
    pace = coalesce(i.pace, b.pace)
FROM json_to_recordset(%(rows)s::json) AS i(key text, round bigint, pace float8)
WHERE b.key = i.key AND ({IS_ON} OR b.round = i.round)
RETURNING b.key
"""


@dataclass(slots=True)
class Lift:
    """The pause is over: sends climb to `pace` from now on, or to its own. Results in whether it was on.

    What waits for it is to be woken up (`waking.Wake`): the places that it was given are void.
    """

    rank: ClassVar[int] = -1

    key: str
    pace: float | None = None
    by: Audited | None = None
    round: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Lift], hand: Hand) -> list[bool]:
        cursor.execute(LOCK)
        cursor.execute(LIFT, rows([{"key": c.key, "round": c.round, "pace": c.pace} for c in changes]))
        lifted = {key for (key,) in cursor.fetchall()}
        for change in changes:
            if change.by is not None and change.key in lifted:
                write_down(cursor, AuditEntry.Action.LIFT, change.by, {change.key: {}})
        return [change.key in lifted for change in changes]


# A process that is gone brakes nothing any more, but what it held has places on its ramp, far away perhaps.
ABANDONED = f"""
UPDATE brakes b SET until = now() - make_interval(secs => {RAMP}), taken = 0, round = %(round)s
WHERE b.round = %(round)s OR b.scope = 'process' AND {IS_ON} AND {ALIVE} AND NOT EXISTS (
    SELECT FROM workers w
    WHERE starts_with(b.key, w.id::text) AND w.heartbeat_at > now() - make_interval(secs => %(lease)s))
RETURNING b.key
"""

FORGET = f"""
DELETE FROM brakes b WHERE b.until + make_interval(secs => greatest(b.taken, {RAMP})) < now() - interval '1 day'
"""


@dataclass(slots=True)
class TidyBrakes:
    """Ends the brakes of processes that are gone, and forgets those that have been over for a day.

    Results in the keys of the first, whose waiting sends are to be woken up.
    """

    rank: ClassVar[int] = 0

    round: int = field(default_factory=token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[TidyBrakes], hand: Hand) -> list[list[str]]:
        cursor.execute(LOCK)
        cursor.execute(FORGET)
        cursor.execute(ABANDONED, hand.parameters() | {"round": changes[0].round})
        return [[key for (key,) in cursor.fetchall()]] * len(changes)
