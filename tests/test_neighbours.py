"""What the neighbours may answer, and what we make of it: nothing of it is trusted."""

import asyncio
import dataclasses
import json
import re
import time
from datetime import UTC, datetime

import orjson
import pytest

from deliveries.contract import PushRequest, read_document
from deliveries.models import Status
from deliveries.neighbours.devices import MAX_DEVICES, Device
from deliveries.neighbours.foreign_json import MAX_DEPTH
from deliveries.neighbours.profiles import ANCESTOR, DNS_CORE, PROFILES, SPEC
from deliveries.neighbours.upstreams import MAX_ANSWER_BYTES, Refusal, Upstream, followed
from deliveries.outcomes import Ended, TryAgain
from deliveries.recipients import Recipients
from deliveries.rendering import Content, Renderer, payload_data, text_as_data
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.wall_clock import WallClock
from deliveries.work import Work
from providers.breaker import Breaker
from providers.http import HttpClient
from tests.peer import peer

REQUEST = read_document({"notification_id": "n1", "user_id": "u/1", "template_id": "t", "correlation_id": "c1"})
RETRIES = RetryPolicy.of(attempts=3, min_wait=2, max_wait=10)
NOW = WallClock().now


def ask(question, *answers, seen=None, headers=None):
    """Puts the question to a neighbour that gives these answers and returns what came of it.

    Each is (status, body) or (status, body, headers).
    """
    remaining = list(answers)

    async def behaviour(_, wire):
        await wire.answer(*remaining.pop(0))

    async def run():
        http = HttpClient()
        try:
            async with peer(behaviour) as neighbour:
                upstream = Upstream("user_service", neighbour.url, http, Breaker("user_service", 5, 60), headers)
                try:
                    return await question(upstream)
                finally:
                    if seen is not None:
                        seen.extend(neighbour.seen)
        finally:
            await http.close()

    return asyncio.run(run())


def devices(*answers, seen=None, profile=SPEC, request=REQUEST):
    return ask(lambda upstream: Recipients(upstream, profile).devices_of(request), *answers, seen=seen)


def content(*answers, seen=None, profile=SPEC):
    return ask(lambda upstream: Renderer(upstream, profile).render(REQUEST), *answers, seen=seen)


def tokens(*answers, profile=SPEC):
    return [device.token for device in devices(*answers, profile=profile)]


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
        ({"user_push_token": "a"}, ["a"]),
        ({"token": "a"}, ["a"]),
        ({"tokens": ["a", "b"]}, ["a", "b"]),
        ({"tokens": [{"token": "a", "device_type": "ios", "is_active": True}]}, ["a"]),
        ({"user": {"token": "a"}}, ["a"]),
        ({"token": "a session's", "push_token": "a"}, ["a"]),
        ({"token": "a session's", "devices": [{"token": "a"}]}, ["a"]),
        ([{"token": "a", "device_type": "android"}, "b", {"token": "c", "is_active": False}], ["a", "b"]),
    ],
)
def test_tokens_are_found_where_people_put_them(user, expected):
    assert tokens((200, envelope(user))) == expected
    assert tokens((200, user)) == expected


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ({"devices": [{"token": "a"}, {"token": "b"}]}, ["a", "b"]),
        ({"devices": ["a"]}, ["a"]),
        ({"user": {"devices": [{"token": "a"}]}}, ["a"]),
        ({"push_tokens": [], "push_token": "a"}, ["a"]),
        ({"push_token": "", "user": {"fcm_token": "a"}}, ["a"]),
        ({"push_tokens": [], "device_token": "", "devices": [{"token": "a"}]}, ["a"]),
        ({"push_token": "a", "devices": [{"token": "b"}]}, ["a"]),
        ({"push_token": "a" * 2048}, ["a" * 2048]),
        ({"pushTokens": ["a"]}, ["a"]),
        ({"pushToken": "a"}, ["a"]),
        ({"deviceTokens": ["a"]}, ["a"]),
        ({"user": {"deviceToken": "a"}}, ["a"]),
        (
            {"devices": [{"push_token": "a"}, {"device_token": "b"}, {"deviceToken": "c", "token": None}]},
            ["a", "b", "c"],
        ),
        ({"devices": [{"token": "a"}, {"token": "b", "isActive": False}, {"token": "c", "active": False}]}, ["a"]),
    ],
)
def test_a_list_of_devices_is_understood_and_emptiness_hides_nothing(user, expected):
    assert tokens((200, envelope(user))) == expected


@pytest.mark.parametrize(
    "bad",
    [7, "", " ", None, {"id": 1}, {"token": None}, {"token": ["b"]}, "b" * 2049, {"token": "b\0"},
     {"token": "b" * 2049, "is_active": False}, {"id": 1, "is_active": False}],
)  # fmt: skip
def test_a_device_that_cannot_be_one_costs_the_others_nothing(bad):
    assert tokens((200, envelope({"push_tokens": [bad, "a", bad, {"token": "c"}]}))) == ["a", "c"]


SUBSCRIPTION = {
    "endpoint": "https://push.example/wpush/v2/abc",
    "expirationTime": None,
    "keys": {"p256dh": "BP256", "auth": "c2l4"},
}
CANONICAL = '{"endpoint":"https://push.example/wpush/v2/abc","keys":{"auth":"c2l4","p256dh":"BP256"}}'


@pytest.mark.parametrize(
    "entry",
    [
        SUBSCRIPTION,
        {"subscription": SUBSCRIPTION},
        {"token": SUBSCRIPTION, "platform": ""},
        {"push_token": SUBSCRIPTION},
        {"token": None, "subscription": SUBSCRIPTION},
        json.dumps(SUBSCRIPTION),
        {"token": json.dumps(SUBSCRIPTION, indent=2)},
        {"subscription": json.dumps(SUBSCRIPTION)},
        {**SUBSCRIPTION, "id": 7, "is_active": True},
    ],
)
def test_a_browser_is_a_device_however_its_subscription_is_written(entry):
    known = Device(CANONICAL, "web", "subscription")
    assert devices((200, envelope({"push_tokens": [entry]}))) == [known]
    assert devices((200, envelope({"push_tokens": [entry, "a", SUBSCRIPTION]}))) == [known, Device("a")]


def test_a_browser_may_be_the_only_device_and_keeps_its_platform():
    assert devices((200, {"push_token": SUBSCRIPTION})) == [Device(CANONICAL, "web", "subscription")]
    entry = {"subscription": SUBSCRIPTION, "platform": "safari"}
    assert devices((200, {"devices": [entry]})) == [Device(CANONICAL, "safari", "subscription")]


@pytest.mark.parametrize(
    "entry",
    [
        {"subscription": SUBSCRIPTION, "is_active": False},
        {"endpoint": "https://push.example/a"},
        {"endpoint": "https://push.example/a", "keys": {"auth": "c2l4"}},
        {"endpoint": 7, "keys": SUBSCRIPTION["keys"]},
        {"endpoint": "https://push.example/" + "a" * 2048, "keys": SUBSCRIPTION["keys"]},
        {"subscription": "premium"},
        {"token": None, "subscription": {"plan": "premium"}},
    ],
)
def test_what_is_no_subscription_costs_the_others_nothing(entry):
    assert devices((200, envelope({"push_tokens": [entry, "a"]}))) == [Device("a")]


def test_a_subscription_for_something_else_is_not_taken_for_a_browser():
    entry = {"token": "a", "subscription": SUBSCRIPTION["endpoint"]}
    assert devices((200, envelope({"push_tokens": [entry, "{not JSON"]}))) == [Device("a"), Device("{not JSON")]


def test_a_browser_that_a_request_brings_is_still_one_after_the_ledger():
    document = {"notification_id": "n1", "user_id": "u1", "title": "T", "device_tokens": [SUBSCRIPTION, "a"]}
    request = read_document(document, trust_tokens=True)
    stored = PushRequest.model_validate(orjson.loads(request.as_json()))
    assert stored.device_tokens == [Device(CANONICAL, "web", "subscription"), Device("a")]


FID = "dFidOfFirebase-22_char"


@pytest.mark.parametrize(
    ("device", "reached"),
    [
        ({"fid": "f"}, ("f", "fid")),
        ({"fid": FID, "token": "a"}, (FID, "fid")),
        ({"fid": "f", "token": "a"}, ("a", "token")),
        ({"fid": 5, "token": "a"}, ("a", "token")),
        ({"fid": "f", "installation_id": FID, "token": "a"}, (FID, "fid")),
        ({"fid": "f", "installation_id": FID}, (FID, "fid")),
        ({"fid": "f", "token": " "}, ("f", "fid")),
        ({"fid": None, "token": "a"}, ("a", "token")),
        ({"fid": " ", "installation_id": FID}, (FID, "fid")),
        ({"installation_id": "an-id"}, ("an-id", "fid")),
        ({"installation_id": FID, "push_token": "a"}, (FID, "fid")),
        ({"installation_id": "an-id", "push_token": "a"}, ("a", "token")),
        ({"installation_id": 7, "token": "a"}, ("a", "token")),
        ({"token": "f", "target": "fid"}, ("f", "fid")),
        ({"token": "a", "target": "token"}, ("a", "token")),
        ("a", ("a", "token")),
    ],
)
def test_an_installation_id_wins_over_a_token_but_an_id_of_somebody_s_own_does_not(device, reached):
    [found] = devices((200, envelope({"devices": [device]})))
    assert (found.token, found.target) == reached


@pytest.mark.parametrize("device", [{"fid": "f", "is_active": False}, {"fid": 7}, {"fid": "f" * 2049}])
def test_an_installation_id_that_is_none_or_out_of_use_is_left_out(device):
    assert tokens((200, envelope({"devices": [device, "a"]}))) == ["a"]


def test_devices_that_are_out_of_use_do_not_count_towards_the_most_that_anybody_has():
    retired = [{"token": f"old{number}", "is_active": False} for number in range(MAX_DEVICES)]
    assert tokens((200, envelope({"push_tokens": [*retired, "", "a"]}))) == ["a"]
    assert len(tokens((200, envelope({"push_tokens": [f"t{number}" for number in range(200)]})))) == MAX_DEVICES


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
def test_tokens_and_flags_are_found_in_every_dialect(profile):
    later = [(404, {})] * (len(profile.user_paths) - 1)
    user = {"preferences": {"allow_push": True}, "fcm_token": "a"}
    assert tokens((200, user), *later, profile=profile) == ["a"]
    with pytest.raises(Ended, match="opted out"):
        tokens((200, user | {"preferences": {"allow_push": False}}), profile=profile)


SPLIT = {"profile": ANCESTOR}


def test_a_lookup_in_two_parts_takes_both():
    seen = []
    preferences = (200, {"data": {"push_enabled": True}})
    [device] = devices(preferences, (200, {"data": {"token": "a"}}), seen=seen, **SPLIT)
    assert device.token == "a"
    assert [asked.path for asked in seen] == ["/api/v1/users/u%2F1/preferences", "/api/v1/users/u%2F1/push-token"]
    assert {asked.headers["x-correlation-id"] for asked in seen} == {"c1"}


def test_opting_out_saves_the_second_part():
    seen = []
    with pytest.raises(Ended) as end:
        devices((200, {"data": {"push_enabled": False}}), seen=seen, **SPLIT)
    assert (end.value.status, end.value.code) == (Status.SKIPPED, "opted_out")
    assert len(seen) == 1


def test_a_404_is_no_such_user_first_and_no_device_later():
    with pytest.raises(Ended) as end:
        devices((404, {"detail": "who?"}), **SPLIT)
    assert (end.value.status, end.value.code) == (Status.FAILED, "unknown_user")
    for later in (
        (404, {"detail": "no token"}),
        (200, {"data": {"token": None}}),
        (200, []),
        (200, {"data": []}),
        (200, {"success": True, "data": {}}),
        (200, {"success": True, "data": None, "message": "No token"}),
        (200, {"success": True, "message": "No token"}),
        (200, {"success": False, "error": "No token"}),
    ):
        with pytest.raises(Ended) as end:
            devices((200, {"data": {"push_enabled": True}}), later, **SPLIT)
        assert (end.value.status, end.value.code) == (Status.SKIPPED, "no_device")


@pytest.mark.parametrize(
    "later",
    [(500, {}), (403, {}), (408, {}), (200, b""), (204, b""), (200, b"<html>"), (200, {"data": "x"}), (404, b""),
     (404, b"<h1>Not Found</h1>")],
)  # fmt: skip
def test_trouble_with_the_second_part_is_tried_again_and_never_no_device(later):
    with pytest.raises(TryAgain):
        devices((200, {"data": {"push_enabled": True}}), later, **SPLIT)


def test_an_address_that_does_not_exist_is_named_and_never_no_device():
    with pytest.raises(TryAgain) as trouble:
        devices((200, envelope({"push": True})), (404, b"<h1>Not Found</h1>"), profile=DNS_CORE)
    assert trouble.value.code == "user_service_bad_answer"
    assert re.search("/api/v1/users/[^/]+/push-token: is that its path", trouble.value.reason)


@pytest.mark.parametrize("page", [b"", b"<h1>Not Found</h1>"])
def test_an_unknown_user_is_believed_only_of_the_user_service_itself(page):
    with pytest.raises(TryAgain):
        devices((404, page))
    with pytest.raises(Ended) as end:
        devices((404, {"detail": "no such user"}))
    assert end.value.code == "unknown_user"


def test_a_device_that_the_first_part_knows_is_not_forgotten():
    assert tokens((200, {"push_token": "a"}), (404, {}), **SPLIT) == ["a"]


@pytest.mark.parametrize("flag", ["false", 0, "no", {"enabled": False}, []])
def test_a_preference_that_nobody_understands_is_no_consent(flag):
    with pytest.raises(TryAgain, match="neither true nor false"):
        devices((200, envelope({"push_token": "a", "preferences": {"push": flag}})))


def test_a_request_that_brings_its_devices_asks_nobody():
    document = {"notification_id": "n1", "user_id": "u1", "title": "T", "push_tokens": ["a", {"token": "b"}]}
    seen = []
    found = devices(seen=seen, request=read_document(document, trust_tokens=True))
    assert [device.token for device in found] == ["a", "b"]
    assert seen == []


def test_for_a_topic_nobody_is_asked():
    seen = []
    found = devices(seen=seen, request=read_document({"notification_id": "n1", "topic": "news", "title": "T"}))
    assert [(device.token, device.platform, device.target) for device in found] == [("news", "", "topic")]
    assert seen == []


def test_a_platform_is_kept_without_what_cannot_be_stored():
    entry = {"token": "a", "platform": "and\0ro\nid\x7f" + "x" * 100}
    (device,) = devices((200, envelope({"push_tokens": [entry]})))
    assert device.platform == "android" + "x" * 25


@pytest.mark.parametrize(
    ("correlation_id", "header"),
    [("a b/c", "a b/c"), ("ü", "%C3%BC"), ("a\nb", "a%0Ab"), ("a\0b", "a%00b"), ("a\x7f", "a%7F"), ("\x85", "%C2%85")],
)
def test_a_correlation_id_travels_as_a_header_can_carry_it(correlation_id, header):
    seen = []
    ask(lambda upstream: upstream.call("GET", "/", correlation_id), (200, {}), seen=seen)
    assert seen[0].headers["x-correlation-id"] == header


def test_the_question_quotes_the_user_and_carries_the_correlation_id():
    seen = []
    devices((200, envelope({"push_token": "a"})), seen=seen)
    assert seen[0].path == "/api/v1/users/u%2F1"
    assert seen[0].headers["x-correlation-id"] == "c1"


@pytest.mark.parametrize("flag", ["push", "push_enabled", "push_notifications", "allow_push", "pushEnabled"])
@pytest.mark.parametrize("place", [None, "preferences", "preference", "user.preferences", "user.preference", "user"])
def test_opting_out_is_heard_in_every_spelling(flag, place):
    user = {flag: False}
    for name in reversed(place.split(".") if place else ()):
        user = {name: user}
    with pytest.raises(Ended) as end:
        devices((200, envelope({"push_token": "a"} | user)))
    assert (end.value.status, end.value.code) == (Status.SKIPPED, "opted_out")


def test_an_opt_out_beside_the_token_is_heard():
    with pytest.raises(Ended, match="opted out"):
        devices((200, envelope({"user": {"push_token": "a", "preferences": {"push": False}}})))


@pytest.mark.parametrize("other", [True, "false", 7])
def test_one_no_is_an_opt_out_whatever_else_is_said(other):
    with pytest.raises(Ended, match="opted out"):
        devices((200, envelope({"push_token": "a", "preferences": {"push": other}, "push_enabled": False})))


def test_a_yes_elsewhere_makes_no_preference_clear():
    with pytest.raises(TryAgain, match="neither true nor false"):
        devices((200, envelope({"push_token": "a", "preferences": {"push": "false"}, "push_enabled": True})))


@pytest.mark.parametrize(
    "user",
    [
        {"id": 1},
        {"push_token": ""},
        {"push_token": None},
        {"push_tokens": []},
        {"devices": []},
        {"devices": {"push_tokens": []}},
        {"devices": {"count": 0}},
        {"push_tokens": [""]},
        {"devices": [{"id": 1, "token": None}]},
        {"uuid": "u/1", "name": "Ann"},
    ],
)
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
        (200, b'"text"'),
        (200, b"7"),
        (200, envelope("text")),
        (200, envelope({"push_token": 7})),
        (200, envelope({"push_tokens": [["a"]]})),
        (200, envelope({"push_token": "nul\0"})),
        (200, envelope({"push_token": "a" * 2049})),
        (200, envelope({"push_token": "ü" * 1025})),
        (200, envelope({"devices": [{"id": 7}]})),
        (200, {"data": "updated"}),
        (200, b'{"data":{"push_token":"' + b"a" * MAX_ANSWER_BYTES + b'"}}'),
        (200, b"[" * 30_000),
        (200, b'{"push_token":"a","x":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}"),
        (200, {"push_token": "a", "preferences": "none", "push": 7}),
        (200, {"uptime": 86400}),
        (200, {"status": "ok", "version": "1.2"}),
        (200, envelope({"title": "Hi", "body": "There"})),
        (200, {"data": None}),
        (200, {"success": True, "data": {}}),
        (200, {"uuid": "somebody else", "name": "users"}),
        (301, b""),
        (304, b""),
        (302, b"", {"Location": "http://127.0.0.2:1/"}),
    ],
)
def test_trouble_is_tried_again_and_never_no_device(answer):
    with pytest.raises(TryAgain) as trouble:
        devices(answer)
    assert trouble.value.code.startswith("user_service_")
    assert trouble.value.reason.endswith(".")


@pytest.mark.parametrize("body", [b"", b"OK", b"[1, 2]", b'"x"', {"data": "updated"}, {"success": True}, {"data": [1]}])
@pytest.mark.parametrize("status", [200, 201, 202])
def test_a_good_status_is_a_success_whatever_the_body(status, body):
    assert ask(lambda upstream: upstream.call("POST", "/", "c", {}), (status, body)) in (None, {}, [1], [1, 2])


def test_an_answer_is_as_deep_as_anybody_needs_and_no_deeper():
    call = lambda upstream: upstream.call("GET", "/", "c")  # noqa: E731
    nested = lambda levels: b'{"a":' * (levels - 1) + b"{}" + b"}" * (levels - 1)  # noqa: E731
    assert ask(call, (200, nested(MAX_DEPTH))) != {}
    assert ask(call, (200, nested(MAX_DEPTH + 1))) is None
    with pytest.raises(Refusal, match="400: it answered 400"):
        ask(call, (400, b'{"error":"no","x":' + nested(MAX_DEPTH) + b"}"))


def test_a_success_keeps_its_data():
    call = lambda upstream: upstream.call("GET", "/", "c")  # noqa: E731
    assert ask(call, (200, {"data": {"a": 1}})) == {"a": 1}
    assert ask(call, (200, {"a": 1})) == {"a": 1}
    assert ask(call, (200, [{"a": 1}])) == [{"a": 1}]
    assert ask(call, (200, {"success": True, "message": "ok", "a": 1})) == {"a": 1}
    assert ask(call, (200, {"success": True, "data": None, "a": 1})) == {}


@pytest.mark.parametrize(
    ("document", "reason"),
    [
        ({"success": False, "error": "user not found", "message": "user not found"}, "user not found"),
        ({"success": False, "message": "User does not exist", "error": "User not found"},
         "User not found; User does not exist"),
        ({"detail": "Template not found"}, "Template not found"),
        ({"detail": [{"loc": ["body", "id"], "msg": "not a UUID"}, {"msg": "missing"}]}, "not a UUID; missing"),
        ({"statusCode": 400, "message": ["property x should not exist"], "error": "Bad Request"},
         "Bad Request; property x should not exist"),
        ({"error": {"code": 7, "message": "why"}}, "why"),
        ({"error": 7, "detail": [None, [[]], {}]}, "it answered 400"),
        (["no"], "it answered 400"),
        ({"error": "no " * 1000}, ("no " * 167)[:500]),
        ({"error": "no device " + "x" * 160 + ", api_key=hunter2secret"}, "no device xxxx…xxxx, api_key=…"),
    ],
)  # fmt: skip
def test_the_reason_of_a_refusal_is_found_in_every_shape(document, reason):
    with pytest.raises(Refusal) as refusal:
        ask(lambda upstream: upstream.call("GET", "/", "c"), (400, document))
    assert refusal.value.reason == reason


@pytest.mark.parametrize(
    ("method", "status"),
    [("GET", 301), ("GET", 302), ("GET", 307), ("GET", 308), ("POST", 307), ("POST", 308)],
)
@pytest.mark.parametrize("whole", [True, False])
def test_a_redirect_at_the_neighbour_is_followed(method, status, whole):
    async def question():
        async def behaviour(asked, wire):
            home = f"http://{asked.headers['host']}" if whole else ""
            moved = {"Location": f"{home}/there/?x=1"}
            await (wire.answer(status, b"", moved) if asked.path == "/here" else wire.answer(200, {"a": 1}))

        http = HttpClient()
        try:
            async with peer(behaviour) as neighbour:
                upstream = Upstream("gateway", neighbour.url, http, Breaker("gateway", 5, 60))
                answer = await upstream.call(method, "/here", "c1", {"n": 1} if method == "POST" else None)
                return answer, neighbour.seen
        finally:
            await http.close()

    answer, seen = asyncio.run(question())
    assert answer == {"a": 1}
    assert [(one.method, one.path) for one in seen] == [(method, "/here"), (method, "/there/?x=1")]
    assert seen[0].body == seen[1].body
    assert seen[1].headers["x-correlation-id"] == "c1"


ELSEWHERE = [
    "http://127.0.0.2:1/x",
    "https://{host}/x",
    "http://127.0.0.1:1/x",
    "//127.0.0.2/x",
    "http://[::1/x",
    "http://{host}.example.test/x",
    b"/\xff",
]


@pytest.mark.parametrize("location", ELSEWHERE)
def test_a_redirect_to_anybody_else_is_not_followed(location):
    async def question():
        async def behaviour(asked, wire):
            raw = location if isinstance(location, bytes) else location.format(host=asked.headers["host"]).encode()
            await wire.write(b"HTTP/1.1 307 X\r\nLocation: " + raw + b"\r\nContent-Length: 0\r\n\r\n")

        http = HttpClient()
        try:
            async with peer(behaviour) as neighbour:
                upstream = Upstream("gateway", neighbour.url, http, Breaker("gateway", 5, 60))
                with pytest.raises(TryAgain) as trouble:
                    await upstream.call("POST", "/here", "c1", {})
                return trouble.value, len(neighbour.seen)
        finally:
            await http.close()

    trouble, requests = asyncio.run(question())
    assert trouble.reason == "The gateway answered 307 and points elsewhere."
    assert requests == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_header_of_ours_goes_to_its_neighbour_and_to_nobody_else(status):
    async def question():
        async def behaviour(asked, wire):
            near = asked.path == "/near"
            await wire.answer(status, b"", {"Location": "/moved" if near else f"{stranger.url}/there"})

        http = HttpClient()
        try:
            async with peer(lambda _, wire: wire.answer(200, {})) as stranger, peer(behaviour) as neighbour:
                upstream = Upstream("users", neighbour.url, http, Breaker("users", 5, 60), {"X-Api-Key": "geheim"})
                for path in ("/near", "/away"):
                    with pytest.raises(TryAgain, match="points elsewhere"):
                        await upstream.call("GET", path, "c1")
                return neighbour.seen, stranger.seen
        finally:
            await http.close()

    ours, strange = asyncio.run(question())
    assert [asked.path for asked in ours] == ["/near", "/moved", "/away"]
    assert {asked.headers["x-api-key"] for asked in ours} == {"geheim"}
    assert strange == []


@pytest.mark.parametrize("spelling", ["http://x.test\\@{host}/y", "http://user@{host}/y", "/\\x.test/y"])
def test_no_spelling_of_an_address_leads_away_from_the_neighbour(spelling):
    location = spelling.format(host="127.0.0.1:8080")
    there = followed("GET", "http://127.0.0.1:8080/here", 302, {"location": location})
    assert there.startswith("http://127.0.0.1:8080/")


def test_a_post_is_not_repeated_as_something_else_and_nothing_goes_in_circles():
    seen = []
    call = lambda upstream: upstream.call("POST", "/", "c", {})  # noqa: E731
    with pytest.raises(TryAgain):
        ask(call, (302, b"", {"Location": "/login"}), seen=seen)
    assert len(seen) == 1
    with pytest.raises(TryAgain, match="points elsewhere"):
        ask(call, *[(307, b"", {"Location": "/"})] * 2, seen=seen)
    assert len(seen) == 3


def asked_to_wait(status, headers):
    with pytest.raises(TryAgain) as trouble:
        devices((status, {}, headers))
    return trouble.value


@pytest.mark.parametrize(
    ("value", "least"), [("7", 7), ("0", 1), ("99999999", 3600), (None, 60), ("soon", 60), ("\u00ff", 60)]
)
def test_a_neighbour_that_is_asked_too_often_says_when_and_burns_nothing(value, least):
    trouble = asked_to_wait(429, {} if value is None else {"Retry-After": value})
    assert least <= trouble.retry_after <= least * 1.1
    assert not trouble.burns_attempt
    assert trouble.http_status == 429


def test_an_overloaded_neighbour_says_when_but_has_failed():
    trouble = asked_to_wait(503, {"Retry-After": "7"})
    assert 7 <= trouble.retry_after <= 7.7
    assert trouble.burns_attempt
    assert asked_to_wait(503, {}).retry_after is None
    assert asked_to_wait(500, {"Retry-After": "7"}).retry_after is None


@pytest.mark.parametrize("status", [401, 403])
def test_a_neighbour_that_refuses_us_is_said_to(status):
    trouble = asked_to_wait(status, {"Retry-After": "7"})
    assert f"refuses us with {status}" in trouble.reason
    assert "credentials" in trouble.reason
    assert (trouble.code, trouble.burns_attempt) == ("user_service_denied", False)
    assert 60 <= trouble.retry_after <= 66


def test_an_unknown_user_ends_it():
    with pytest.raises(Ended) as end:
        devices((404, {"success": False, "error": "user not found"}))
    assert (end.value.status, end.value.code) == (Status.FAILED, "unknown_user")
    assert "user not found" in end.value.reason


def test_a_failure_in_a_good_answer_is_a_refusal():
    with pytest.raises(Ended) as end:
        devices((200, {"success": False, "message": "no such user"}))
    assert end.value.code == "user_refused"
    assert end.value.reason == "The user service would not tell of user u/1 (200): no such user"


@pytest.mark.parametrize("status", [400, 405, 422])
def test_a_refusal_that_is_no_404_is_not_said_to_mean_that_there_is_no_such_user(status):
    with pytest.raises(Ended) as end:
        devices((status, {}))
    assert end.value.code == "user_refused"
    assert end.value.reason == f"The user service would not tell of user u/1 ({status}): it answered {status}"


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
        ({"subject": None, "name": "the template's own", "content": {"body": "B"}}, ("", "B")),
        ({"content": {"title": ""}, "name": "the template's own", "body": "B"}, ("", "B")),
        ({"subject": "S", "html": "<b>x</b>"}, ("S", "x")),
        ({"content": {"title": "T"}}, ("T", "")),
        ({"title": "T", "body": None}, ("T", "")),
        ({"title": 7, "subject": "T", "body": ["B"], "body_text": "B"}, ("T", "B")),
        ({"subject": "T", "body_html": "<h1>Hi&nbsp;Ada</h1><p>a &lt; b</p>"}, ("T", "Hi Ada a < b")),
        ({"subject": "T", "body_html": "<p>no</p>", "body_text": "B"}, ("T", "B")),
        ({"title": "T", "body": "Tom &amp; Jerry"}, ("T", "Tom &amp; Jerry")),
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


@pytest.mark.parametrize("profile", PROFILES.values(), ids=PROFILES)
@pytest.mark.parametrize("status", [400, 404, 422])
def test_a_refused_rendering_is_final_in_every_dialect(profile, status):
    with pytest.raises(Ended) as end:
        content((status, {"detail": [{"msg": "why"}]}), profile=profile)
    assert "why" in end.value.reason


@pytest.mark.parametrize(
    "data",
    [{"title": 7, "body": None}, ["T"], None, "T", {"title": "T", "body": {"en": "B"}}, {"title": "T", "body": ["B"]},
     {"title": "T", "content": {"text": "B"}}, {"title": "T", "html": 7}],
)  # fmt: skip
def test_a_rendering_without_text_is_tried_again(data):
    with pytest.raises(TryAgain, match="template service answered with"):
        content((200, envelope(data)))


def test_what_dns_core_escaped_is_pushed_as_it_was_written():
    data = {"subject": "Hi O&#39;Brien", "body_html": "<p>no</p>", "body_text": "Tom &amp; &lt;Jerry&gt; &#34;&#34;"}
    rendered = content((200, envelope(data)), profile=DNS_CORE)
    assert (rendered.title, rendered.body) == ("Hi O'Brien", 'Tom & <Jerry> ""')


def test_a_template_is_asked_for_where_and_with_what_the_profile_says():
    seen, request = [], REQUEST.model_copy(update={"template_id": "a/b c"})
    for profile in (
        SPEC,
        DNS_CORE,
        dataclasses.replace(SPEC, template_path="/t/{template_id}/render", template_fields=("variables",)),
        dataclasses.replace(SPEC, template_fields=("id", "template_name")),
        dataclasses.replace(SPEC, template_fields=("slug=template_code", "data=variables", "language_code=language")),
    ):
        ask(lambda u, p=profile: Renderer(u, p).render(request), (200, {"title": "T"}), seen=seen)
    assert [(asked.path, asked.json) for asked in seen] == [
        ("/api/v1/templates/render",
         {"template_id": "a/b c", "template_code": "a/b c", "variables": {}, "language": "en"}),
        ("/api/v1/templates/render", {"template_id": "a/b c", "variables": {}}),
        ("/t/a%2Fb%20c/render", {"variables": {}}),
        ("/api/v1/templates/render", {"id": "a/b c", "template_name": "a/b c"}),
        ("/api/v1/templates/render", {"slug": "a/b c", "data": {}, "language_code": "en"}),
    ]  # fmt: skip


def test_a_template_with_an_id_and_a_code_goes_by_each_where_it_belongs():
    seen, names = [], {"template_id": "7", "template_code": "w/c"}
    request = read_document({"notification_id": "n1", "user_id": "u1", **names})
    for profile in (
        SPEC,
        dataclasses.replace(SPEC, template_fields=("id", "template_name")),
        dataclasses.replace(SPEC, template_path="/t/{template_code}", template_fields=("variables",)),
    ):
        ask(lambda u, p=profile: Renderer(u, p).render(request), (200, {"title": "T"}), seen=seen)
    assert [(asked.path, asked.json) for asked in seen] == [
        ("/api/v1/templates/render", {**names, "variables": {}, "language": "en"}),
        ("/api/v1/templates/render", {"id": "7", "template_name": "w/c"}),
        ("/t/w%2Fc", {"variables": {}}),
    ]


@pytest.mark.parametrize("blank", ["", " "])
def test_a_template_is_rendered_though_the_message_has_blank_texts(blank):
    fields = {"notification_id": "n1", "user_id": "u1", "template_id": "t"}
    request = read_document(fields | {"title": blank, "body": blank})
    rendered = ask(lambda upstream: Renderer(upstream, SPEC).render(request), (200, envelope({"title": "T"})))
    assert rendered.title == "T"


@pytest.mark.parametrize(("field", "most"), [("title", 1024), ("body", 4096)])
def test_variables_make_no_text_longer_than_a_text_may_be(field, most):
    document = {"notification_id": "n1", "user_id": "u1", "variables": {"a": "x" * 60_000}}
    request = read_document(document | {field: "{{a}}" * (most // 5)})
    begun = time.monotonic()
    rendered = ask(lambda upstream: Renderer(upstream, SPEC).render(request))
    assert getattr(rendered, field) == "x" * most
    assert time.monotonic() - begun < 1


def report(*answers, seen, profile=SPEC, status=Status.FAILED, **fields):
    work = Work(REQUEST.model_copy(update=fields), 1, False, 0.0, status=status, error_message="why")
    work.ended_at = datetime(2026, 11, 22, tzinfo=UTC)
    return ask(lambda upstream: Reporter(upstream, profile, RETRIES.report, NOW).report(work), *answers, seen=seen)


def test_a_report_holds_nothing_but_what_the_gateway_takes():
    seen = []
    said = report((201, envelope(None)), seen=seen)
    assert (said.error, said.wait, said.refused) == ("", None, False)
    assert seen[0].json.keys() == {"notification_id", "status", "timestamp", "error"}
    assert seen[0].json["status"] == "failed"


@pytest.mark.parametrize("unknown", [(404, {}), (200, {"success": False, "message": "unknown"})])
def test_a_gateway_that_knows_the_request_only_is_told_by_that_id(unknown):
    seen = []
    said = report(unknown, (201, envelope(None)), seen=seen, request_id="r1")
    assert not said.refused
    assert [asked.json["notification_id"] for asked in seen] == ["n1", "r1"]


def test_a_report_refused_for_good_is_not_owed():
    said = report((404, {"message": "unknown"}), seen=[])
    assert said.refused
    assert said.error == "404: unknown"


@pytest.mark.parametrize("answer", [(204, b""), (200, b"OK"), (200, {"data": "updated"}), (200, [1])])
def test_a_report_that_was_taken_is_not_owed(answer):
    said = report(answer, seen=[])
    assert (said.error, said.wait, said.refused) == ("", None, False)


def test_a_gateway_in_trouble_is_owed_the_report():
    said = report((500, {}), seen=[])
    assert not said.refused
    assert 2 <= said.wait <= 2.3


def test_where_there_is_no_gateway_nothing_is_owed():
    work = Work(REQUEST, 1, False, 0.0, status=Status.FAILED, error_message="why")
    said = asyncio.run(Reporter(None, SPEC, RETRIES.report, NOW).report(work))
    assert (said.error, said.wait, said.refused) == ("", None, False)
    asyncio.run(Reporter(None, SPEC, RETRIES.report, NOW).report_invalid("n1", "c1", "why"))


AT = "2026-11-22T00:00:00+00:00"


@pytest.mark.parametrize(
    ("profile", "status", "asked"),
    [
        (SPEC, Status.SENT, ("POST", "/api/v1/push/status/",
         {"notification_id": "n1", "status": "delivered", "timestamp": AT})),
        (SPEC, Status.SKIPPED, ("POST", "/api/v1/push/status/",
         {"notification_id": "n1", "status": "failed", "timestamp": AT, "error": "why"})),
        (DNS_CORE, Status.EXPIRED, ("POST", "/api/v1/notifications/push/status",
         {"notification_id": "n1", "status": "failed", "timestamp": AT, "error": "why"})),
        (ANCESTOR, Status.SENT, ("PATCH", "/internal/notifications/n1",
         {"channel": "push", "status": "sent", "sent_at": AT})),
        (ANCESTOR, Status.SKIPPED, ("PATCH", "/internal/notifications/n1",
         {"channel": "push", "status": "skipped", "error_message": "why"})),
        (ANCESTOR, Status.CANCELLED, ("PATCH", "/internal/notifications/n1",
         {"channel": "push", "status": "failed", "error_message": "why"})),
    ],
)  # fmt: skip
def test_every_gateway_is_told_in_its_own_words(profile, status, asked):
    seen = []
    report((200, b""), seen=seen, profile=profile, status=status)
    assert [(one.method, one.path, one.json) for one in seen] == [asked]


def test_a_gateway_that_has_the_id_in_its_path_may_know_the_request_only():
    seen = []
    report((404, {}), (200, {}), seen=seen, profile=ANCESTOR, request_id="r/1")
    assert [asked.path for asked in seen] == ["/internal/notifications/n1", "/internal/notifications/r%2F1"]


def test_of_a_push_that_shows_nothing_the_app_gets_the_text():
    said = {"image": "https://x.test/i.png", "link": "https://x.test", "click_action": "OPEN"}
    text, shown = Content("T", ""), REQUEST.model_copy(update=said)
    assert text_as_data(shown.model_copy(update={"data_only": True}), text) == {"title": "T", **said}
    assert text_as_data(shown, text) == {}


def test_the_app_gets_the_metadata_and_the_id_that_no_metadata_replaces():
    request = REQUEST.model_copy(update={"metadata": {"k": 1, "notification_id": "another"}})
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
