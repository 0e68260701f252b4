"""Deliveries over HTTP: looked for by what an index knows, page by page, and each with its history."""

from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.models import PushAttempt, PushDelivery, Status
from tests.api_client import DELIVERIES, fault
from tests.world import query

TOKEN = "dGVzdC1kZXZpY2UtdG9rZW4:APA91b" + "Qw3rTy-_" * 15

pytestmark = pytest.mark.django_db(transaction=True)

#: A day of an installation: one delivery a second, of which few are in trouble or open; an hour ago it was the other
#: provider's turn.
MANY = """
INSERT INTO notifications (notification_id, user_id, correlation_id, source, request, accept_token, expires_at, status,
                           next_attempt_at, worker_id)
SELECT 'n-' || i, 'u-' || i % 500, 'c', 'api', '{}', i, now(),
       CASE WHEN i > 19900 THEN 'pending' ELSE 'sent' END,
       CASE WHEN i > 19900 AND i % 2 = 0 THEN now() END,
       CASE WHEN i > 19900 AND i % 2 = 1 THEN gen_random_uuid() END
FROM generate_series(1, 20000) i;
INSERT INTO push_deliveries (notification_id, user_id, device_token, provider, status, error_code, created_at)
SELECT 'n-' || i, 'u-' || i % 500, 'token-' || i, CASE WHEN i BETWEEN 15000 AND 16000 THEN 'fcm_legacy' ELSE 'fcm' END,
       CASE WHEN i > 19900 THEN CASE WHEN i % 3 = 0 THEN 'sending' ELSE 'pending' END
            WHEN i % 50 = 0 THEN 'failed' WHEN i % 151 = 0 THEN 'expired' WHEN i % 397 = 0 THEN 'cancelled'
            ELSE 'sent' END,
       CASE WHEN i > 19900 THEN '' WHEN i % 50 = 0 THEN 'UNREGISTERED' WHEN i % 151 = 0 THEN 'expired'
            WHEN i % 397 = 0 THEN 'cancelled' ELSE '' END,
       '2026-01-31T00:00:00Z'::timestamptz + make_interval(secs => i)
FROM generate_series(1, 20000) i;
ANALYZE notifications, push_deliveries;
"""


@pytest.fixture
def many(api):
    query(MANY.replace("%", "%%"))


def add(notification: str = "n-1", token: str = TOKEN, **columns) -> PushDelivery:
    query(
        "INSERT INTO notifications (notification_id, user_id, correlation_id, source, request, accept_token,"
        " expires_at) VALUES (%s, 'u', 'c', 'api', '{}', hashtext(%s), now()) ON CONFLICT DO NOTHING",
        notification,
        notification,
    )
    values = {"user_id": "u-1", "provider": "fcm", "device_token": token} | columns
    return PushDelivery.objects.create(notification_id=notification, **values)


def listed(answer):
    assert answer.status_code == 200, answer.content
    return [delivery["id"] for delivery in answer.json()["results"]]


def faults(answer):
    assert (answer.status_code, fault(answer)["code"]) == (400, "invalid_request")
    return {one["field"] for one in fault(answer)["fields"]}


def test_a_delivery_is_told_with_its_history_and_without_its_token(api):
    delivery = add(status=Status.FAILED, error_code="UNREGISTERED", title="Hello", body="secret text", attempts=1)
    PushAttempt.objects.create(
        notification_id="n-1", delivery=delivery, stage="send", outcome="failed", error_code="UNREGISTERED"
    )
    PushAttempt.objects.create(notification_id="n-1", stage="render", outcome="retry", error_code="timeout")
    answer = api.get(f"{DELIVERIES}{delivery.pk}/")
    assert TOKEN not in answer.content.decode()
    assert "secret text" not in answer.content.decode()
    told = answer.json()
    assert (told["notification_id"], told["status"], told["forced_resends"]) == ("n-1", "failed", 0)
    assert [line["error_code"] for line in told["history"]] == ["UNREGISTERED"]
    assert api.get(told["links"]["self"]).json() == told
    assert api.get(told["links"]["notification"]).json()["notification_id"] == "n-1"
    del told["history"]
    assert api.get(DELIVERIES).json()["results"] == [told]


@pytest.mark.parametrize("id", ["0", "17", "9" * 30])
def test_a_delivery_that_is_not_there_is_a_404(api, id):
    answer = api.get(f"{DELIVERIES}{id}/")
    assert (answer.status_code, fault(answer)["code"]) == (404, "unknown_delivery")


def test_pages_lead_on_and_back_while_the_list_grows(api):
    ids = [add(token=f"token-{n}").pk for n in range(7)][::-1]
    first = api.get(DELIVERIES, page_size=3, user_id="u-1").json()
    assert [one["id"] for one in first["results"]] == ids[:3]
    assert first["previous"] is None
    add(token="newer")
    second = api.get(first["next"]).json()
    assert [one["id"] for one in second["results"]] == ids[3:6]
    last = api.get(second["next"]).json()
    assert [one["id"] for one in last["results"]] == ids[6:]
    assert last["next"] is None
    assert listed(api.get(last["previous"])) == ids[3:6]
    assert listed(api.get(second["previous"])) == ids[:3]


def test_a_page_has_50_unless_another_size_is_asked_for(api):
    for n in range(60):
        add(token=f"token-{n}")
    assert len(listed(api.get(DELIVERIES))) == 50
    assert len(listed(api.get(DELIVERIES, page_size=500))) == 60


@pytest.mark.parametrize("column", ["error_code", "user_id"])
def test_each_filter_finds_its_own_and_nothing_else(api, column):
    add(token="other", **{column: "other"})
    found = add(**{column: "this"})
    assert listed(api.get(DELIVERIES, **{column: "this"})) == [found.pk]
    assert listed(api.get(DELIVERIES, **{column: "nothing"})) == []


def test_deliveries_are_found_by_their_provider(api):
    add(token="other")
    found = add(provider="fcm_legacy")
    assert listed(api.get(DELIVERIES, provider="fcm_legacy")) == [found.pk]
    assert "fcm, fcm_legacy" in fault(api.get(DELIVERIES, provider="nosuch"))["message"]


def test_deliveries_are_found_by_their_notification(api):
    add("n-2")
    mine = [add("n-1", f"token-{n}").pk for n in range(2)][::-1]
    assert listed(api.get(DELIVERIES, notification_id="n-1")) == mine


def test_filters_hold_together(api, many):
    found = api.get(DELIVERIES, status="failed", user_id="u-50", since="2026-01-31T01:00:00Z").json()["results"]
    assert found
    assert all(one["created_at"] >= "2026-01-31T01:00:00Z" for one in found)
    assert {(one["status"], one["user_id"]) for one in found} == {("failed", "u-50")}


@pytest.mark.parametrize("status", ["sent", "failed", "expired", "cancelled", "pending", "sending"])
def test_by_status_all_are_found(api, many, status):
    [[count]] = query("SELECT count(*) FROM push_deliveries WHERE status = %s", status)
    found, url = 0, f"{DELIVERIES}?status={status}&page_size=500"
    while url:
        page = api.get(url).json()
        assert {one["status"] for one in page["results"]} <= {status}
        found, url = found + len(page["results"]), page["next"]
    assert found == count > 0


def test_times_are_taken_exactly_and_in_any_zone(api):
    deliveries = [add(token=f"token-{n}").pk for n in range(3)]
    for n, id in enumerate(deliveries):
        query("UPDATE push_deliveries SET created_at = %s WHERE id = %s", f"2026-01-31T12:00:0{n}Z", id)
    second = "2026-01-31T13:00:01+01:00"
    assert listed(api.get(DELIVERIES, since=second)) == [deliveries[2], deliveries[1]]
    assert listed(api.get(DELIVERIES, until=second)) == [deliveries[1], deliveries[0]]
    assert listed(api.get(DELIVERIES, since=second, until=second)) == [deliveries[1]]


def test_a_time_far_from_all_rows_finds_all_or_none(api, many):
    assert len(listed(api.get(DELIVERIES, since="2000-01-01T00:00:00Z"))) == 50
    assert listed(api.get(DELIVERIES, until="2000-01-01T00:00:00Z")) == []
    assert listed(api.get(DELIVERIES, since="9998-12-31T23:59:59Z")) == []
    assert len(listed(api.get(DELIVERIES, until="9998-12-31T23:59:59Z"))) == 50


@pytest.mark.parametrize(
    ("parameters", "wrong"),
    [
        ({"state": "failed"}, {"state"}),
        ({"status": "lost"}, {"status"}),
        ({"status": ""}, {"status"}),
        ({"user_id": ""}, {"user_id"}),
        ({"user_id": "a\0b"}, {"user_id"}),
        ({"error_code": "x" * 256}, {"error_code"}),
        ({"since": "yesterday"}, {"since"}),
        ({"since": "2026-01-31T12:00:00"}, {"since"}),
        ({"since": "1893456000"}, {"since"}),
        ({"until": "2026-02-31T12:00:00Z"}, {"until"}),
        ({"until": "1999-12-31T12:00:00Z"}, {"until"}),
        ({"provider": "nosuch"}, {"provider"}),
        ({"page_size": "0"}, {"page_size"}),
        ({"page_size": "501"}, {"page_size"}),
        ({"page_size": "many"}, {"page_size"}),
        ({"cursor": ""}, {"cursor"}),
        ({"cursor": "cD0x"}, {"cursor"}),
        ({"cursor": "older-x"}, {"cursor"}),
        ({"status": "lost", "page_size": "0", "format": "xml"}, {"status", "page_size", "format"}),
    ],
)
def test_every_parameter_at_fault_is_named(api, parameters, wrong):
    assert faults(api.get(DELIVERIES, **parameters)) == wrong


def test_a_parameter_given_twice_is_a_fault(api):
    assert faults(api.get(f"{DELIVERIES}?status=failed&status=sent")) == {"status"}


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"status": "sent"},
        {"status": "failed"},
        {"status": "expired"},
        {"status": "cancelled"},
        {"status": "skipped"},
        {"status": "pending"},
        {"status": "sending"},
        {"error_code": "UNREGISTERED"},
        {"error_code": "never-seen"},
        {"user_id": "u-7"},
        {"user_id": "nobody"},
        {"notification_id": "n-7"},
        {"provider": "fcm"},
        {"provider": "fcm_legacy"},
        {"since": "2026-01-31T05:30:00Z"},
        {"since": "2026-01-30T00:00:00Z"},
        {"until": "2026-01-31T00:00:30Z"},
        {"until": "2026-01-31T03:00:00Z"},
        {"since": "2026-01-31T02:00:00Z", "until": "2026-01-31T02:00:10Z"},
        {"cursor": "older-5000"},
        {"cursor": "newer-5000"},
    ],
    ids=urlencode,
)
def test_no_filter_reads_the_whole_table(api, many, parameters):
    with CaptureQueriesContext(connection) as asked:
        listed(api.get(DELIVERIES, **parameters))
    statements = [entry["sql"] for entry in asked if '"push_deliveries"' in entry["sql"]]
    assert statements
    for statement in statements:
        plan = "\n".join(row[0] for row in query(f"EXPLAIN {statement}".replace("%", "%%")))
        assert "Seq Scan" not in plan, plan


def test_a_page_far_back_reads_no_more_than_a_page(api, many):
    """Not all that is newer: the time bounds the ids."""
    with CaptureQueriesContext(connection) as asked:
        listed(api.get(DELIVERIES, until="2026-01-31T00:10:00Z"))
    plan = "\n".join(row[0] for row in query(f"EXPLAIN (ANALYZE, COSTS OFF) {asked[-1]['sql']}"))
    removed = [int(line.split()[-1]) for line in plan.splitlines() if "Rows Removed by Filter" in line]
    assert sum(removed) < 1000, plan


def test_a_page_takes_as_many_statements_as_one_row(api, django_assert_max_num_queries):
    for n in range(20):
        add(f"n-{n}")
    with django_assert_max_num_queries(2):  # the key, and the page
        assert len(listed(api.get(DELIVERIES))) == 20
