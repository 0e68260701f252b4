"""The API: what it accepts is committed, what it refuses it explains, and who has no key hears nothing."""

import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urljoin, urlsplit

import dramatiq
import pytest
from django.db import connection
from pika import BlockingConnection

from deliveries.contract import MAX_BODY_BYTES
from deliveries.models import Notification, PushAttempt, PushDelivery, Status
from tests.api_client import NOTIFICATIONS, fault
from tests.outages import broker_instead, database_away, unreachable_rabbitmq
from tests.world import eventually, message, query

TOKEN = "dGVzdC1kZXZpY2UtdG9rZW4:APA91b" + "Qw3rTy-_" * 15

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def without_rabbitmq() -> Iterator[None]:
    with broker_instead(unreachable_rabbitmq()):
        yield


@pytest.fixture
def without_database(api) -> Iterator[None]:
    with database_away():
        yield


# Accepting


def test_what_is_answered_202_is_a_row_that_is_due_at_once(api):
    answer = api.post(message("n-1", priority=10, ttl=60))
    assert answer.status_code == 202
    row = Notification.objects.get(pk="n-1")
    assert answer.json() == {
        "notification_id": "n-1",
        "status": "pending",
        "correlation_id": row.correlation_id,
        "duplicate": False,
        "links": {"self": "http://testserver/api/v1/notifications/n-1/"},
    }
    assert (row.source, row.high_priority, row.worker_id, row.fence) == ("api", True, None, 0)
    assert row.next_attempt_at <= row.created_at
    assert round((row.expires_at - row.created_at).total_seconds()) == 60


def test_the_same_id_from_many_at_once_is_accepted_once(api):
    start = threading.Barrier(8)

    def post(_):
        start.wait()
        try:
            return api.post(message("n-1")).json()["duplicate"]
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sorted(pool.map(post, range(8))) == [False] + [True] * 7


def test_an_id_and_a_correlation_id_are_made_up_where_none_is_given(api):
    body = message("ignored")
    del body["notification_id"]
    answers = [api.post(body).json() for _ in range(2)]
    assert len({answer["notification_id"] for answer in answers}) == 2
    assert len({answer["correlation_id"] for answer in answers}) == 2
    assert Notification.objects.count() == 2


def test_a_correlation_id_may_come_as_a_header_and_the_body_has_the_last_word(api):
    header = {"X-Correlation-ID": "from-header"}
    assert api.post(message("n-1"), **header).json()["correlation_id"] == "from-header"
    in_body = message("n-2", correlation_id="from-body")
    assert api.post(in_body, **header).json()["correlation_id"] == "from-body"


@pytest.mark.parametrize("header", ["x" * 256, "a\tb", "a\x7fb", "abc \xc3\xa9"])
def test_a_header_that_is_no_correlation_id_is_refused_even_if_it_is_not_needed(api, header):
    for body in (message("n-1", correlation_id="own"), [message("n-1")]):
        answer = api.post(body, **{"X-Correlation-ID": header})
        assert (answer.status_code, fault(answer)["code"]) == (400, "invalid_request")
        assert [one["field"] for one in fault(answer)["fields"]] == ["X-Correlation-ID"]
    assert api.post(message("n-1"), **{"X-Correlation-ID": " "}).status_code == 202


def test_aliases_are_read_as_on_the_queue(api):
    api.post({"request_id": "n-1", "user": {"id": "u-1"}, "template": {"slug": "welcome"}})
    row = Notification.objects.get(pk="n-1")
    assert (row.user_id, row.template_id) == ("u-1", "welcome")


def test_a_body_without_a_length_is_read_to_its_end(api):
    """As a server hands over a chunked one."""
    body = io.BytesIO(json.dumps(message("n-1")).encode())
    environ = {"wsgi.input": body, "wsgi.input_terminated": True, "CONTENT_LENGTH": ""}
    answer = api.client.generic("POST", NOTIFICATIONS, content_type="application/json", **environ)
    assert answer.status_code == 202


def test_workers_are_woken_after_the_commit(api, rabbit):
    broker = dramatiq.get_broker()
    listening = BlockingConnection(broker.parameters)
    broker.topology.ensure_wake_queue(listening)
    api.post(message("n-1"))
    channel = listening.channel()
    _, _, body = eventually(lambda: (got := channel.basic_get(broker.topology.wake_queue, auto_ack=True))[0] and got)
    assert json.loads(body) == ["n-1"]
    listening.close()


def test_without_rabbitmq_it_is_accepted_all_the_same(api, without_rabbitmq):
    assert api.post(message("n-1")).status_code == 202
    assert Notification.objects.filter(pk="n-1", next_attempt_at__isnull=False).exists()


def test_without_the_database_nothing_is_accepted(api, without_database):
    answer = api.post(message("n-1"))
    assert answer.status_code == 503
    assert fault(answer)["code"] == "database_unavailable"
    assert int(answer["Retry-After"]) > 0


def test_a_database_that_only_reads_is_away_as_well(api):
    query("SET default_transaction_read_only = on")
    try:
        answer = api.post(message("n-1"))
    finally:
        query("SET default_transaction_read_only = off")
    assert (answer.status_code, fault(answer)["code"]) == (503, "database_unavailable")


def test_what_is_posted_is_delivered_and_told(api, engine):
    engine()
    itself = api.post(message("n-1", "user-1")).json()["links"]["self"]
    told = eventually(lambda: (now := api.get(itself).json())["report"]["reported_at"] and now)
    assert told["status"] == "sent"
    [delivery] = told["deliveries"]
    assert delivery["status"] == "sent"
    assert delivery["created_at"] <= delivery["sending_at"] <= delivery["sent_at"]
    assert delivery["provider_message_id"].startswith("projects/")


# Refusing


def test_every_fault_is_told_at_once(api):
    answer = api.post({"user_id": "", "ttl": "soon", "title": "x" * 2000})
    assert answer.status_code == 400
    error = fault(answer)
    assert error["code"] == "invalid_message"
    assert {one["field"] for one in error["fields"]} == {"user_id", "ttl", "title"}
    assert all(one["message"] for one in error["fields"])
    assert not Notification.objects.exists()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b"\xff\xfe",
        b'"text"',
        b"null",
        b"{}",
        b'{"a":' * 10_000,
        b"[" * 60_000,
        b'{"user_id": "u", "title": "\\u0000"}',
        b'{"user_id": "u", "title": "\\ud800"}',
        b'{"user_id": "u", "title": "t", "metadata": {"n": 1e999}}',
    ],
)
def test_hostile_bodies_are_refused_in_our_shape(api, body):
    answer = api.post(body)
    assert answer.status_code == 400
    assert fault(answer)["fields"]


def test_the_size_of_a_body_is_bounded(api):
    body = json.dumps(message("n-1"))
    assert api.post(body.ljust(MAX_BODY_BYTES).encode()).status_code == 202
    refused = api.post(body.ljust(MAX_BODY_BYTES + 1).encode())
    assert (refused.status_code, fault(refused)["code"]) == (413, "too_large")


# Reading


@pytest.mark.parametrize(
    "any_id",
    [
        "plain",
        "a/b",
        "a//b",
        "a/",
        "/a",
        "a/b/",
        "a/../b",
        "../../..",
        "a/./b",
        "a b?c#d%41",
        "ü-😀",
        "<script>",
        "live",
        "x" * 255,
    ],
)
def test_an_id_of_any_characters_is_reachable_by_its_link(api, any_id):
    for other in ("a", "b", "a/b"):
        api.post(message(other))
    itself = api.post(message(any_id)).json()["links"]["self"]
    assert urljoin(itself, urlsplit(itself).path) == itself  # nothing in it that a client would resolve
    assert api.get(itself).json()["notification_id"] == any_id


def test_the_trailing_slash_may_be_left_out(api):
    body = json.dumps(message("n-1")).encode()
    url = NOTIFICATIONS.rstrip("/")
    assert api.client.post(url, body, "application/json").status_code == 202
    assert api.get(f"{url}/n-1").json()["notification_id"] == "n-1"


def test_a_notification_is_told_with_deliveries_and_history_and_without_tokens(api):
    api.post(message("n-1"))
    delivery = PushDelivery.objects.create(
        notification_id="n-1",
        user_id="u-1",
        device_token=TOKEN,
        provider="fcm",
        status=Status.FAILED,
        error_code="UNREGISTERED",
        attempts=1,
    )
    PushAttempt.objects.create(
        notification_id="n-1",
        delivery=delivery,
        stage="send",
        outcome="failed",
        error_code="UNREGISTERED",
        http_status=404,
    )
    answer = api.get(f"{NOTIFICATIONS}n-1/")
    assert TOKEN not in answer.content.decode()
    told = answer.json()
    [shown] = told["deliveries"]
    assert shown["device_token"] == f"{TOKEN[:4]}…{TOKEN[-4:]}"
    assert (shown["status"], shown["error_code"]) == ("failed", "UNREGISTERED")
    [attempt] = told["history"]
    assert (attempt["delivery_id"], attempt["http_status"]) == (delivery.pk, 404)
    assert told["report"] == {"reported_at": None, "refused_at": None, "attempts": 0, "error": ""}


def test_a_history_that_grew_for_days_is_cut_to_its_latest_lines(api):
    api.post(message("n-1"))
    PushAttempt.objects.bulk_create(
        PushAttempt(notification_id="n-1", stage="send", outcome="waiting", error_code=str(n)) for n in range(250)
    )
    history = api.get(f"{NOTIFICATIONS}n-1/").json()["history"]
    assert [line["error_code"] for line in history] == [str(n) for n in range(249, 149, -1)]


def test_a_notification_that_is_not_there_is_a_404(api):
    answer = api.get(f"{NOTIFICATIONS}unknown/")
    assert (answer.status_code, fault(answer)["code"]) == (404, "unknown_notification")
