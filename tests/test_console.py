"""The console shows every row of the ledger in plain words, changes none, and never shows a device token."""

import json
import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from django_dramatiq.models import Task

from deliveries.api import keys
from deliveries.masking import fingerprint
from deliveries.models import (
    ApiKey,
    AuditEntry,
    Brake,
    DeadLetter,
    DeadToken,
    Notification,
    PushAttempt,
    PushDelivery,
    Status,
    Worker,
)
from providers.fcm_verdict import TABLE
from tests.console import TOKEN, brake, dead_letter, dead_token, delivery, listed, notification, opened, page_of, text

MODELS = [ApiKey, AuditEntry, Brake, DeadLetter, DeadToken, Notification, PushDelivery, Worker]
UNTROUBLED = {Status.PENDING, Status.SENDING, Status.SENT}
LEDGER = [Notification, PushDelivery, DeadLetter]

pytestmark = pytest.mark.django_db


def one_of_each() -> list:
    """A row of every table that the console shows, each with a token wherever one can stand."""
    asked = {"metadata": {"token": TOKEN, "note": f"see {TOKEN}"}}
    sent = notification("n-1", request=asked, cancel_reason=f"Cancelled by user ada: see {TOKEN}")
    arrived = delivery(sent, body=f"your device is {TOKEN}", data={"device_token": TOKEN})
    PushAttempt.objects.create(
        notification=sent, delivery=arrived, stage="send", outcome="retry", error_code="UNAVAILABLE"
    )
    keys.create("shop", actor="shell test")
    state = {"fcm": {"breaker": {"state": "open"}}}
    worker = Worker.objects.create(id=uuid4(), host="a-host", pid=1, breakers=state)
    letter = dead_letter(
        json.dumps({"push_tokens": [TOKEN]}).encode(), note=f"see {TOKEN}", reasons=[f"no user has {TOKEN}"]
    )
    dead = dead_token(TOKEN)
    held_up = brake("topic", subject="news", advice=f"see {TOKEN}")
    entry = AuditEntry.objects.create(
        actor="user ada", action="resend", subject="n-1", reason=f"because of {TOKEN}", detail={"note": TOKEN}
    )
    return [sent, arrived, ApiKey.objects.get(), worker, letter, dead, held_up, entry]


# Looking


def test_every_table_is_listed_and_every_row_opened_without_showing_a_token(admin_client):
    for row in one_of_each():
        for url in (listed(type(row)), opened(row)):
            answer = admin_client.get(url)
            assert answer.status_code == 200, url
            html = unescape(answer.content.decode())
            assert TOKEN not in html, url
            assert TOKEN[8:30] not in html, url


def test_a_long_id_is_broken_and_one_of_blanks_can_be_clicked_on(admin_client):
    notification("x" * 250)
    notification("\u200b")
    html = admin_client.get(listed(Notification)).content.decode()
    assert f'<span class="long">{"x" * 250}</span>' in html
    assert re.search(r'<a [^>]*>\s*<span class="long">&#x27;\\u200b&#x27;</span>\s*</a>', html)


def test_of_a_dry_run_it_is_said_once_that_nothing_was_sent(admin_client):
    said = "It was checked and would be taken; nothing was sent."
    row = notification("n-1", status=Status.SKIPPED, error_code="dry_run", error_message=said)
    page = text(admin_client.get(opened(row)))
    assert said in page
    assert "Nothing was sent." not in page


def test_a_topic_is_no_secret(admin_client):
    row = delivery(notification("n-1"), "news", target="topic")
    assert "topic news" in text(admin_client.get(opened(row)))
    assert not delivery(notification("n-2"), "sample-sale", target="topic").is_sample


def test_a_device_is_known_by_mask_and_fingerprint(admin_client):
    shown = page_of(admin_client, delivery(notification("n-1"), platform="android"))
    assert re.search(rf"android {TOKEN[:4]}…{TOKEN[-4:]} #[0-9a-f]{{8}}", shown)


def test_a_deliverys_page_gives_the_advice_of_its_verdict(admin_client):
    [row] = [row for row in TABLE if row.name == "api_disabled"]
    waiting = delivery(notification("n-1"), error_code="SERVICE_DISABLED", error_message=row.advice)
    shown = page_of(admin_client, waiting)
    assert "SERVICE_DISABLED" in shown
    assert row.advice in shown


def test_a_notifications_page_tells_deliveries_history_and_request(admin_client):
    sent = notification("n-1", status=Status.SENT, reported_at=timezone.now())
    delivery(sent, "a" * 100, status=Status.SENT, provider_message_id="projects/p/messages/1")
    failed = delivery(sent, "b" * 100, status=Status.FAILED, error_code="UNREGISTERED")
    PushAttempt.objects.create(
        notification=sent,
        delivery=failed,
        stage="send",
        outcome="failed",
        error_code="UNREGISTERED",
        error_message="The app was removed.",
        http_status=404,
        duration_ms=2.25,
    )
    shown = page_of(admin_client, sent)
    assert "Accepted for 1 of 2 devices. Not for the rest: UNREGISTERED." in shown
    assert "The gateway has been told." in shown
    assert "took 2 ms · HTTP 404 · UNREGISTERED · The app was removed." in shown
    assert '"title": "Hello"' in shown


def test_a_history_of_weeks_does_not_make_a_page_of_weeks(admin_client):
    waiting = notification("n-1")
    PushAttempt.objects.bulk_create(
        PushAttempt(notification=waiting, stage="send", outcome="waiting", error_code=f"code-{n}") for n in range(300)
    )
    shown = page_of(admin_client, waiting)
    assert "code-299 " in shown
    assert "code-200 " in shown
    assert "code-199 " not in shown


@pytest.mark.parametrize("name", ["a/b", "ü b?c#d%41", "<script>alert(1)</script>", '"quoted"', "_2F"])
def test_an_id_of_any_characters_is_listed_opened_and_escaped(admin_client, name):
    row = notification(name, error_message=name, request={"title": name})
    delivery(row, title=name, body=name)
    dead_letter(name.encode(), notification_id=name, reasons=[name])
    assert name in page_of(admin_client, row)
    for model in LEDGER:
        html = admin_client.get(listed(model)).content.decode()
        assert unescape(html).count(name)
        assert "<script>alert" not in html
    assert "<script>alert" not in admin_client.get(opened(row)).content.decode()


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"user_id": 1, "device_token": "short-secret"}', '"user_id": 1'),
        (b'{"user_id": 1, "device_token": "short-secret"', '"user_id": 1'),
        (b"\xff\xfe not text", "not text"),
        (rb'{"user_id": 1, "title": "half \ud800"}', "half ?"),
        (b"[" * 20_000, "[[[["),
        (b"[" * 900 + b"1" + b"]" * 900, "["),
        (b"", ""),
    ],
)
def test_a_dead_letter_of_any_kind_is_shown(admin_client, body, shown):
    page = page_of(admin_client, dead_letter(body))
    assert shown in page
    assert "user_id: Field required" in page
    assert "short-secret" not in page


def test_a_long_dead_letter_is_shown_in_part(admin_client):
    page = page_of(admin_client, dead_letter(b"word " * 10_000))
    assert 700 < page.count("word ") < 900


# In plain words


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"status": Status.SKIPPED, "error_code": "opted_out"}, "Nothing to do: the user does not"),
        ({"status": Status.FAILED, "error_message": "It broke."}, "It broke."),
        ({"status": Status.EXPIRED, "error_code": "expired"}, "give it a later expires_at"),
        ({"status": Status.CANCELLED}, "It was cancelled."),
        ({"status": Status.CANCELLED, "error_message": "Cancelled by user ada."}, "Cancelled by user ada."),
        ({"status": Status.CANCELLED, "error_code": "cancelled"}, "If it is wanted after all, resend it."),
        ({"cancel_reason": "Cancelled by user ada."}, "it is about to end. Cancelled by user ada."),
        ({"resent_at": timezone.now()}, "It is being sent again, as was asked for at"),
        ({"status": Status.FAILED, "error_code": "device_gone"}, "no longer lists this device"),
        ({"worker_id": uuid4(), "next_attempt_at": None}, "A worker has it in work."),
        ({}, "It is due, and waits for a worker."),
        ({}, "No worker is alive. Start one: python manage.py"),
        ({"error_message": "FCM is down."}, "Until now: FCM is down."),
        ({"next_attempt_at": timezone.now() + timedelta(hours=1)}, "waits for its next attempt at"),
        ({"crashes": 1}, "Its worker stopped once while it had it in work: it is carried with few others now."),
        ({"crashes": 2}, "Its worker stopped 2 times while it had it in work: it is carried on its own now. It is due"),
        ({"status": Status.FAILED, "error_code": "crash_loop"}, "Look at the last log lines of the workers"),
        ({"status": Status.SENT}, "The gateway is about to be told."),
        ({}, "The gateway is told when it has ended."),
        (
            {"status": Status.SENT, "report_refused_at": timezone.now(), "report_error": "404: no"},
            "The gateway has not been told, and will not be: 404: no",
        ),
        (
            {"status": Status.SENT, "report_attempts": 2, "report_error": "It is down."},
            "still owed word of it after 2 attempts: It is down.",
        ),
    ],
)
def test_a_page_says_how_it_stands_and_what_to_do(admin_client, row, words):
    assert words in page_of(admin_client, notification("n-1", **row))


def test_where_there_is_no_gateway_no_page_says_that_it_was_told(admin_client, settings):
    settings.PUSH = settings.PUSH.model_copy(update={"api_gateway_url": None})
    shown = page_of(admin_client, notification("n-1", status=Status.SENT, reported_at=timezone.now()))
    assert "There is no gateway to tell." in shown


def test_a_workers_page_says_whether_it_lives(admin_client):
    told = {"fcm": {"breaker": {"state": "open"}}, "gateway": {"breaker": {"state": "closed"}}}
    alive = Worker.objects.create(id=uuid4(), host="a-host", pid=1, breakers=told)
    long_ago = timezone.now() - timedelta(hours=1)
    gone = Worker.objects.create(id=uuid4(), host="b-host", pid=2, heartbeat_at=long_ago)
    assert "alive" in page_of(admin_client, alive)
    assert "FCM: open Gateway: closed" in page_of(admin_client, alive)
    assert "gone Its notifications 0 were in work when it was heard last. The others take them over" in page_of(
        admin_client, gone
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"reported_at": timezone.now()}, "told"),
        ({"report_refused_at": timezone.now(), "report_error": "404: no"}, "refused to hear of it: 404: no"),
        ({"report_due_at": timezone.now()}, "is owed word of it"),
        ({}, "not told"),
    ],
)
def test_a_dead_token_says_whether_the_user_service_knows(admin_client, row, words):
    page = page_of(admin_client, dead_token(TOKEN, **row))
    assert f"User service {words} " in page


def test_a_dead_token_says_what_it_is_for_how_long_and_whether_it_is_tried(admin_client):
    now = timezone.now()
    row = dead_token(TOKEN, fate="quarantined", remembered_until=now + timedelta(hours=5, minutes=1), held_at=now)
    for shown in (page_of(admin_client, row), text(admin_client.get(listed(DeadToken)))):
        assert "quarantined: another project's, perhaps" in shown
        assert "in 5 h" in shown


@pytest.mark.parametrize(
    ("query", "users"),
    [
        ("?memory=held", {"held"}),
        ("?memory=remembered", {"remembered"}),
        ("?memory=over", {"over", "never"}),
        ("?fate__exact=quarantined", {"over"}),
        ("?memory=nonsense", {"held", "remembered", "over", "never"}),
    ],
)
def test_dead_tokens_are_filtered_by_whether_they_are_tried(admin_client, query, users):
    soon, before = (timezone.now() + timedelta(hours=hours) for hours in (1, -1))
    rows = {
        "held": {"held_at": before, "remembered_until": soon},
        "remembered": {"remembered_until": soon},
        "over": {"remembered_until": before, "fate": "quarantined"},
        "never": {},
    }
    for user, row in rows.items():
        dead_token(user * 10, user_id=f"user-{user}", **row)
    shown = set(re.findall(r"user-(\w+)", text(admin_client.get(listed(DeadToken, query)))))
    assert shown == users


@pytest.mark.parametrize("model", [DeadToken, Worker])
@pytest.mark.parametrize(("ago", "stopped", "words"), [(0, True, 1), (0, False, 0), (3600, True, 0)])
def test_while_a_living_worker_holds_dead_tokens_nobody_can_miss_it(admin_client, model, ago, stopped, words):
    windows = [{"seconds": 60, "accepted": 188, "dead": 312}]
    state = {"fcm": {"breaker": {"state": "closed"}, "verdicts": {"windows": windows, "stopped": stopped}}}
    beat = timezone.now() - timedelta(seconds=ago)
    Worker.objects.create(id=uuid4(), host="a-host", pid=1, breakers=state, heartbeat_at=beat)
    html = admin_client.get(listed(model)).content.decode()
    notice = r"errornote[^>]*>\s*Pruning has stopped: 312 of the last 500 verdicts of fcm say that the token is dead\."
    assert len(re.findall(notice, html)) == words


def test_a_dead_token_is_found_by_its_fingerprint(admin_client):
    for token in (TOKEN, "another" * 20):
        dead_token(token, user_id=f"user-{token[:7]}")
    for term in (fingerprint(TOKEN), f"#{fingerprint(TOKEN)}"):
        shown = text(admin_client.get(listed(DeadToken), {"q": term}))
        assert f"user-{TOKEN[:7]}" in shown
        assert "user-another" not in shown


@pytest.mark.parametrize("model", MODELS)
def test_an_empty_list_says_what_to_do(admin_client, model):
    assert "0 " not in text(admin_client.get(listed(model)))
    hint = admin.site.get_model_admin(model).empty_state
    assert hint in text(admin_client.get(listed(model)))


@pytest.mark.parametrize("model", LEDGER)
def test_a_search_without_a_match_says_so(admin_client, model):
    shown = text(admin_client.get(listed(model, "?q=nobody")))
    assert "Nothing matches." in shown
    assert admin.site.get_model_admin(model).empty_state not in shown


# Finding


@pytest.mark.parametrize("term", ["n 1", " n 1 ", "user 1", "corr 1"])
@pytest.mark.parametrize("model", [Notification, PushDelivery])
def test_ids_are_found_whole_spaces_and_all(admin_client, model, term):
    wanted = notification("n 1", user_id="user 1", correlation_id="corr 1")
    other = notification("n 12", user_id="user 12", correlation_id="corr 12")
    delivery(wanted)
    delivery(other)
    shown = text(admin_client.get(listed(model), {"q": term}))
    assert "n 1 " in shown
    assert "n 12" not in shown


@pytest.mark.parametrize("term", ["n-1", "corr-1"])
def test_dead_letters_are_found(admin_client, term):
    dead_letter(b"a", notification_id="n-1", correlation_id="corr-1", code="exhausted")
    dead_letter(b"b", notification_id="n-2", correlation_id="corr-2", code="invalid_message")
    shown = text(admin_client.get(listed(DeadLetter), {"q": term}))
    assert "exhausted" in shown
    assert "invalid_message" not in shown


def test_a_nul_in_a_search_finds_nothing_and_breaks_nothing(admin_client):
    for model in LEDGER:
        assert admin_client.get(listed(model), {"q": "a\0b"}).status_code == 200


def test_statuses_are_filtered(admin_client):
    for status in Status:
        row = notification(f"is-{status}", status=status, error_code="" if status in UNTROUBLED else "X")
        delivery(row, status=status, error_code=row.error_code)
    for model in (Notification, PushDelivery):
        for status in Status:
            shown = text(admin_client.get(listed(model, f"?status__exact={status}")))
            assert set(re.findall(r"is-\w+", shown)) == {f"is-{status}"}
        assert admin_client.get(listed(model, "?status__exact=nonsense")).status_code == 200
        assert len(set(re.findall(r"is-\w+", text(admin_client.get(listed(model)))))) == len(Status)


@pytest.mark.parametrize(
    ("model", "guess"),
    [
        (PushDelivery, "device_token__startswith=dG"),
        (Notification, "deliveries__device_token__startswith=dG"),
        (ApiKey, "key_hash__startswith=0"),
    ],
)
def test_nothing_hidden_can_be_guessed_by_a_filter(admin_client, model, guess):
    assert admin_client.get(listed(model, f"?{guess}")).status_code == 400


# At any size


@pytest.mark.parametrize("model", LEDGER)
@pytest.mark.parametrize("query", ["", "?q=u-1", "?p=2", "?_facets=True", "?all="])
def test_no_list_counts_its_table_or_reads_all_of_it(admin_client, model, query):
    for n in range(60):
        delivery(notification(f"n-{n}"))
        dead_letter(b"", correlation_id="u-1")
    with CaptureQueriesContext(connection) as seen:
        admin_client.get(listed(model, query))
    on_table = [q["sql"] for q in seen if f'FROM "{model._meta.db_table}"' in q["sql"]]
    assert on_table
    assert not [sql for sql in on_table if "COUNT(" in sql.upper() or "LIMIT" not in sql]


# Changing nothing


@pytest.mark.parametrize("action", ["change", "delete"])
def test_no_row_can_be_changed_or_deleted(admin_client, action):
    for row in one_of_each():
        url = opened(row).replace("/change/", f"/{action}/")
        before = type(row).objects.filter(pk=row.pk).values().get()
        assert admin_client.post(url, {"post": "yes", "status": "sent"}).status_code == 403
        assert type(row).objects.filter(pk=row.pk).values().get() == before


@pytest.mark.parametrize("model", [model for model in MODELS if model is not ApiKey])
def test_no_row_can_be_added_nor_deleted_by_an_action(admin_client, model):
    one_of_each()
    url = reverse(f"admin:deliveries_{model._meta.model_name}_add")
    assert admin_client.get(url).status_code == 403
    chosen = [row.pk for row in model.objects.all()]
    admin_client.post(listed(model), {"action": "delete_selected", "_selected_action": chosen, "post": "yes"})
    assert model.objects.count() == len(chosen)


def test_nobody_looks_without_logging_in_and_leave():
    one_of_each()
    stranger = Client()
    User.objects.create_user("guest", password="guest", is_staff=True)
    guest = Client()
    assert guest.login(username="guest", password="guest")
    for model in MODELS:
        assert stranger.get(listed(model)).status_code == 302
        assert guest.get(listed(model)).status_code == 403


def test_the_pages_of_dramatiqs_tasks_are_gone():
    assert not admin.site.is_registered(Task)
