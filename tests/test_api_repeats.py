"""The same id again: the same notification, or a conflict that names what differs."""

import json

import pytest

from deliveries.models import Notification
from tests.api_client import fault
from tests.world import message, query

pytestmark = pytest.mark.django_db(transaction=True)


def conflict(answer):
    assert answer.status_code == 409
    assert fault(answer)["code"] == "conflict"
    return {one["field"] for one in fault(answer)["fields"]}


def test_the_same_id_with_the_same_content_is_the_same_notification(api):
    first = api.post(message("n-1", correlation_id="first"))
    query("UPDATE notifications SET status = 'sent'")
    second = api.post(message("n-1", correlation_id="second"))
    assert second.status_code == 202
    assert second.json() == first.json() | {"status": "sent", "duplicate": True}


def test_the_same_id_with_other_content_is_a_conflict(api):
    api.post(message("n-1"))
    assert conflict(api.post(message("n-1", "somebody-else", priority=9))) == {"user_id", "priority"}
    assert Notification.objects.get().user_id == "n-1"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"language": "en"}, {}),
        ({"priority": "7"}, {"priority": 7}),
        ({"user_id": 7}, {"user_id": "7"}),
        ({"expires_at": "2030-01-01T00:00:00Z"}, {"expires_at": "2030-01-01T01:00:00+01:00"}),
        ({"template_id": "welcome"}, {"template_code": "welcome", "template_id": None}),
        ({"variables": {"a": 1, "b": [{"c": None}]}}, {"variables": {"b": [{"c": None}], "a": 1}}),
        ({"title": ""}, {}),
    ],
)
def test_two_ways_to_say_the_same_are_the_same(api, one, other):
    assert api.post(message("n-1") | one).status_code == 202
    assert api.post(message("n-1") | other).json()["duplicate"] is True


@pytest.mark.parametrize("number", ["1e30", "-0.0", "1e300", "0.1", "123456789012345678901234567890", "1.50", "5e-324"])
def test_a_number_is_itself_after_it_was_stored(api, number):
    """PostgreSQL writes some of them in other digits than it was given."""
    body = json.dumps(message("n-1", variables={"n": 777})).replace("777", number).encode()
    assert [api.post(body).json()["duplicate"] for _ in range(2)] == [False, True]


@pytest.mark.parametrize(
    ("one", "other", "field"),
    [
        ({"variables": {"a": 1}}, {"variables": {"a": True}}, "variables"),
        ({"variables": {"a": [1, 2]}}, {"variables": {"a": [1]}}, "variables"),
        ({"metadata": {}}, {"metadata": {"a": None}}, "metadata"),
        ({"ttl": 60}, {}, "ttl"),
        ({"guarantee": "at_most_once"}, {}, "guarantee"),
        ({"request_id": "r-1"}, {"request_id": "r-2"}, "request_id"),
        ({}, {"badge": 3}, "badge"),
        ({"click_action": "OPEN"}, {}, "click_action"),
        ({"data_only": True}, {}, "data_only"),
        ({}, {"dry_run": True}, "dry_run"),
    ],
)
def test_what_is_not_the_same_is_named(api, one, other, field):
    api.post(message("n-1") | one)
    assert conflict(api.post(message("n-1") | other)) == {field}


def stored(**request):
    """What stands in the ledger of a request as a version of before has left it there."""
    told = json.dumps(message("n-1", correlation_id="c", **request))
    query("UPDATE notifications SET request = %s WHERE notification_id = 'n-1'", told)


@pytest.mark.parametrize(
    ("before", "today"),
    [
        ({"link": "OPEN_ORDER"}, {"click_action": "OPEN_ORDER"}),
        ({"link": "https://x.test"}, {"link": "https://x.test", "click_action": "OPEN"}),
        ({}, {"badge": 3, "sound": "bell", "channel_id": "orders", "collapse_key": "k", "analytics_label": "spring"}),
        ({}, {"data_only": True, "dry_run": True}),
    ],
)
def test_what_a_version_of_before_has_accepted_is_the_same_notification_still(api, before, today):
    api.post(message("n-1"))
    stored(**before)
    assert api.post(message("n-1") | today).json()["duplicate"] is True
    assert conflict(api.post(message("n-1", title="another") | today)) == {"title"}


def test_an_action_that_a_version_of_before_has_kept_as_a_link_is_compared_still(api):
    api.post(message("n-1"))
    stored(link="OPEN_ORDER")
    assert conflict(api.post(message("n-1", click_action="OTHER"))) == {"click_action"}


def test_data_keys_that_fcm_keeps_for_itself_are_no_news_in_what_was_accepted_before(api):
    api.post(message("n-1"))
    stored(metadata={"from": "ada", "google.x": 1})
    assert conflict(api.post(message("n-1"))) == {"metadata"}


@pytest.mark.parametrize("broken", [{"title": 5.5, "ttl": "soon"}, [1], {}])
def test_a_stored_request_that_cannot_be_read_is_another_one_and_costs_no_other_its_answer(api, broken):
    api.post(message("n-1"))
    query("UPDATE notifications SET request = %s", json.dumps(broken))
    assert "user_id" in conflict(api.post(message("n-1")))
    results = api.post([message("n-1"), message("n-2")]).json()["results"]
    assert [result["status_code"] for result in results] == [409, 202]


def test_what_came_by_the_queue_is_compared_too(api, engine):
    engine().accept(message("n-1"))
    assert api.post(message("n-1")).json()["duplicate"] is True
    assert conflict(api.post(message("n-1", title="another"))) == {"title"}
