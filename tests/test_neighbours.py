"""What the neighbours may answer, and what we make of it: nothing of it is trusted."""

import asyncio
import dataclasses
from datetime import UTC, datetime

import pytest

from deliveries.contract import read_document
from deliveries.models import Status
from deliveries.outcomes import Ended, TryAgain
from deliveries.profiles import SPEC, Report
from deliveries.recipients import Recipients
from deliveries.rendering import Renderer, payload_data
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.upstreams import MAX_ANSWER_BYTES, Refusal, Upstream
from deliveries.work import Work
from providers.breaker import Breaker
from providers.http import HttpClient
from tests.peer import peer

REQUEST = read_document({"notification_id": "n1", "user_id": "u/1", "template_id": "t", "correlation_id": "c1"})
RETRIES = RetryPolicy.of(attempts=3, min_wait=2, max_wait=10)


def ask(question, *answers, seen=None):
    """Puts the question to a neighbour that gives these answers, (status, body) each, and returns what came of it."""
    remaining = list(answers)

    async def behaviour(_, wire):
        status, body = remaining.pop(0)
        await wire.answer(status, body)

    async def run():
        http = HttpClient()
        try:
            async with peer(behaviour) as neighbour:
                upstream = Upstream("user_service", neighbour.url, http, Breaker("user_service", 5, 60))
                try:
                    return await question(upstream)
                finally:
                    if seen is not None:
                        seen.extend(neighbour.seen)
        finally:
            await http.close()

    return asyncio.run(run())


def devices(*answers, seen=None):
    return ask(lambda upstream: Recipients(upstream, SPEC).devices_of(REQUEST), *answers, seen=seen)


def content(*answers):
    return ask(lambda upstream: Renderer(upstream, SPEC).render(REQUEST), *answers)


def tokens(*answers):
    return [device.token for device in devices(*answers)]


def envelope(data):
    return {"success": True, "data": data, "error": None, "message": "ok", "meta": None}


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"push_token": "a"}, ["a"]),
        ({"device_tokens": ["a", "b", "a"]}, ["a", "b"]),
        ({"push_tokens": [{"token": "a"}, {"token": "b", "is_active": False}]}, ["a"]),
        ({"user": {"push_token": "a"}}, ["a"]),
        ({"devices": {"device_tokens": ["a"]}}, ["a"]),
        ({"fcm_token": "a", "preferences": {"push": True}}, ["a"]),
        ({"push_token": "a", "preferences": {"email": False}}, ["a"]),
    ],
)
def test_tokens_are_found_where_people_put_them(user, expected):
    assert tokens((200, envelope(user))) == expected
    assert tokens((200, user)) == expected


def test_the_question_quotes_the_user_and_carries_the_correlation_id():
    seen = []
    devices((200, envelope({"push_token": "a"})), seen=seen)
    assert seen[0].path == "/api/v1/users/u%2F1"
    assert seen[0].headers["x-correlation-id"] == "c1"


@pytest.mark.parametrize("flag", ["push", "push_enabled", "push_notifications", "allow_push", "pushEnabled"])
@pytest.mark.parametrize("place", [None, "preferences", "preference"])
def test_opting_out_is_heard_in_every_spelling(flag, place):
    user = {flag: False} if place is None else {place: {flag: False}}
    with pytest.raises(Ended) as end:
        devices((200, envelope({"push_token": "a"} | user)))
    assert (end.value.status, end.value.code) == (Status.SKIPPED, "opted_out")


@pytest.mark.parametrize("user", [{"id": 1}, {"push_token": ""}, {"push_token": None}, {"push_tokens": []}])
def test_no_device_is_said_only_of_a_user_without_any(user):
    with pytest.raises(Ended) as end:
        devices((200, envelope(user)))
    assert (end.value.status, end.value.code) == (Status.SKIPPED, "no_device")


@pytest.mark.parametrize(
    "answer",
    [
        (500, {}),
        (503, b"<html>"),
        (401, {}),
        (403, {}),
        (408, {}),
        (429, {}),
        (200, b""),
        (204, b""),
        (200, envelope(None)),
        (200, {}),
        (200, b"not json"),
        (200, b"[1, 2]"),
        (200, envelope([1])),
        (200, envelope("text")),
        (200, envelope({"push_token": 7})),
        (200, envelope({"push_tokens": [["a"]]})),
        (200, envelope({"push_tokens": [{"token": None}]})),
        (200, envelope({"push_token": "nul\0"})),
        (200, b'{"data":{"push_token":"' + b"a" * MAX_ANSWER_BYTES + b'"}}'),
        (200, b"[" * 30_000),
        (301, b""),
    ],
)
def test_trouble_is_tried_again_and_never_no_device(answer):
    with pytest.raises(TryAgain) as trouble:
        devices(answer)
    assert trouble.value.code.startswith("user_service_")
    assert trouble.value.reason.endswith(".")


def test_an_unknown_user_ends_it():
    with pytest.raises(Ended) as end:
        devices((404, {"success": False, "error": "user not found"}))
    assert (end.value.status, end.value.code) == (Status.FAILED, "unknown_user")
    assert "user not found" in end.value.reason


def test_a_failure_in_a_good_answer_is_a_refusal():
    with pytest.raises(Ended) as end:
        devices((200, {"success": False, "message": "no such user"}))
    assert end.value.code == "user_refused"


def test_an_unreachable_neighbour_is_tried_again():
    async def question():
        http = HttpClient()
        upstream = Upstream("user_service", "http://127.0.0.1:1", http, Breaker("user_service", 5, 60))
        try:
            await Recipients(upstream, SPEC).devices_of(REQUEST)
        finally:
            await http.close()

    with pytest.raises(TryAgain) as trouble:
        asyncio.run(question())
    assert trouble.value.code == "user_service_unreachable"
    assert trouble.value.burns_attempt


def test_an_open_breaker_says_when_to_come_back_and_burns_nothing():
    async def fail_then_ask(upstream):
        for _ in range(5):
            with pytest.raises(TryAgain):
                await upstream.call("GET", "/", "c")
        await upstream.call("GET", "/", "c")

    with pytest.raises(TryAgain) as held:
        ask(fail_then_ask, *[(500, {})] * 5)
    assert held.value.code == "user_service_unavailable"
    assert not held.value.burns_attempt
    assert 50 < held.value.retry_after <= 60


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"title": "T", "body": "B"}, ("T", "B")),
        ({"subject": "T", "body_text": "B"}, ("T", "B")),
        ({"content": {"title": "T", "body": "B"}}, ("T", "B")),
        ({"name": "T", "content": "B"}, ("T", "B")),
        ({"title": "T\0", "body": "x" * 5000}, ("T", "x" * 4096)),
    ],
)
def test_texts_are_found_where_people_put_them(data, expected):
    rendered = content((200, envelope(data)))
    assert (rendered.title, rendered.body) == expected


@pytest.mark.parametrize(("status", "code"), [(404, "template_missing"), (400, "template_refused")])
def test_a_template_that_cannot_be_rendered_ends_it(status, code):
    with pytest.raises(Ended) as end:
        content((status, {"detail": "why"}))
    assert (end.value.status, end.value.code) == (Status.FAILED, code)
    assert "why" in end.value.reason


def test_a_rendering_without_text_is_tried_again():
    with pytest.raises(TryAgain):
        content((200, envelope({"title": 7, "body": None})))


def report(*answers, seen, **fields):
    work = Work(REQUEST.model_copy(update=fields), 1, False, 0.0, status=Status.FAILED, error_message="why")
    return ask(lambda upstream: Reporter(upstream, SPEC, RETRIES.report).report(work), *answers, seen=seen)


def test_a_report_holds_nothing_but_what_the_gateway_takes():
    seen = []
    said = report((201, envelope(None)), seen=seen)
    assert (said.error, said.wait, said.refused) == ("", None, False)
    assert seen[0].json.keys() == {"notification_id", "status", "timestamp", "error"}
    assert seen[0].json["status"] == "failed"


def test_a_gateway_that_knows_the_request_only_is_told_by_that_id():
    seen = []
    report((404, {}), (201, envelope(None)), seen=seen, request_id="r1")
    assert [asked.json["notification_id"] for asked in seen] == ["n1", "r1"]


def test_a_report_refused_for_good_is_not_owed():
    said = report((404, {"message": "unknown"}), seen=[])
    assert said.refused
    assert said.error == "404: unknown"


def test_a_gateway_in_trouble_is_owed_the_report():
    said = report((500, {}), seen=[])
    assert not said.refused
    assert 2 <= said.wait <= 2.3


@pytest.mark.parametrize(("status", "word"), [(Status.SENT, "delivered"), (Status.EXPIRED, "failed")])
def test_the_gateways_words(status, word):
    assert SPEC.report_body(Report("n", status, datetime.now(UTC), None))["status"] == word


def test_the_app_gets_the_metadata_and_the_id():
    request = REQUEST.model_copy(update={"metadata": {"k": 1}})
    assert payload_data(request) == {"notification_id": "n1", "k": 1}


def test_waits_double_up_to_the_longest():
    waits = [dataclasses.replace(RETRIES.trouble, jitter=0.0).wait(attempt) for attempt in (1, 2, 3, 4)]
    assert waits == [2, 4, 8, 10]
    assert [RETRIES.trouble.exhausted(attempt) for attempt in (1, 2, 3)] == [False, False, True]


def test_googles_waits_begin_at_ten_seconds_and_at_most_double_by_chance():
    backoff = RETRIES.from_first_wait(10.0)
    for attempt, least in ((1, 10), (2, 20), (3, 40)):
        assert least <= backoff.wait(attempt) <= 2 * least


def test_a_refusal_says_its_status():
    assert str(Refusal(400, "no")) == "400: no"
