"""Samples: the demo's made-up history is written into the ledger, told from what is real, and taken out again."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from random import Random
from typing import Any

from django.db import connection, transaction

from deliveries.ledger.audit import Audited, write_down
from deliveries.ledger.tallying import CLASSES, PER_DOUBLING, SHORTEST, latency_class
from deliveries.models import AuditEntry, DeadLetter, Notification, PushAttempt, PushDelivery
from deliveries.models.samples import MARK, SOURCE
from deliveries.samples.stories import stories, unreadable
from deliveries.samples.traffic import Classes, Row, tallies

#: What the audit log calls them.
SUBJECT = "sample history"
#: The same day for everybody.
SEED = 9

#: Between these lie the ids of all samples, and the hashes of their dead letters: however a database sorts, an index
#: has them together. What else may lie there is none by its source.
BOUNDS = {"first": f"{MARK}0000", "last": f"{MARK}zzzz", "source": SOURCE}

_NOTIFICATIONS = """
notification_id IN (
    SELECT notification_id FROM notifications
    WHERE notification_id BETWEEN %(first)s AND %(last)s AND source = %(source)s)"""

#: By table; first what points to others.
DELETIONS = {
    "attempts": f"DELETE FROM push_attempts WHERE {_NOTIFICATIONS}",
    "deliveries": f"DELETE FROM push_deliveries WHERE {_NOTIFICATIONS}",
    "notifications": f"DELETE FROM notifications WHERE {_NOTIFICATIONS}",
    "dead_letters": "DELETE FROM dead_letters WHERE body_hash BETWEEN %(first)s AND %(last)s",
    "tallies": "DELETE FROM tallies WHERE is_sample",
}

COPY = "COPY tallies (span, begins_at, kind, name, is_sample, count) FROM STDIN"


def are_wanted() -> bool:
    """False where they are there already, or somebody has removed them: then they do not come back."""
    taken = Notification.objects.filter(pk__range=(BOUNDS["first"], BOUNDS["last"]))
    return not (taken.exists() or AuditEntry.objects.filter(subject=SUBJECT).exists())


def seed(now: datetime) -> None:
    """Writes a day of history that ends now, once. Raises django.db.Error."""
    random = Random(SEED)  # noqa: S311 - nothing secret
    told = stories(now, random)
    with transaction.atomic(durable=True):
        Notification.objects.bulk_create(story.notification for story in told)
        PushDelivery.objects.bulk_create(delivery for story in told for delivery in story.deliveries)
        PushAttempt.objects.bulk_create(attempt for story in told for attempt in story.attempts)
        letters = [letter for story in told for letter in story.letters] + unreadable(now)
        DeadLetter.objects.bulk_create(sorted(letters, key=lambda letter: letter.first_seen_at))
        _copy(tallies(now, random, classes()))


def classes() -> Classes:
    """Those of the tallies; a name is asked for by what surely belongs to the class."""
    uppers = [SHORTEST * 2 ** (number / PER_DOUBLING) for number in range(CLASSES + 1)]
    return [(latency_class(0.99 * upper), upper) for upper in uppers]


def _copy(rows: Iterable[Row]) -> None:
    with connection.cursor() as cursor, cursor.copy(COPY) as copy:
        # As text, in one piece: to hand over 60,000 rows one by one takes a second.
        copy.write("".join("\t".join(map(str, row)) + "\n" for row in rows))


def remove(by: Audited) -> dict[str, int]:
    """Deletes the samples and nothing else; returns how many rows of each table. Raises django.db.Error."""
    with transaction.atomic(durable=True), connection.cursor() as cursor, connection.wrap_database_errors:
        removed = {}
        for table, statement in DELETIONS.items():
            cursor.execute(statement, BOUNDS)
            removed[table] = cursor.rowcount
        if any(removed.values()):
            wrapped: Any = cursor  # it passes everything on to psycopg's
            write_down(wrapped, AuditEntry.Action.DISCARD, by, {SUBJECT: removed})
    return removed
