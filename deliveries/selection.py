"""Selecting what operators act on: deliveries and notifications to resend, dead letters to redrive, by what they share.

What is selected stays selected: the rows are taken down at one moment, in a cursor that PostgreSQL keeps, so that what
fails again meanwhile is not met twice.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from django.db import connection

from deliveries.ledger import selecting
from deliveries.models import Status
from deliveries.operations import Target

FETCHED = 500

Statement = Callable[[Collection[str]], str]

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
    """Which open dead letters; what is None or empty does not narrow it.

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
    return [Group(*row) for row in _rows(selecting.groups, wanted)]


def target_count(wanted: Wanted) -> int:
    """How many notifications `targets` gives."""
    [[count]] = _rows(selecting.target_count, wanted)
    return int(count)


def targets(wanted: Wanted) -> Iterator[Target]:
    """What is selected as operations take it, the longest ended first, as it stands when the first is asked for.

    The cursor outlives its transaction: PostgreSQL has set all of its rows aside.
    """
    parameters, statement = _prepared(selecting.targets, wanted)
    with connection.chunked_cursor() as cursor:
        cursor.execute(statement, parameters)
        while rows := cursor.fetchmany(FETCHED):
            for id, deliveries, resends in rows:
                yield Target(id, tuple(deliveries) if deliveries else None, resends)


def letter_groups(wanted: WantedLetters) -> list[tuple[str, str, int]]:
    """The dead letters that are wanted, counted by code and first reason, the most first."""
    return [(code, reason, count) for code, reason, count in _rows(selecting.letter_groups, wanted)]


def letter_ids(wanted: WantedLetters) -> list[int]:
    """Their ids, the oldest first."""
    return [id for [id] in _rows(selecting.letter_ids, wanted)]


def _rows(statement: Statement, wanted: Wanted | WantedLetters) -> list[tuple[Any, ...]]:
    parameters, sql = _prepared(statement, wanted)
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return list(cursor.fetchall())


def _prepared(statement: Statement, wanted: Wanted | WantedLetters) -> tuple[dict[str, Any], str]:
    """The statement with those conditions that narrow anything, and the values."""
    values = {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(wanted).items()}
    return values, statement([name for name, value in values.items() if value not in (None, [])])
