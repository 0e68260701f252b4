"""Tallying: how many notifications ended how, minute by minute and hour by hour, counted from the rows themselves.

A minute is counted again until it can change no more; then it stays as it is, whatever becomes of its rows: a resend
takes a notification out of the minute in which it ended, and pruning deletes it. What was counted is what happened.
"""

from __future__ import annotations

import math
from datetime import datetime
from typing import Any

import psycopg

from deliveries.ledger.change import Hand
from deliveries.models.samples import SOURCE

#: Minutes after its end for which a minute is counted again: `ended_at` is when a transaction began, and it commits
#: later. The writer's statements are cancelled long before that.
OPEN = 2
#: New minutes that one statement counts at most, when there is much to catch up with.
PIECE = 5
KEPT_MINUTES, KEPT_HOURS = "2 days", "90 days"

#: Latency is told by classes, whose upper bounds grow by the fourth root of two from 10 ms to an hour: a percentile
#: that is read out of them is wrong by 9 % at most.
SHORTEST, PER_DOUBLING, CLASSES = 0.01, 4, 74


def latency_class(seconds: float) -> str:
    """The name of its class in the tallies: the class's upper bound in milliseconds. The last has none."""
    number = math.ceil(math.log(max(seconds, SHORTEST) / SHORTEST) / math.log(2) * PER_DOUBLING)
    return str(round(SHORTEST * 1000 * 2 ** (min(number, CLASSES) / PER_DOUBLING)))


# One of all workers counts, and that is the eldest that lives: the others need not do the same work again.
TURN = """
SELECT pg_try_advisory_xact_lock(hashtext('tallies')) WHERE %(worker)s = (
    SELECT id FROM workers WHERE heartbeat_at > now() - make_interval(secs => %(lease)s)
    ORDER BY started_at, id LIMIT 1)
"""

_EPOCH = "'epoch'::timestamptz"
_MINUTE, _HOUR = "interval '1 minute'", "interval '1 hour'"

# The first look into a new minute counts those before it once more, which are still open; the next looks only this one.
# Of a fleet that stood still, everything since; of a ledger that was never counted, everything that minutes are kept
# for. Also tells whether that leaves something to catch up with.
PERIOD = f"""
SELECT begin, least("end", present), "end" < present FROM (
    SELECT begin, begin + (%(open)s + 1 + %(piece)s) * {_MINUTE} AS "end", this + {_MINUTE} AS present FROM (
        SELECT this, greatest(
            date_bin({_HOUR}, now() - interval '{KEPT_MINUTES}', {_EPOCH}),
            CASE WHEN counted < this THEN counted - %(open)s * {_MINUTE}
                 WHEN counted IS NULL THEN least(this, date_bin({_MINUTE}, oldest, {_EPOCH}))
                 ELSE this END) AS begin
        FROM (SELECT date_bin({_MINUTE}, now(), {_EPOCH}) AS this,
                     (SELECT begins_at FROM tallies WHERE span = 60 AND NOT is_sample ORDER BY begins_at DESC LIMIT 1)
                         AS counted,
                     (SELECT created_at FROM notifications WHERE source <> '{SOURCE}' ORDER BY created_at LIMIT 1)
                         AS oldest) AS clock
    ) AS since
) AS period
"""

# What differs from what stands there is replaced, the rest is not touched.
_WRITE = """
, gone AS (
    DELETE FROM tallies
    WHERE span = {span} AND begins_at >= {begin} AND begins_at < {end} AND NOT is_sample
      AND (begins_at, kind, name) NOT IN (SELECT begins_at, kind, name FROM counted)
)
INSERT INTO tallies AS t (span, begins_at, kind, name, is_sample, count)
SELECT {span}, begins_at, kind, name, false, count FROM counted
ON CONFLICT (span, begins_at, kind, name, is_sample) DO UPDATE SET count = excluded.count
WHERE t.count <> excluded.count
"""

# Samples bring tallies of their own.
# Of a notification that was resent, only the deliveries that the resend was about ended with it. That a minute was
# counted is seen by its number of notifications sent, which may be 0.
COUNT_MINUTES = f"""
WITH ended AS MATERIALIZED (
    SELECT n.notification_id, n.status, n.error_code, n.resent_at, coalesce(n.resent_at, n.created_at) AS since,
           date_bin({_MINUTE}, n.ended_at, {_EPOCH}) AS begins_at
    FROM notifications n WHERE n.ended_at >= %(begin)s AND n.ended_at < %(end)s AND n.source <> '{SOURCE}'
), device AS MATERIALIZED (
    SELECT e.begins_at, d.id, d.status,
           CASE WHEN d.id IS NULL THEN e.error_code WHEN d.status <> 'sent' THEN d.error_code ELSE '' END AS code,
           CASE WHEN d.status = 'sent' THEN extract(epoch FROM d.sent_at - e.since)::float8 END AS seconds
    FROM ended e LEFT JOIN push_deliveries d
      ON d.notification_id = e.notification_id AND (e.resent_at IS NULL OR d.updated_at >= e.resent_at)
), latency AS (
    SELECT begins_at, least({CLASSES}, ceil(ln(greatest(seconds, {SHORTEST}) / {SHORTEST}) / ln(2::float8)
               * {PER_DOUBLING})) AS class, count(*) AS count
    FROM device WHERE seconds IS NOT NULL GROUP BY 1, 2
), counted AS MATERIALIZED (
    SELECT begins_at, kind, name, sum(count) AS count FROM (
        SELECT generate_series(%(begin)s, %(end)s - {_MINUTE}, {_MINUTE}) AS begins_at, 'ended' AS kind,
               'sent' AS name, 0 AS count
        UNION ALL
        SELECT begins_at, 'ended', status, count(*) FROM ended GROUP BY 1, 3
        UNION ALL
        SELECT begins_at, 'device', status, count(*) FROM device WHERE id IS NOT NULL GROUP BY 1, 3
        UNION ALL
        SELECT begins_at, 'code', code, count(*) FROM device WHERE code <> '' GROUP BY 1, 3
        UNION ALL
        SELECT begins_at, 'latency', round({SHORTEST * 1000} * power(2::float8, class / {PER_DOUBLING}))::bigint::text,
               count
        FROM latency
    ) AS all_kinds GROUP BY 1, 2, 3
){_WRITE.format(span=60, begin="%(begin)s", end="%(end)s")}"""

_FIRST_HOUR = f"date_bin({_HOUR}, %(begin)s, {_EPOCH})"
_LAST_HOUR = f"date_bin({_HOUR}, %(end)s - {_MINUTE}, {_EPOCH}) + {_HOUR}"

SUM_HOURS = f"""
WITH counted AS MATERIALIZED (
    SELECT date_bin({_HOUR}, begins_at, {_EPOCH}) AS begins_at, kind, name, sum(count) AS count
    FROM tallies
    WHERE span = 60 AND begins_at >= {_FIRST_HOUR} AND begins_at < {_LAST_HOUR} AND NOT is_sample
    GROUP BY 1, 2, 3
){_WRITE.format(span=3600, begin=_FIRST_HOUR, end=_LAST_HOUR)}"""

# Whole hours of minutes: of what is left of one, its sum could not be made again.
FORGET = f"""
DELETE FROM tallies
WHERE (span = 60 AND begins_at < date_bin({_HOUR}, now() - interval '{KEPT_MINUTES}', {_EPOCH}))
   OR (span = 3600 AND begins_at < now() - interval '{KEPT_HOURS}')
"""

#: As of the ledger's other statements: a plan by statistics of yesterday would read all of a table.
PLAN = (
    "SELECT set_config(name, 'off', true) FROM unnest(ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', "
    "'jit']) AS name"
)


async def count_on(connection: psycopg.AsyncConnection[Any], hand: Hand) -> bool:
    """Counts what is new since the last time, if it is this worker's turn, and commits.

    Returns whether there is more to catch up with. Raises psycopg.Error.
    """
    turn = await (await connection.execute(TURN, hand.parameters())).fetchone()
    if turn is None or not turn[0]:
        return False
    await connection.execute(PLAN)
    begin, end, behind = await _period(connection)
    for statement in (COUNT_MINUTES, SUM_HOURS, FORGET):
        await connection.execute(statement, {"begin": begin, "end": end})
    await connection.commit()
    return behind


async def _period(connection: psycopg.AsyncConnection[Any]) -> tuple[datetime, datetime, bool]:
    row = await (await connection.execute(PERIOD, {"open": OPEN, "piece": PIECE})).fetchone()
    assert row is not None
    return row[0], row[1], row[2]
