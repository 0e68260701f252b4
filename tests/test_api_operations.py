"""Resend and cancel over HTTP: in the key's name, once, and told why not."""

import pytest

from tests.api_client import DELIVERIES, NOTIFICATIONS, Api, a_key, fault
from tests.world import all_ended, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def ended(api, engine):
    """Posts notifications and waits for their ends; the prefix of an id says which one it is."""
    engine(max_retry_attempts=1)

    def post(*ids: str) -> None:
        api.post([message(id) for id in ids])
        eventually(all_ended)

    return post


def resend(api, id, body=None):
    return api.post_to(f"{NOTIFICATIONS}{id}/resend/", body)


def cancel(api, id, body=None):
    return api.post_to(f"{NOTIFICATIONS}{id}/cancel/", body)


def refusal(answer):
    assert answer.status_code in (404, 409)
    return answer.status_code, fault(answer)["code"]


def later() -> None:
    """Eleven seconds pass: another resend is another one."""
    query("UPDATE notifications SET resent_at = resent_at - interval '11 s'")


def test_a_failed_notification_is_sent_again_in_the_name_of_the_key(api, ended, sandbox):
    sandbox.control("templates", "refuse400")
    ended("n-1")
    before = api.get(f"{NOTIFICATIONS}n-1/").json()
    assert (before["status"], before["resends"], before["actions"]) == ("failed", 0, [])
    sandbox.control("templates", "none")
    answer = resend(api, "n-1", {"reason": "the template is mended", "seen": 0})
    assert answer.status_code == 202
    assert answer.json() == {
        "notification_id": "n-1",
        "code": "resent",
        "message": "It is being sent again.",
        "warning": "",
        "links": {"self": f"http://testserver{NOTIFICATIONS}n-1/"},
    }
    eventually(all_ended)
    after = api.get(answer.json()["links"]["self"]).json()
    assert (after["status"], after["resends"]) == ("sent", 1)
    [action] = after["actions"]
    assert (action["action"], action["actor"], action["reason"]) == ("resend", "key tests", "the template is mended")


def test_what_was_accepted_is_sent_again_by_force_only(api, ended):
    ended("ok-1")
    assert refusal(resend(api, "ok-1")) == (409, "already_sent")
    assert resend(api, "ok-1", {"force": True}).status_code == 202
    assert refusal(resend(api, "ok-1", {"force": True})) in [(409, "under_way"), (409, "just_resent")]
    eventually(all_ended)
    [delivery] = api.get(f"{NOTIFICATIONS}ok-1/").json()["deliveries"]
    assert delivery["forced_resends"] == 1
    later()
    assert refusal(resend(api, "ok-1", {"force": True, "seen": 0})) == (409, "changed")


def test_one_delivery_is_sent_again(api, ended):
    ended("ok-1")
    [delivery] = api.get(DELIVERIES, notification_id="ok-1").json()["results"]
    itself = delivery["links"]["self"]
    assert refusal(api.post_to(f"{itself}resend/")) == (409, "already_sent")
    answer = api.post_to(f"{itself}resend/", {"force": True})
    assert (answer.status_code, answer.json()["notification_id"]) == (202, "ok-1")
    eventually(all_ended)
    assert api.get(itself).json()["forced_resends"] == 1


def test_what_waits_is_cancelled_before_its_next_send(api, sandbox, engine):
    sandbox.control("users", "down")
    engine(retry_min_wait=5.0, retry_max_wait=5.0)
    api.post(message("n-1"))
    answer = cancel(api, "n-1", {"reason": "sold out"})
    assert (answer.status_code, answer.json()["code"]) == (202, "cancelling")
    eventually(all_ended)
    told = api.get(f"{NOTIFICATIONS}n-1/").json()
    assert told["status"] == "cancelled"
    assert [(one["action"], one["actor"], one["reason"]) for one in told["actions"]] == [
        ("cancel", "key tests", "sold out")
    ]
    assert refusal(cancel(api, "n-1")) == (409, "ended")


def test_what_is_not_there_is_a_404(api):
    assert refusal(resend(api, "n-1")) == (404, "unknown_notification")
    assert refusal(cancel(api, "n-1")) == (404, "unknown_notification")
    assert refusal(api.post_to(f"{DELIVERIES}17/resend/")) == (404, "unknown_delivery")


@pytest.mark.parametrize("id", ["a/b", "a/", "resend", "cancel", "a/resend", "a b?c#d%41", "ü-😀"])
def test_an_id_of_any_characters_is_operated_on(api, id):
    address = api.post(message(id)).json()["links"]["self"]
    answer = api.post_to(f"{address}cancel/")
    assert (answer.status_code, answer.json()["notification_id"]) == (202, id)
    assert api.post_to(f"{address}cancel").status_code == 202


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ({"reason": 5}, {"reason"}),
        ({"reason": "x" * 501}, {"reason"}),
        ({"reason": "a\0b"}, {"reason"}),
        ({"reason": None}, {"reason"}),
        ({"who": "me", "why": "so"}, {"who", "why"}),
        ({"force": "yes"}, {"force"}),
        ({"force": 1, "seen": -1}, {"force", "seen"}),
        ({"seen": 2**31}, {"seen"}),
        ({"seen": "1"}, {"seen"}),
        ([], {""}),
        (b"{", {""}),
        (b'"text"', {""}),
    ],
)
def test_every_field_at_fault_is_named(api, body, wrong):
    answer = resend(api, "n-1", body)
    assert (answer.status_code, fault(answer)["code"]) == (400, "invalid_request")
    assert {one["field"] for one in fault(answer)["fields"]} == wrong


@pytest.mark.parametrize("body", [{"force": True}, {"seen": 0}])
def test_a_cancellation_knows_no_force(api, body):
    assert fault(cancel(api, "n-1", body))["code"] == "invalid_request"


@pytest.mark.parametrize("body", [None, {}, b"  ", {"reason": ""}, {"reason": "two\nlines"}])
def test_the_body_may_be_left_out(api, body):
    api.post(message("n-1"))
    assert cancel(api, "n-1", body).status_code == 202


def test_the_audit_log_of_others_is_nobody_elses(api):
    """A key's name may be a notification's id."""
    Api(a_key("n-1"))
    api.post(message("n-1"))
    assert api.get(f"{NOTIFICATIONS}n-1/").json()["actions"] == []


def test_a_push_to_a_topic_is_accepted_told_and_sent_again(api, engine, sandbox):
    engine()
    answer = api.post({"notification_id": "n-1", "topic": "/topics/news", "title": "Hi"})
    assert answer.status_code == 202
    eventually(all_ended)
    [delivery] = api.get(f"{NOTIFICATIONS}n-1/").json()["deliveries"]
    assert (delivery["status"], delivery["target"], delivery["device_token"]) == ("sent", "topic", "news")
    assert resend(api, "n-1", {"reason": "once more", "force": True}).status_code == 202
    eventually(all_ended)
    assert [(push["target"], push["token"]) for push in sandbox.book()["accepted"]] == [("topic", "news")] * 2
    assert refusal(cancel(api, "n-1")) == (409, "ended")


def test_what_contradicts_itself_is_refused_with_the_reason(api):
    answer = api.post({"topic": "news", "title": "Hi", "device_tokens": ["x"], "metadata": {"k": 1}})
    assert answer.status_code == 400
    assert "a topic and device_tokens" in fault(answer)["message"]
    answer = api.post({"topic": "orders", "user_id": "u-1", "title": "Your order"})
    assert (answer.status_code, fault(answer)["message"]) == (
        400,
        "it can go to one of them only: it has a topic and a user_id",
    )
    answer = api.post({"user_id": "u-1", "title": "Hi", "metadata": {"from": "ada"}})
    assert [one["field"] for one in fault(answer)["fields"]] == ["metadata"]
