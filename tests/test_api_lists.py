"""Lists of notifications: all that is new in one statement, and for each what it would have been told alone."""

import json

import dramatiq
import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from deliveries.api.bodies import MAX_LIST_BYTES
from deliveries.contract import MAX_BODY_BYTES
from deliveries.models import Notification
from tests.api_client import Api, a_key, fault
from tests.world import message, query

pytestmark = pytest.mark.django_db(transaction=True)


def results(answer, status):
    assert answer.status_code == status, answer.content
    [(name, items)] = answer.json().items()
    assert name == "results"
    return items


def test_each_item_is_answered_in_order_as_if_it_had_come_alone(api):
    bodies = [message("n-1", ttl=60), message("n-2", priority=10), message("n-3", correlation_id="c-3")]
    listed = results(api.post(bodies), 202)
    for body, item in zip(bodies, listed, strict=True):
        assert item.pop("status_code") == 202
        assert api.post(body).json() == item | {"duplicate": True}
    rows = {row.pk: row for row in Notification.objects.all()}
    assert [rows[f"n-{n}"].high_priority for n in (1, 2, 3)] == [False, True, False]
    assert round((rows["n-1"].expires_at - rows["n-1"].created_at).total_seconds()) == 60


def test_what_is_wrong_with_one_item_is_nothing_to_the_others(api):
    api.post(message("known"))
    bodies = [
        message("n-1"),
        {"user_id": "", "ttl": "soon"},
        message("known", title="another"),
        "text",
        message("big", body="x" * MAX_BODY_BYTES),
        message("n-2"),
    ]
    listed = results(api.post(bodies), 207)
    assert [item["status_code"] for item in listed] == [202, 400, 409, 400, 413, 202]
    for body, item in zip(bodies, listed, strict=True):
        alone = api.post(body)
        assert alone.status_code == item["status_code"]
        if alone.status_code != 202:
            assert alone.json() == {"error": item["error"]}
    assert set(Notification.objects.values_list("pk", flat=True)) == {"known", "n-1", "n-2"}


def test_two_items_of_one_id_are_as_two_requests(api):
    bodies = [message("n-1"), message("n-1"), message("n-1", title="another"), message("n-1", correlation_id="c")]
    first, again, other, last = results(api.post(bodies), 207)
    assert (first["status_code"], first["duplicate"]) == (202, False)
    assert again == first | {"duplicate": True}
    assert (other["status_code"], other["error"]["code"]) == (409, "conflict")
    assert last == again
    assert query("SELECT request->>'title' FROM notifications") == [(None,)]


def test_items_without_an_id_get_one_each(api):
    body = {"user_id": "u", "title": "t"}
    assert len({item["notification_id"] for item in results(api.post([body] * 3), 202)}) == 3


def test_the_header_is_the_correlation_id_of_those_that_have_none(api):
    bodies = [message("n-1"), message("n-2", correlation_id="own")]
    listed = results(api.post(bodies, **{"X-Correlation-ID": "from-header"}), 202)
    assert [item["correlation_id"] for item in listed] == ["from-header", "own"]


@pytest.mark.parametrize("bodies", [[], [message("n-1")] * 501])
def test_a_list_has_1_to_500_items(api, bodies):
    answer = api.post(bodies)
    assert (answer.status_code, fault(answer)["code"]) == (400, "invalid_list")
    assert not Notification.objects.exists()


def test_five_hundred_take_as_many_statements_as_one(api, django_assert_num_queries):
    another = Api(a_key("another"))  # the first one's bucket is empty by then
    with CaptureQueriesContext(connection) as one:
        api.post([message("one")])
    with django_assert_num_queries(len(one)):
        results(api.post([message(f"n-{n}") for n in range(500)]), 202)
    with django_assert_num_queries(len(one) + 1):  # what is known is looked up, all at once
        results(another.post([message(f"n-{n}") for n in range(500)]), 202)
    assert Notification.objects.count() == 501


def test_workers_are_woken_once_for_what_is_new(api, monkeypatch):
    woken = []
    monkeypatch.setattr(dramatiq.get_broker(), "wake", woken.append, raising=False)
    api.post([message("n-1"), message("n-2"), {}])
    api.post([message("n-1"), message("n-3")])
    api.post([message("n-1")])
    assert woken == [["n-1", "n-2"], ["n-3"]]


def test_the_size_of_a_list_is_bounded(api):
    body = json.dumps([message("n-1")])
    assert api.post(body.ljust(MAX_LIST_BYTES).encode()).status_code == 202
    refused = api.post(body.ljust(MAX_LIST_BYTES + 1).encode())
    assert (refused.status_code, fault(refused)["code"]) == (413, "too_large")


def test_a_hostile_item_is_refused_by_itself(api):
    deep = b"[" * 300 + b"]" * 300
    nul = b'{"user_id": "u", "title": "\\u0000"}'
    listed = results(api.post(b"[" + deep + b"," + nul + b', {"user_id": "u", "title": "t"}]'), 207)
    assert [item["status_code"] for item in listed] == [400, 400, 202]
