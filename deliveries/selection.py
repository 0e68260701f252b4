"""Selecting what operators act on: deliveries and notifications to resend, dead letters to redrive, by what they share.

What is selected stays selected: the rows are taken down at one moment, in a cursor that PostgreSQL keeps, so that what
fails again meanwhile is not met twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from deliveries.models import Status
from deliveries.operations import Target

FETCHED = 500

#: What a resend is for unless something else is asked for.
USUAL = (Status.FAILED, Status.EXPIRED)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to resend; what is None or empty does not narrow it.

    `codes` are error codes of the delivery or of its notification; `since` and `until` bound the time at which the
    notification ended; `limit` counts notifications, the longest ended first.
    """

    ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = USUAL
    codes: tuple[str, ...] = ()
    user: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    limit: int | None = None


@dataclass(frozen=True, slots=True)
class Group:
    """How many of those selected have this status and error code, and of how many nobody knows how the last try ended."""

    status: str
    error_code: str
    count: int
    unknown: int


@dataclass(frozen=True, slots=True)
class WantedLetters:
    """Which dead letters; what is None or empty does not narrow it. Without `ids` they are open ones.

    `since` and `until` bound the time at which it was last seen; `text` stands in one of its reasons, in whatever case.
    """

    ids: tuple[int, ...] = ()
    code: str | None = None
    notification_id: str | None = None
    text: str | None = None
    since: datetime | None = None
    until: datetime | None = None


# A unit is a delivery, or a notification that ended without any. The two halves of `coded` each have an index.
SELECTED = """
WITH coded AS (
    SELECT d.id FROM push_deliveries d WHERE d.error_code <> '' AND d.error_code = ANY(%(codes)s::text[])
    UNION
    SELECT d.id FROM notifications n JOIN push_deliveries d USING (notification_id)
    WHERE n.error_code <> '' AND n.error_code = ANY(%(codes)s::text[])
), unit AS (
    SELECT n.notification_id, n.resends, n.ended_at, d.id, d.status, d.error_code, d.unknown_count > 0 AND (
               SELECT a.outcome FROM push_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1
           ) = 'unknown' AS unknown
    FROM push_deliveries d JOIN notifications n USING (notification_id)
    WHERE d.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending')
      AND (%(codes)s::text[] IS NULL OR d.id IN (SELECT id FROM coded))
      AND (%(ids)s::text[] IS NULL OR d.notification_id = ANY(%(ids)s::text[]))
      AND (%(user)s::text IS NULL OR d.user_id = %(user)s::text)
      AND (%(since)s::timestamptz IS NULL OR n.ended_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR n.ended_at < %(until)s)
    UNION ALL
    SELECT n.notification_id, n.resends, n.ended_at, NULL, n.status, n.error_code, false
    FROM notifications n
    WHERE n.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending')
      AND NOT EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = n.notification_id)
      AND (%(codes)s::text[] IS NULL OR n.error_code <> '' AND n.error_code = ANY(%(codes)s::text[]))
      AND (%(ids)s::text[] IS NULL OR n.notification_id = ANY(%(ids)s::text[]))
      AND (%(user)s::text IS NULL OR n.user_id = %(user)s::text)
      AND (%(since)s::timestamptz IS NULL OR n.ended_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR n.ended_at < %(until)s)
), target AS (
    SELECT notification_id, resends, ended_at, array_agg(id ORDER BY id) FILTER (WHERE id IS NOT NULL) AS deliveries
    FROM unit GROUP BY notification_id, resends, ended_at ORDER BY ended_at, notification_id LIMIT %(limit)s
)
"""

TARGETS = SELECTED + "SELECT notification_id, deliveries, resends FROM target ORDER BY ended_at, notification_id"

GROUPS = (
    SELECTED
    + """
SELECT status, error_code, count(*), count(*) FILTER (WHERE unknown)
FROM unit WHERE notification_id IN (SELECT notification_id FROM target)
GROUP BY status, error_code ORDER BY count(*) DESC, status, error_code
"""
)

TARGET_COUNT = SELECTED + "SELECT count(*) FROM target"

LETTERS = """
WITH letter AS (
    SELECT * FROM dead_letters l
    WHERE CASE WHEN %(ids)s::bigint[] IS NULL THEN l.state = 'open' ELSE l.id = ANY(%(ids)s::bigint[]) END
      AND (%(code)s::text IS NULL OR l.code = %(code)s::text)
      AND (%(notification_id)s::text IS NULL OR l.notification_id = %(notification_id)s::text)
      AND (%(since)s::timestamptz IS NULL OR l.last_seen_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR l.last_seen_at < %(until)s)
      AND (%(text)s::text IS NULL OR EXISTS (
          SELECT FROM jsonb_array_elements_text(l.reasons) reason
          WHERE strpos(lower(reason), lower(%(text)s::text)) > 0))
)
"""

LETTER_IDS = LETTERS + "SELECT id FROM letter ORDER BY id"

LETTER_GROUPS = (
    LETTERS
    + """
SELECT code, coalesce(reasons ->> 0, '') AS reason, count(*) FROM letter
GROUP BY code, reason ORDER BY count(*) DESC, code, reason
"""
)


def groups(wanted: Wanted) -> list[Group]:
    """What is selected, counted by status and error code, the most first."""
    return [Group(*row) for row in _rows(GROUPS, wanted)]


def target_count(wanted: Wanted) -> int:
    """How many notifications `targets` gives."""
    [[count]] = _rows(TARGET_COUNT, wanted)
    return int(count)


def targets(wanted: Wanted) -> Iterator[Target]:
    """What is selected as operations take it, the longest ended first, as it stands when the first is asked for."""
    for id, deliveries, resends in _kept(TARGETS, wanted):
        yield Target(id, tuple(deliveries) if deliveries else None, resends)


def letter_groups(wanted: WantedLetters) -> list[tuple[str, str, int]]:
    """The dead letters that are wanted, counted by code and first reason, the most first."""
    return [(code, reason, count) for code, reason, count in _rows(LETTER_GROUPS, wanted)]


def letter_ids(wanted: WantedLetters) -> list[int]:
    """Their ids, the oldest first."""
    return [id for [id] in _rows(LETTER_IDS, wanted)]


def _rows(statement: str, wanted: Wanted | WantedLetters) -> Sequence[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, _parameters(wanted))
        return cursor.fetchall()


def _kept(statement: str, wanted: Wanted) -> Iterator[Any]:
    """Rows from a cursor that outlives its transaction: PostgreSQL has set them all aside by the first of them."""
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, _parameters(wanted))
        while rows := cursor.fetchmany(FETCHED):
            yield from rows


def _parameters(wanted: Wanted | WantedLetters) -> dict[str, Any]:
    """An empty tuple becomes NULL, which folds its condition away and leaves the index to the others."""
    values = asdict(wanted).items()
    return {name: (list(value) or None) if isinstance(value, tuple) else value for name, value in values}
