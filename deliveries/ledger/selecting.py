"""Selecting: the statements by which operators find what to resend and to redrive. They only read.

They are put together from the conditions that are given: one that is switched off by a NULL would still keep
PostgreSQL from the index of another.
"""

from __future__ import annotations

from collections.abc import Collection

from deliveries.models.samples import MARK

_NARROWING = {
    "ids": "n.notification_id = ANY(%(ids)s::text[])",
    "user": "n.user_id = %(user)s",
    "since": "n.ended_at >= %(since)s",
    "until": "n.ended_at < %(until)s",
}

# The first condition is that of the partial index.
_CODED = "n.error_code <> '' AND n.error_code = ANY(%(codes)s::text[])"

_CODED_DELIVERY = f"""d.id IN (
        SELECT d.id FROM push_deliveries d WHERE d.error_code <> '' AND d.error_code = ANY(%(codes)s::text[])
        UNION
        SELECT d.id FROM notifications n JOIN push_deliveries d USING (notification_id) WHERE {_CODED})"""

# A unit is a delivery, or a notification that ended without any.
_SELECTED = """
WITH unit AS (
    SELECT n.notification_id, n.resends, n.ended_at, d.id, d.status, d.error_code, d.unknown_count > 0 AND (
               SELECT a.outcome FROM push_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1
           ) = 'unknown' AS unknown
    FROM push_deliveries d JOIN notifications n USING (notification_id)
    WHERE d.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending') {of_delivery}
    UNION ALL
    SELECT n.notification_id, n.resends, n.ended_at, NULL, n.status, n.error_code, false
    FROM notifications n
    WHERE n.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending') {of_notification}
      AND NOT EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = n.notification_id)
), target AS (
    SELECT notification_id, resends, ended_at, array_agg(id ORDER BY id) FILTER (WHERE id IS NOT NULL) AS deliveries
    FROM unit GROUP BY notification_id, resends, ended_at ORDER BY ended_at, notification_id LIMIT %(limit)s
)
"""

_LETTERS = {
    "ids": "l.id = ANY(%(ids)s::bigint[])",
    "code": "l.code = %(code)s",
    "notification_id": "l.notification_id = %(notification_id)s",
    "since": "l.last_seen_at >= %(since)s",
    "until": "l.last_seen_at < %(until)s",
    "text": """EXISTS (
        SELECT FROM jsonb_array_elements_text(l.reasons) reason WHERE strpos(lower(reason), lower(%(text)s)) > 0)""",
}


def targets(given: Collection[str]) -> str:
    """Notifications with the ids of their units and their count of resends, the longest ended first."""
    selected = _selected(given)
    return f"{selected} SELECT notification_id, deliveries, resends FROM target ORDER BY ended_at, notification_id"


# A reason without what is particular to one letter: what is in quotes, and words with digits. So simple on purpose: an
# expression with words' ends and look-aheads took 30 us a letter, this one 1 us.
_CAUSE = """regexp_replace(
    left(coalesce(l.reasons ->> 0, ''), 300), '"[^"]*"|[^ "(,;.:=]*[0-9][^ "(,;.:=)]*', '…', 'g')"""

#: Narrows dead letters `l` to the open ones of a group, and how many of those at most anything is done to at once.
OF_CAUSE = f"l.state = 'open' AND l.code = %(code)s AND md5({_CAUSE}) = %(key)s"
MOST_LETTERS = 20_000

#: Of each code so many are looked at, the newest: it is a page that shows itself anew every few seconds.
COUNTED_LETTERS = 5_000
MOST_CAUSES = 200

LETTER_CAUSES = f"""
WITH seen AS MATERIALIZED (
    SELECT l.code, {_CAUSE} AS cause, l.id, l.count, l.first_seen_at, l.last_seen_at, l.redrive_at, l.note,
           starts_with(l.body_hash, '{MARK}') AS is_sample
    FROM (VALUES ('invalid_message'), ('exhausted')) AS kind (code) CROSS JOIN LATERAL (
        SELECT * FROM dead_letters l WHERE l.state = 'open' AND l.code = kind.code ORDER BY l.id DESC
        LIMIT {COUNTED_LETTERS}) AS l
)
SELECT code, cause, md5(cause) AS key, count(*) AS letters, sum(count) AS messages, min(first_seen_at) AS first_seen_at,
       max(last_seen_at) AS last_seen_at, max(id) AS example, count(*) FILTER (WHERE redrive_at IS NOT NULL) AS queued,
       count(*) FILTER (WHERE note <> '') AS kept, max(note) AS note, count(*) FILTER (WHERE is_sample) AS samples,
       sum(count(*)) OVER (PARTITION BY code) >= {COUNTED_LETTERS} AS cut
FROM seen GROUP BY code, cause ORDER BY count(*) DESC, code, cause LIMIT {MOST_CAUSES}
"""

LETTERS_OF_CAUSE = f"SELECT l.id FROM dead_letters l WHERE {OF_CAUSE} ORDER BY l.id LIMIT {MOST_LETTERS}"

REDRIVE_QUEUE = "SELECT count(*) AS letters, max(redrive_at) AS ends_at FROM dead_letters WHERE redrive_at IS NOT NULL"


def target_count(given: Collection[str]) -> str:
    return f"{_selected(given)} SELECT count(*) FROM target"


def groups(given: Collection[str]) -> str:
    """Units by status and error code: how many, and of how many the last outcome is unknown."""
    return f"""{_selected(given)}
SELECT status, error_code, count(*), count(*) FILTER (WHERE unknown)
FROM unit WHERE notification_id IN (SELECT notification_id FROM target)
GROUP BY status, error_code ORDER BY count(*) DESC, status, error_code"""


def letter_ids(given: Collection[str]) -> str:
    """Open dead letters, the oldest first."""
    return f"SELECT l.id FROM dead_letters l WHERE l.state = 'open' {_all(given, _LETTERS)} ORDER BY l.id"


def letter_groups(given: Collection[str]) -> str:
    """Open dead letters by code and first reason, the most first."""
    return f"""
SELECT l.code, coalesce(l.reasons ->> 0, '') AS reason, count(*)
FROM dead_letters l WHERE l.state = 'open' {_all(given, _LETTERS)}
GROUP BY l.code, reason ORDER BY count(*) DESC, l.code, reason"""


def _selected(given: Collection[str]) -> str:
    return _SELECTED.format(
        of_delivery=_all(given, _NARROWING | {"codes": _CODED_DELIVERY}),
        of_notification=_all(given, _NARROWING | {"codes": _CODED}),
    )


def _all(given: Collection[str], conditions: dict[str, str]) -> str:
    return " ".join(f"AND {condition}" for name, condition in conditions.items() if name in given)
