"""Braking: a provider's pause becomes a row that every process sees, and one whose reason is gone is lifted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import Hand, rows, token
from deliveries.ramp import RAMP

#: The least that sends are slowed down to, in sends per second.
SLOWEST = 1.0

# Of sends that were in the air together the one that was told to wait longest decides; a pause that grows is a new one,
# for the places on the ramp of the old one come too early. One that follows on another's ramp halves the pace.
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
                WHEN b.until + make_interval(secs => greatest(b.taken, {RAMP})) > now()
                THEN greatest(b.pace / 2, {SLOWEST}) ELSE excluded.pace END,
    until = excluded.until, round = excluded.round, taken = 0
WHERE b.until < excluded.until
"""


@dataclass(slots=True)
class Braked:
    """Nothing that `key` holds for is sent for `wait` seconds; then it climbs to `pace` sends a second.

    Results in None.
    """

    rank: ClassVar[int] = 23

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
        cursor.execute(BRAKE, rows(list(longest.values())))
        return [None] * len(changes)
