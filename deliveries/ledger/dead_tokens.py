"""Dead tokens: written down with the send that found them out, and owed to the user service until it is told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from psycopg import Cursor

from deliveries.ledger.change import Hand, rows
from deliveries.ledger.mail import Owed, PaidReport
from deliveries.masking import token_hash
from providers.errors import Fate

# The latest death counts, whichever is written down last. A token that dies again while word of it is owed is the same
# debt, with that time. One that dies again after the user service was told (or refused to be) is a new debt, but for a
# send that had begun before that: it only found out the same once more. The rows are written in the order of their
# hashes, so that two workers never deadlock. What is held or quarantined is owed to nobody, whatever was before; one
# that dies again when nothing is held any more is believed.
WRITE_DOWN = """
INSERT INTO dead_tokens AS t (
    token_hash, device_token, user_id, platform, provider, error_code, fate, notification_id, correlation_id, died_at,
    remembered_until, held_at, report_due_at)
SELECT i.token_hash, i.device_token, i.user_id, i.platform, i.provider, i.error_code, i.fate, i.notification_id,
       i.correlation_id, i.died_at, i.died_at + make_interval(secs => i.remembered_for),
       CASE WHEN i.held THEN now() END,
       CASE WHEN i.report_owed AND NOT i.held AND NOT EXISTS (
           SELECT FROM dead_tokens told JOIN push_deliveries d ON d.id = i.delivery_id
           WHERE told.token_hash = i.token_hash AND d.sending_at < greatest(told.reported_at, told.report_refused_at)
       ) THEN now() + make_interval(secs => greatest(%(pause)s, %(leases)s * %(lease)s)) END
FROM json_to_recordset(%(rows)s::json) AS i(
    token_hash text, device_token text, user_id text, platform text, provider text, error_code text, fate text,
    remembered_for float8, notification_id text, correlation_id text, died_at timestamptz, delivery_id bigint,
    report_owed bool, held bool)
ORDER BY i.token_hash
ON CONFLICT (token_hash) DO UPDATE SET
    user_id = excluded.user_id, platform = excluded.platform, provider = excluded.provider,
    error_code = excluded.error_code, notification_id = excluded.notification_id,
    correlation_id = excluded.correlation_id, fate = excluded.fate, held_at = excluded.held_at,
    remembered_until = excluded.remembered_until, died_at = excluded.died_at,
    report_attempts = CASE WHEN t.report_due_at IS NULL AND excluded.report_due_at IS NOT NULL
                           THEN 0 ELSE t.report_attempts END,
    report_due_at = CASE WHEN excluded.held_at IS NULL AND excluded.fate = 'dead'
                         THEN coalesce(t.report_due_at, excluded.report_due_at) END
WHERE t.died_at <= excluded.died_at
"""

# What a send found out that had begun before this one is old news.
REVIVE = """
DELETE FROM dead_tokens WHERE id IN (
    SELECT t.id FROM json_to_recordset(%(rows)s::json) AS i(token_hash text, began_at timestamptz)
    JOIN dead_tokens t ON t.token_hash = i.token_hash AND t.died_at < i.began_at
    ORDER BY t.token_hash FOR UPDATE OF t)
"""

#: The user service is told after so many seconds, and so many leases: by then every living worker has heard whether too
#: many die, and a whole minute of the prune guard's has been judged.
PAUSE, LEASES = 120.0, 2.0


@dataclass(slots=True)
class TokenDied:
    """A send was answered with "this token is dead", or another project's. Results in None.

    For `remembered_for` seconds it is not tried again. `report_owed`: the user service is to be told of it. `held`: too
    many die at once for this to be believed, so neither holds.
    """

    rank: ClassVar[int] = 20

    notification_id: str
    delivery_id: int
    user_id: str
    device_token: str = field(repr=False)
    platform: str
    provider: str
    error_code: str
    fate: Fate
    remembered_for: float
    correlation_id: str
    report_owed: bool
    held: bool
    died_at: datetime  # when the send began, by the database's clock
    token_hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.token_hash = token_hash(self.device_token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[TokenDied], hand: Hand) -> list[None]:
        latest = {change.token_hash: change for change in sorted(changes, key=lambda change: change.died_at)}
        wait = {"pause": PAUSE, "leases": LEASES, "lease": hand.lease}
        cursor.execute(WRITE_DOWN, rows(list(latest.values())) | wait)
        return [None] * len(changes)


@dataclass(slots=True)
class TokenAlive:
    """A send that began at `began_at` was accepted: its token is dead no longer, if it ever was. Results in None."""

    rank: ClassVar[int] = 24

    device_token: str = field(repr=False)
    began_at: datetime  # by the database's clock
    token_hash: str = field(init=False)

    def __post_init__(self) -> None:
        self.token_hash = token_hash(self.device_token)

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[TokenAlive], hand: Hand) -> list[None]:
        cursor.execute(REVIVE, rows(changes))
        return [None] * len(changes)


class OwedDeadTokens(Owed):
    """Takes dead tokens of which the user service is owed word. Results in their rows."""

    rank = 21
    table = "dead_tokens"
    due = "report_due_at"
    columns = (
        "id",
        "user_id",
        "device_token",
        "platform",
        "error_code",
        "died_at",
        "notification_id",
        "correlation_id",
        "report_attempts",
    )


# A debt that was forgiven while it was being paid, because the token was held or quarantined, stays forgiven.
PAY_REPORT = """
UPDATE dead_tokens
SET reported_at = CASE WHEN %(error)s = '' THEN now() END,
    report_refused_at = CASE WHEN %(error)s <> '' AND %(wait)s::float8 IS NULL THEN now() END,
    report_error = %(error)s, report_attempts = report_attempts + 1,
    report_due_at = CASE WHEN report_due_at IS NOT NULL THEN now() + make_interval(secs => %(wait)s::float8) END
WHERE id = %(id)s
"""


class PaidDeadToken(PaidReport):
    """The user service's answer: told, refused for good (`error`), or owed again in `wait` seconds. Results in None."""

    rank = 22
    statement = PAY_REPORT
