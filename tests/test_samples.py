"""The sample history of the demo: it looks like a day of work, does no harm to real work, and goes with one click."""

import io
import re
import time
from collections import Counter
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries import operations
from deliveries.health import check
from deliveries.ledger import samples
from deliveries.ledger.audit import Audited
from deliveries.ledger.pruning import Pruning
from deliveries.models import ENDS, AuditEntry, DeadLetter, Notification, PushDelivery, Status, Tally
from deliveries.operations import Target
from tests.console import listed, opened, page_of, text
from tests.ledger_rows import dead_letter, delivered
from tests.test_tallying import tally
from tests.world import all_ended, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

ADA = Audited("user ada")
TABLES = ("notifications", "push_deliveries", "push_attempts", "dead_letters", "tallies")


@pytest.fixture
def seeded():
    samples.seed(timezone.now())


def rows() -> dict[str, int]:
    return {table: query(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}


def test_it_is_written_in_two_seconds():
    began = time.process_time()  # of ours: how busy the machine is else has no say
    samples.seed(timezone.now())
    assert time.process_time() - began < 2
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
    hours = {
        at.replace(minute=0, second=0, microsecond=0)
        for at in Notification.objects.values_list("created_at", flat=True)
    }
    assert len(hours) >= 20
    now = timezone.now()
    assert not Notification.objects.exclude(created_at__gt=now - timedelta(days=1), reported_at__lt=now).exists()


def test_the_promises_hold_of_it(seeded):
    out = io.StringIO()
    call_command("verify", stdout=out)  # which raises where one is broken
    assert "BROKEN" not in out.getvalue()
    assert "warning" not in out.getvalue()


def test_no_worker_takes_anything_of_it_up(seeded, engine, sandbox):
    before = rows()
    running = engine()
    running.accept(message("ok-1"))
    eventually(all_ended, what="the real one ended and was reported")
    assert set(sandbox.reports()) == {"ok-1"}
    assert len(sandbox.book()["accepted"]) == 1
    after = rows()
    assert after["notifications"] == before["notifications"] + 1
    assert after["push_attempts"] == before["push_attempts"]


def test_the_tallies_of_real_work_do_not_count_it(seeded):
    delivered(["real"], ago=timedelta(minutes=3))
    tally()
    real = Tally.objects.filter(is_sample=False, kind="ended", count__gt=0)
    assert list(real.filter(span=60).values_list("name", "count")) == [("sent", 1)]


def test_health_does_not_count_its_dead_letters(seeded):
    assert DeadLetter.objects.filter(state="open").exists()
    assert check()["dead_letters"] == {"open": 0}
    dead_letter()
    assert check()["dead_letters"] == {"open": 1}


def test_nothing_of_it_is_sent_again_by_force_or_by_a_redrive(seeded):
    before = query("SELECT * FROM notifications ORDER BY 1")
    ids = Notification.objects.values_list("pk", flat=True)
    assert {outcome.code for outcome in operations.resend([Target(id) for id in ids], ADA, force=True)} == {"sample"}
    letters = list(DeadLetter.objects.values_list("pk", flat=True))
    assert {outcome.code for outcome in operations.redrive(letters, ADA)} == {"sample", "still_invalid", "not_open"}
    assert query("SELECT * FROM notifications ORDER BY 1") == before
    assert not AuditEntry.objects.exists()


def test_the_api_refuses_to_send_it_again_and_says_why(seeded, api):
    answer = api.post_to("/api/v1/notifications/sample-0001/resend/")
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "sample"


def test_it_is_pruned_like_everything_that_ended(seeded):
    pruning = Pruning(timezone.now(), 1000)
    assert pruning.prune_notifications() == 300 - 4  # that have an open dead letter


def test_removed_is_all_of_it_and_nothing_else():
    delivered(["real", "sample-0007b", "sample"])
    dead_letter()
    Tally.objects.create(span=60, begins_at=timezone.now(), kind="ended", name="sent", count=1)
    before = rows()
    samples.seed(timezone.now())
    removed = samples.remove(ADA)
    assert removed["notifications"] == 300
    assert rows() == before


def test_what_was_removed_is_not_wanted_again_nor_twice():
    assert samples.are_wanted()
    samples.seed(timezone.now())
    assert not samples.are_wanted()
    samples.remove(ADA)
    assert not samples.are_wanted()


def test_a_real_notification_of_such_an_id_is_left_in_peace():
    delivered(["sample-0007"])
    assert not samples.are_wanted()
    assert samples.remove(ADA)["notifications"] == 0
    assert Notification.objects.filter(pk="sample-0007").exists()


def test_it_is_found_by_an_index_among_many(seeded):
    delivered([f"n-{number}" for number in range(20_000)])
    query("ANALYZE notifications")
    plan = "\n".join(line for [line] in query(f"EXPLAIN {samples.DELETIONS['notifications'] % LITERALS}"))
    assert "Seq Scan" not in plan
    assert "Index" in plan
    query("SET enable_seqscan = off")  # of a handful of letters no index is needed
    try:
        plan = "\n".join(line for [line] in query(f"EXPLAIN {samples.DELETIONS['dead_letters'] % LITERALS}"))
    finally:
        query("RESET enable_seqscan")
    assert "Index" in plan


LITERALS = {name: f"'{value}'" for name, value in samples.BOUNDS.items()}


def test_lists_and_pages_say_what_is_a_sample(seeded, admin_client):
    for model in (Notification, PushDelivery, DeadLetter):
        page = admin_client.get(listed(model))
        assert "sample history of the demo" in text(page)
        assert page.content.decode().count("badge-sample") >= 3
        row = model.objects.first()
        assert "This is sample history of the demo" in page_of(admin_client, row)


def test_nothing_is_offered_that_would_be_refused_of_a_sample(seeded, admin_client):
    for row in (Notification.objects.first(), PushDelivery.objects.first(), DeadLetter.objects.first()):
        page = page_of(admin_client, row)
        assert "Unmasked" in page
        assert not {"Resend", "Cancel", "Redrive", "Discard", "Redriven"} & set(page.split())
        assert "What to do" not in page or isinstance(row, DeadLetter)
    assert "Made up by the demo and accepted" in page_of(admin_client, Notification.objects.first())


def test_the_reasons_of_dead_letters_say_how_many_are_samples(seeded, admin_client):
    shown = text(admin_client.get(reverse("admin:deliveries_deadletter_causes")))
    marked = [int(count) for count in re.findall(r"(\d+) sample\b", shown)]
    assert sum(marked) == DeadLetter.objects.filter(state="open").count()


def test_real_rows_are_not_called_samples(admin_client):
    delivered(["real"])
    for page in (admin_client.get(listed(Notification)), admin_client.get(opened(Notification.objects.get()))):
        assert "sample" not in text(page)


def test_one_click_removes_it(seeded, admin_client):
    page = admin_client.post(REMOVE, follow=True)
    assert page.redirect_chain == [(reverse("admin:index"), 302)]
    assert "The sample history is removed: 300 notifications" in text(page)
    assert set(rows().values()) == {0}
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == ("user admin", "discard", "sample history")
    assert entry.detail["notifications"] == 300
    again = admin_client.post(REMOVE, follow=True)
    assert "There is no sample history" in text(again)
    assert AuditEntry.objects.count() == 1


REMOVE = "/admin/samples/remove/"


def test_only_a_post_of_an_operator_with_its_token_removes_it(seeded, admin_client, admin_user):
    assert admin_client.get(REMOVE).status_code == 405
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(admin_user)
    assert careful.post(REMOVE).status_code == 403
    assert Client().post(REMOVE).url.startswith("/admin/login/")
    viewer = User.objects.create_user("vera", password="x", is_staff=True)
    viewer.user_permissions.add(Permission.objects.get(codename="view_notification"))
    looking = Client()
    looking.force_login(viewer)
    assert "Remove the sample history" not in text(looking.get(listed(Notification)))
    assert looking.post(REMOVE).status_code == 403
    assert rows()["notifications"] == 300


def test_its_tokens_are_shown_masked(seeded, admin_client):
    token = PushDelivery.objects.order_by("-created_at")[0].device_token
    page = text(admin_client.get(listed(PushDelivery)))
    assert token not in page
    assert "samp…" in page
