"""Selecting what operators act on: deliveries and notifications to resend, dead letters to redrive, by what they share.

What is selected stays selected: the rows are taken down at one moment, in a cursor that PostgreSQL keeps, so that what
fails again meanwhile is not met twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from deliveries.ledger.selecting import GROUPS, LETTER_GROUPS, LETTER_IDS, TARGET_COUNT, TARGETS
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
    """How many share a status and error code; `unknown`: of how many nobody knows how the last try ended."""

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


def _rows(statement: str, wanted: Wanted | WantedLetters) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, _parameters(wanted))
        return list(cursor.fetchall())


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
