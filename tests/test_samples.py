"""The sample history of the demo: it looks like a day of work, does no harm to real work, and goes with one click."""

import io
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone

from deliveries import operations
from deliveries.health import check
from deliveries.ledger import samples
from deliveries.ledger.audit import Audited
from deliveries.ledger.pruning import Pruning
from deliveries.models import ENDS, AuditEntry, DeadLetter, Notification, PushAttempt, PushDelivery, Status, Tally
from deliveries.operations import Target
from tests.console import opened, text
from tests.world import query

pytestmark = pytest.mark.django_db(transaction=True)

ADA = Audited("user ada")
CLASSES = [(str(round(10 * 2 ** (number / 4))), 0.01 * 2 ** (number / 4)) for number in range(75)]
TABLES = ("notifications", "push_deliveries", "push_attempts", "dead_letters", "tallies")


@pytest.fixture
def seeded():
    samples.seed(timezone.now(), CLASSES)


def rows() -> dict[str, int]:
    return {table: query(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def minutes(kind: str, *names: str, ago: range = range(1, 1441)) -> int:
    """The sum of these tallies, so many minutes ago."""
    now = timezone.now().replace(second=0, microsecond=0)
    since, until = now - timedelta(minutes=ago.stop - 1), now - timedelta(minutes=ago.start)
    found = Tally.objects.filter(span=60, kind=kind, begins_at__gte=since, begins_at__lte=until)
    return sum((found.filter(name__in=names) if names else found).values_list("count", flat=True))


def test_it_is_written_in_two_seconds():
    began = time.monotonic()
    samples.seed(timezone.now(), CLASSES)
    assert time.monotonic() - began < 2
    assert rows()["notifications"] == 300
    assert rows()["tallies"] > 20_000


def test_every_row_is_known_as_a_sample(seeded):
    for model in (Notification, PushDelivery, DeadLetter):
        assert all(row.is_sample for row in model.objects.all())
    assert all(id.startswith("sample-") for id in Notification.objects.values_list("pk", flat=True))
    assert not Tally.objects.filter(is_sample=False).exists()


def test_it_has_every_ending_spread_over_the_day(seeded):
    ends = Counter(Notification.objects.values_list("status", flat=True))
    assert set(ends) == set(ENDS)
    assert ends[Status.SENT] > 200
    hours = {at.replace(minute=0, second=0, microsecond=0) for at in Notification.objects.values_list("created_at", flat=True)}
    assert len(hours) >= 20
    now = timezone.now()
    assert not Notification.objects.exclude(created_at__gt=now - timedelta(days=1), reported_at__lt=now).exists()


def test_the_promises_hold_of_it(seeded):
    out = io.StringIO()
    call_command("verify", stdout=out)  # which raises where one is broken
    assert "BROKEN" not in out.getvalue()
    assert "warning" not in out.getvalue()
