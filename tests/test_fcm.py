"""FCM: the message that is sent, what every answer means, the token, and the way through the sandbox."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

import providers.exchange
from providers.base import PushMessage
from providers.errors import (
    CredentialTrouble,
    DeadToken,
    ForeignToken,
    ProviderError,
    Rejected,
    RetryLater,
    ServerTrouble,
    Throttled,
    UnknownOutcome,
)
from providers.fcm import Fcm, build
from providers.fcm_message import encode
from providers.fcm_verdict import TABLE, read, verdict
from providers.http import Answer, HttpClient
from providers.registry import build as build_by_name
from tests.google_peer import (
    NAME,
    Google,
    apns_error,
    bad_request,
    error,
    error_info,
    fcm_error,
    key_file,
    one_after_another,
    private_key,
)
from tests.peer import Behaviour, Peer, Seen, Wire, always, in_loop, peer
from tests.provider_conformance import (
    DEVICE,
    HTML,
    SANDBOX_STATES,
    Canned,
    ProviderConformance,
    Verdict,
    a_message,
    failure,
    idle,
    opened,
)
from tests.sandbox_process import Sandbox, running

UNREGISTERED = error(404, "NOT_FOUND", fcm_error("UNREGISTERED"), text="NotRegistered")
UNAUTHENTICATED = error(401, "UNAUTHENTICATED", error_info("ACCESS_TOKEN_EXPIRED"))


class TestFcmConforms(ProviderConformance):
    name = "fcm"
    accepted = Canned(200, {"name": NAME})
    receipt = NAME
    dead = Canned(404, UNREGISTERED)
    rejected = Canned(400, error(400, "INVALID_ARGUMENT", bad_request("message.data[0].value")))
    throttled = Canned(429, error(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")))
    no_access = Canned(403, error(403, "PERMISSION_DENIED", error_info("SERVICE_DISABLED")))
    in_trouble = Canned(503, error(503, "UNAVAILABLE", fcm_error("UNAVAILABLE")))
    secrets = ("access-1", private_key()[100:140], "s3cret")

    def options(self, url: str, directory: Path) -> dict[str, Any]:
        return {"credentials_file": key_file(directory, url), "endpoint": url}

    def around(self, sends: Behaviour) -> Behaviour:
        return Google(sends)

    def is_send(self, seen: Seen) -> bool:
        return seen.path.endswith("/messages:send")


@asynccontextmanager
async def a_provider(google: Google, directory: Path, **options: Any) -> AsyncIterator[tuple[Fcm, Peer]]:
    async with peer(google) as there:
        usual = {"credentials_file": key_file(directory, there.url), "endpoint": there.url}
        async with opened(build, **{**usual, **options}) as provider:
            yield provider, there


def sends(there: Peer) -> list[Seen]:
    return [seen for seen in there.seen if seen.path != "/token"]


# --- the request ---------------------------------------------------------------------------------


@in_loop
async def test_a_send_is_one_post_with_the_token_to_the_project(tmp_path: Path) -> None:
    async with a_provider(Google(), tmp_path) as (provider, there):
        receipt = await provider.send(a_message())
        assert receipt.provider_message_id == NAME
        (seen,) = sends(there)
    assert (seen.method, seen.path) == ("POST", "/v1/projects/demo/messages:send")
    assert seen.headers["authorization"] == "Bearer access-1"
    assert seen.headers["content-type"] == "application/json"
    assert seen.json["message"]["token"] == DEVICE


@in_loop
async def test_the_project_that_is_set_wins_over_the_files(tmp_path: Path) -> None:
    async with a_provider(Google(), tmp_path, project_id="example.com:mine") as (provider, there):
        await provider.send(a_message())
        assert sends(there)[0].path == "/v1/projects/example.com:mine/messages:send"


@in_loop
async def test_a_key_file_of_another_project_changes_the_address(tmp_path: Path) -> None:
    async with a_provider(Google(), tmp_path) as (provider, there):
        await provider.send(a_message())
        key_file(tmp_path, there.url, project_id="other")
        provider._account.reject(await provider._account.token())
        await provider.send(a_message())
        paths = [seen.path for seen in sends(there)]
    assert paths == ["/v1/projects/demo/messages:send", "/v1/projects/other/messages:send"]


@in_loop
async def test_without_any_project_the_advice_names_the_variable(tmp_path: Path) -> None:
    async with peer(Google()) as there:
        file = key_file(tmp_path, there.url, project_id=None)
        async with opened(build, credentials_file=file, endpoint=there.url) as provider:
            trouble = await failure(provider)
    assert isinstance(trouble, CredentialTrouble)
    assert "FCM_PROJECT_ID" in trouble.advice


def sent(**changes: Any) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(encode(a_message(**changes)))["message"]
    return message


def test_the_whole_message() -> None:
    now = time.time()
    message = sent(
        image="https://cdn.example/i.png",
        link="https://shop.example/o/1",
        data={"order": "1"},
        high_priority=True,
        ttl=90,
    )
    expires = int(message["apns"]["headers"].pop("apns-expiration"))
    assert now + 89 <= expires <= time.time() + 90
    assert message == {
        "token": DEVICE,
        "notification": {"title": "Hello", "body": "You", "image": "https://cdn.example/i.png"},
        "data": {"order": "1", "link": "https://shop.example/o/1"},
        "android": {"priority": "HIGH", "ttl": "90s", "notification": {"tag": "n-1"}},
        "apns": {
            "headers": {"apns-push-type": "alert", "apns-priority": "10", "apns-collapse-id": "n-1"},
            "payload": {"aps": {"mutable-content": 1}},
            "fcm_options": {"image": "https://cdn.example/i.png"},
        },
        "webpush": {
            "headers": {"TTL": "90", "Urgency": "high"},
            "notification": {"tag": "n-1"},
            "fcm_options": {"link": "https://shop.example/o/1"},
        },
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        ("", ""),
        (12, "12"),
        (1.5, "1.5"),
        (True, "true"),
        (None, "null"),
        ({"a": [1, {"b": "ü"}]}, '{"a":[1,{"b":"ü"}]}'),
        (2**70, "1180591620717411303424"),
    ],
)
def test_every_value_of_the_data_is_a_string_and_what_was_not_one_its_json(value: Any, text: str) -> None:
    assert sent(data={"key": value})["data"] == {"key": text}


def test_without_data_there_is_none() -> None:
    assert "data" not in sent()


def test_an_action_is_no_address() -> None:
    message = sent(link="OPEN_ORDER")
    assert message["android"]["notification"]["click_action"] == "OPEN_ORDER"
    assert message["apns"]["payload"]["aps"]["category"] == "OPEN_ORDER"
    assert "fcm_options" not in message["webpush"]
    assert "data" not in message


def test_a_link_and_an_action_are_told_apart_by_what_they_are_and_not_by_their_names() -> None:
    for said in (
        {"link": "https://a.example", "click_action": "OPEN"},
        {"link": "OPEN", "click_action": "https://a.example"},
    ):
        message = sent(**said)
        assert message["data"] == {"link": "https://a.example"}
        assert message["webpush"]["fcm_options"] == {"link": "https://a.example"}
        assert message["android"]["notification"]["click_action"] == "OPEN"
        assert message["apns"]["payload"]["aps"]["category"] == "OPEN"


def test_how_it_is_shown_is_said_to_each_platform_in_its_words() -> None:
    message = sent(badge=0, sound="bell", channel_id="orders", analytics_label="spring")
    assert message["android"]["notification"] == {
        "tag": "n-1",
        "notification_count": 0,
        "sound": "bell",
        "channel_id": "orders",
    }
    assert message["apns"]["payload"] == {"aps": {"badge": 0, "sound": "bell"}}
    assert message["fcm_options"] == {"analytics_label": "spring"}


def test_a_collapse_key_collapses_on_every_platform_and_is_the_tag_where_there_is_no_other() -> None:
    for tag, shown in ((None, "news"), ("mine", "mine")):
        message = sent(collapse_key="news", tag=tag)
        assert message["android"]["collapse_key"] == "news"
        assert message["android"]["notification"]["tag"] == shown
        assert message["apns"]["headers"]["apns-collapse-id"] == "news"
        assert message["webpush"]["headers"]["Topic"] == "news"


@pytest.mark.parametrize("key", ["x" * 33, "ü", "a b", "a.b"])
def test_a_collapse_key_that_the_web_does_not_take_is_hashed_into_one_that_it_does(key: str) -> None:
    topic = sent(collapse_key=key)["webpush"]["headers"]["Topic"]
    assert len(topic) == 32
    assert topic.replace("-", "").replace("_", "").isalnum()
    assert topic == sent(collapse_key=key, notification_id="another")["webpush"]["headers"]["Topic"]
    assert topic != sent(collapse_key=key + "x")["webpush"]["headers"]["Topic"]


def test_of_a_push_for_the_app_alone_nothing_is_shown_anywhere() -> None:
    shown = {"image": "https://cdn.example/i.png", "badge": 1, "sound": "bell", "click_action": "OPEN"}
    message = sent(data_only=True, high_priority=True, link="https://a.example", data={"k": 1}, ttl=0, **shown)
    message["apns"]["headers"].pop("apns-collapse-id")
    assert message == {
        "token": DEVICE,
        "data": {"k": "1", "link": "https://a.example"},
        "android": {"priority": "HIGH", "ttl": "0s"},
        "apns": {
            "headers": {"apns-push-type": "background", "apns-priority": "5", "apns-expiration": "0"},
            "payload": {"aps": {"content-available": 1}},
        },
        "webpush": {"headers": {"TTL": "0", "Urgency": "high"}},
    }


@pytest.mark.parametrize("target", ["token", "fid", "topic"])
def test_each_kind_of_target_has_a_field_of_its_own(target: str) -> None:
    message = sent(target=target, device_token="somebody")
    assert {name: message[name] for name in ("token", "fid", "topic") if name in message} == {target: "somebody"}


def test_a_dry_run_is_said_beside_the_message() -> None:
    assert json.loads(encode(a_message(dry_run=True))).keys() == {"message", "validate_only"}
    assert json.loads(encode(a_message())).keys() == {"message"}


def test_an_address_never_becomes_an_action_and_the_web_takes_only_https() -> None:
    for link in ("https://a.example", "http://a.example", "shop://order/1"):
        message = sent(link=link)
        assert "click_action" not in message["android"]["notification"]
        assert message["data"] == {"link": link}
        assert ("fcm_options" in message["webpush"]) == link.startswith("https")
    assert sent(link="https://a.example", data={"link": "mine"})["data"] == {"link": "mine"}


def test_a_repeat_replaces_the_first_everywhere_and_collapses_nothing_else() -> None:
    for tag, expected in ((None, "n-1"), ("my-tag", "my-tag")):
        message = sent(tag=tag)
        assert message["android"]["notification"]["tag"] == expected
        assert message["apns"]["headers"]["apns-collapse-id"] == expected
        assert message["webpush"]["notification"]["tag"] == expected
        assert "collapse_key" not in message["android"]


@pytest.mark.parametrize("long", ["x" * 65, "ü", "a\nb", "😀" * 100])
def test_an_id_that_apple_does_not_take_is_hashed(long: str) -> None:
    message = sent(notification_id=long)
    assert message["apns"]["headers"]["apns-collapse-id"] == sha256(long.encode()).hexdigest()
    assert message["android"]["notification"]["tag"] == long
    assert sent(notification_id="x" * 64)["apns"]["headers"]["apns-collapse-id"] == "x" * 64


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 0), (-5, 0), (60, 60), (10**9, 2_419_200)])
def test_the_time_to_live_is_within_what_fcm_takes(ttl: int, seconds: int) -> None:
    message = sent(ttl=ttl)
    assert message["android"]["ttl"] == f"{seconds}s"
    assert message["webpush"]["headers"]["TTL"] == str(seconds)
    expiration = int(message["apns"]["headers"]["apns-expiration"])
    assert expiration == 0 if seconds == 0 else abs(expiration - time.time() - seconds) < 60


def test_apple_is_told_of_the_end_by_the_clock_that_the_caller_trusts() -> None:
    assert sent(ttl=60, sent_at=1_800_000_000.9)["apns"]["headers"]["apns-expiration"] == "1800000060"
    assert sent(ttl=0, sent_at=1_800_000_000.9)["apns"]["headers"]["apns-expiration"] == "0"


@pytest.mark.parametrize("key", ["from", "message_type", "gcm", "gcm.x", "google.c.a", "googler"])
def test_a_reserved_data_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(Rejected, match=key) as caught:
        encode(a_message(data={key: "x"}))
    assert caught.value.code == "reserved_data_key"


def test_a_message_that_is_too_large_says_by_how_much() -> None:
    fits = {"title": "t" * 81, "body": "b" * 3000, "data": {"k" * 10: "ü" * 495}}
    encode(a_message(**fits))
    with pytest.raises(Rejected, match="4097 bytes") as caught:
        encode(a_message(**{**fits, "title": "t" * 82}))
    assert caught.value.code == "payload_too_large"
    assert not caught.value.retryable


def test_what_goes_along_counts_too() -> None:
    fits = {"title": "", "body": "b" * 4081}
    encode(a_message(**fits))
    for more in ({"link": "shop://1"}, {"click_action": "A"}, {"image": "i"}, {"tag": "tag-"}, {"badge": 1}):
        with pytest.raises(Rejected, match="bytes together"):
            encode(a_message(**fits, **more))


def test_a_topic_s_push_over_the_documented_limit_is_sent_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    size = 2048 - len("titleHellobodytagn-topic")
    for id, body in (("n-topic", "b" * size), ("n-topic", "b" * (size + 1)), ("n-topic", "b" * (size + 1))):
        encode(a_message(target="topic", device_token="news", notification_id=id, body=body))
    encode(a_message(notification_id="n-token", body="b" * 3000))
    [warning] = caplog.records
    assert "2049 bytes" in warning.getMessage()
    with pytest.raises(Rejected):
        encode(a_message(target="topic", device_token="news", body="b" * 4096))


@pytest.mark.parametrize(
    ("token", "shown"), [("abcd", "'…'"), ("x" * 19 + "abcd", "'…'"), ("x" * 20 + "abcd", "'…abcd'")]
)
def test_a_message_shows_of_its_token_what_gives_nothing_away(token: str, shown: str) -> None:
    message = PushMessage(notification_id="n1", device_token=token, title="T", body="B", ttl=60)
    assert repr(message) == f"PushMessage('n1', device_token={shown})"


def test_text_that_is_not_unicode_is_refused() -> None:
    for changes in ({"title": "\ud800"}, {"data": {"a": "\udfff"}}, {"notification_id": "\ud800"}):
        with pytest.raises(Rejected) as caught:
            encode(a_message(**changes))
        assert caught.value.code == "invalid_text"


# --- what answers mean ---------------------------------------------------------------------------

QUOTA = error(429, "RESOURCE_EXHAUSTED", error_info("RATE_LIMIT_EXCEEDED"))
INVALID = fcm_error("INVALID_ARGUMENT")
THIRD_PARTY = fcm_error("THIRD_PARTY_AUTH_ERROR"), apns_error(403, "InvalidProviderToken")

VERDICTS: list[Verdict] = [
    ("gone", 404, UNREGISTERED, DeadToken, "UNREGISTERED"),
    (
        "gone, says Apple first",
        404,
        error(404, "NOT_FOUND", apns_error(410, "Unregistered"), fcm_error("UNREGISTERED")),
        DeadToken,
        "UNREGISTERED",
    ),
    (
        "disabled, says Apple",
        400,
        error(400, "INVALID_ARGUMENT", apns_error(410, "Unregistered"), INVALID),
        DeadToken,
        "INVALID_ARGUMENT",
    ),
    (
        "no token at all",
        400,
        error(400, "INVALID_ARGUMENT", bad_request("message.token"), INVALID),
        DeadToken,
        "INVALID_ARGUMENT",
    ),
    (
        "no token, by the words only",
        400,
        error(400, "INVALID_ARGUMENT", INVALID, text="The registration token is not a valid FCM registration token"),
        DeadToken,
        "INVALID_ARGUMENT",
    ),
    (
        "a token among other faults",
        400,
        error(400, "INVALID_ARGUMENT", bad_request("message.token", "message.android.ttl"), INVALID),
        Rejected,
        "INVALID_ARGUMENT",
    ),
    (
        "another field",
        400,
        error(400, "INVALID_ARGUMENT", INVALID, bad_request("message.android.ttl")),
        Rejected,
        "INVALID_ARGUMENT",
    ),
    (
        "the token's field without FCM's code",
        400,
        error(400, "INVALID_ARGUMENT", bad_request("message.token")),
        Rejected,
        "INVALID_ARGUMENT",
    ),
    ("unknown words", 400, error(400, "INVALID_ARGUMENT", INVALID, text="New"), Rejected, "INVALID_ARGUMENT"),
    ("no details", 400, error(400, "INVALID_ARGUMENT"), Rejected, "INVALID_ARGUMENT"),
    ("a page", 400, HTML, Rejected, "HTTP_400"),
    ("wrong project", 404, error(404, "NOT_FOUND"), CredentialTrouble, "NOT_FOUND"),
    ("wrong address", 404, HTML, CredentialTrouble, "HTTP_404"),
    (
        "another sender's token",
        403,
        error(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH")),
        ForeignToken,
        "SENDER_ID_MISMATCH",
    ),
    (
        "no permission",
        403,
        error(403, "PERMISSION_DENIED", error_info("IAM_PERMISSION_DENIED")),
        CredentialTrouble,
        "IAM_PERMISSION_DENIED",
    ),
    (
        "API switched off",
        403,
        error(403, "PERMISSION_DENIED", error_info("SERVICE_DISABLED")),
        CredentialTrouble,
        "SERVICE_DISABLED",
    ),
    (
        "a token of too little scope",
        403,
        error(403, "PERMISSION_DENIED", error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
        CredentialTrouble,
        "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    ),
    ("a proxy's page", 403, HTML, CredentialTrouble, "HTTP_403"),
    ("Apple's key", 401, error(401, "UNAUTHENTICATED", *THIRD_PARTY), Rejected, "THIRD_PARTY_AUTH_ERROR"),
    (
        "Apple's key, old word",
        401,
        error(401, "UNAUTHENTICATED", fcm_error("APNS_AUTH_ERROR")),
        Rejected,
        "APNS_AUTH_ERROR",
    ),
    ("our token", 401, UNAUTHENTICATED, CredentialTrouble, "ACCESS_TOKEN_EXPIRED"),
    ("our token, no details", 401, error(401, "UNAUTHENTICATED"), CredentialTrouble, "UNAUTHENTICATED"),
    ("project quota", 429, QUOTA, Throttled, "RATE_LIMIT_EXCEEDED"),
    (
        "device quota",
        429,
        error(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED")),
        Throttled,
        "QUOTA_EXCEEDED",
    ),
    ("quota, a page", 429, HTML, Throttled, "HTTP_429"),
    ("internal", 500, error(500, "INTERNAL", fcm_error("INTERNAL")), ServerTrouble, "INTERNAL"),
    ("unavailable", 503, error(503, "UNAVAILABLE", fcm_error("UNAVAILABLE")), ServerTrouble, "UNAVAILABLE"),
    ("bad gateway", 502, HTML, ServerTrouble, "HTTP_502"),
    ("gateway timeout", 504, b"", ServerTrouble, "HTTP_504"),
    ("unspecified", 500, error(500, "INTERNAL", fcm_error("UNSPECIFIED_ERROR")), Rejected, "UNSPECIFIED_ERROR"),
    ("too slow for them", 408, HTML, RetryLater, "HTTP_408"),
    ("too large for them", 413, HTML, Rejected, "HTTP_413"),
    ("elsewhere", 302, b"", CredentialTrouble, "HTTP_302"),
    ("a code from the future", 409, error(409, "ABORTED", fcm_error("NEWLY_INVENTED")), Rejected, "NEWLY_INVENTED"),
    ("accepted, nameless", 200, {"nome": NAME}, UnknownOutcome, "HTTP_200"),
    ("accepted, a number", 200, {"name": 7}, UnknownOutcome, "HTTP_200"),
    ("accepted, a list", 200, [], UnknownOutcome, "HTTP_200"),
    ("accepted, a page", 200, HTML, UnknownOutcome, "HTTP_200"),
    ("no content", 204, b"", UnknownOutcome, "HTTP_204"),
    ("words that are no codes", 400, {"error": {"status": "a b\0", "details": "no"}}, Rejected, "HTTP_400"),
    ("details that are none", 400, {"error": {"details": [1, {"@type": 5}, {}]}}, Rejected, "HTTP_400"),
    ("an error that is none", 503, {"error": "no"}, ServerTrouble, "HTTP_503"),
    ("not an object", 503, b"[1,2]", ServerTrouble, "HTTP_503"),
]


@pytest.mark.parametrize(
    ("http", "body", "kind", "code"), [case[1:] for case in VERDICTS], ids=[case[0] for case in VERDICTS]
)
@in_loop
async def test_an_answer_means(tmp_path: Path, http: int, body: Any, kind: type[ProviderError], code: str) -> None:
    async with a_provider(Google(always(http, body)), tmp_path) as (provider, _):
        found = await failure(provider)
    assert (type(found), found.code, found.http_status) == (kind, code, http)
    assert "{" not in found.advice
    assert "s3cret" not in str(found)


def test_every_row_of_the_table_is_needed() -> None:
    assert not idle(VERDICTS, TABLE, read)


def test_the_advice_names_the_fields() -> None:
    fields = bad_request("message.android.ttl", "message.data[0].value", "a b<")
    for details, words in (((fields, INVALID), "refused"), ((fields,), "cannot read")):
        body = error(400, "INVALID_ARGUMENT", *details)
        found = verdict(Answer(400, {}, json.dumps(body).encode()))
        named = "message.android.ttl, message.data[0].value, an unnamed field of the push;"
        assert found.advice.startswith(f"FCM {words} {named}")


TOKEN_IN_WORDS = "The registration token is not a valid FCM registration token"


@pytest.mark.parametrize(
    ("details", "text"),
    [
        ([bad_request("message.data[my key]", "message.token")], "some words"),
        ([bad_request(*["message.token"] * 5, "message.data")], "some words"),
        ([bad_request("message.token"), bad_request("")], "some words"),
        ([bad_request("message.token"), apns_error(400, "PayloadTooLarge")], "some words"),
        ([apns_error(400, "PayloadTooLarge")], TOKEN_IN_WORDS),
        ([bad_request("message.data[my key]")], TOKEN_IN_WORDS),
        ([bad_request()], TOKEN_IN_WORDS),
    ],
)
def test_a_token_lives_where_anything_else_is_complained_of_too(details: list[dict[str, Any]], text: str) -> None:
    body = error(400, "INVALID_ARGUMENT", *details, INVALID, text=text)
    assert type(verdict(Answer(400, {}, json.dumps(body).encode()))) is Rejected


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, 60),
        ({"retry-after": "30"}, 30),
        ({"retry-after": "1"}, 10),
        ({"retry-after": "86400"}, 3600),
        ({"retry-after": "Sun, 22 Nov 2026 10:02:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 120),
        ({"retry-after": "soon"}, 60),
    ],
)
def test_a_quota_says_when_within_reason(headers: dict[str, str], seconds: float) -> None:
    for body, scope in ((QUOTA, "project"), (error(429, "X", fcm_error("QUOTA_EXCEEDED")), "target")):
        found = verdict(Answer(429, headers, json.dumps(body).encode()))
        assert (found.retry_after, found.brakes, found.burns_attempt) == (seconds, scope, False)


def test_server_trouble_waits_ten_seconds_at_least() -> None:
    found = verdict(Answer(503, {}, b""))
    assert (found.first_wait, found.retry_after, found.burns_attempt) == (10, None, True)
    assert verdict(Answer(503, {"retry-after": "3"}, b"")).retry_after == 10
    assert verdict(Answer(503, {"retry-after": "300"}, b"")).retry_after == 300


# --- the access token ----------------------------------------------------------------------------


@in_loop
async def test_a_refused_token_is_refreshed_once_and_the_send_repeated_once(tmp_path: Path) -> None:
    google = Google(one_after_another(always(401, UNAUTHENTICATED), always(200, {"name": NAME})))
    async with a_provider(google, tmp_path) as (provider, there):
        assert (await provider.send(a_message())).provider_message_id == NAME
        used = [seen.headers["authorization"] for seen in sends(there)]
    assert used == ["Bearer access-1", "Bearer access-2"]


@in_loop
async def test_a_token_that_is_refused_again_is_trouble_with_the_credentials(tmp_path: Path) -> None:
    async with a_provider(Google(always(401, UNAUTHENTICATED)), tmp_path) as (provider, there):
        found = await failure(provider)
        assert type(found) is CredentialTrouble
        assert (found.brakes, found.burns_attempt, found.retry_after) == ("process", False, 60)
        assert len(sends(there)) == 2


@in_loop
async def test_a_hundred_refused_sends_share_one_new_token(tmp_path: Path) -> None:
    async def only_the_second(seen: Seen, wire: Wire) -> None:
        good = seen.headers["authorization"] == "Bearer access-2"
        await (wire.answer(200, {"name": NAME}) if good else wire.answer(401, UNAUTHENTICATED))

    google = Google(only_the_second)
    async with a_provider(google, tmp_path) as (provider, _):
        await asyncio.gather(*(provider.send(a_message()) for _ in range(100)))
    assert google.token_requests == 2


@in_loop
async def test_a_project_that_is_closed_to_us_is_asked_once(tmp_path: Path) -> None:
    google = Google(always(403, error(403, "PERMISSION_DENIED", error_info("SERVICE_DISABLED"))))
    async with a_provider(google, tmp_path) as (provider, there):
        await failure(provider)
        assert len(sends(there)) == 1
    assert google.token_requests == 1


@in_loop
async def test_apple_s_refusal_is_not_about_our_token(tmp_path: Path) -> None:
    google = Google(always(401, error(401, "UNAUTHENTICATED", *THIRD_PARTY)))
    async with a_provider(google, tmp_path) as (provider, there):
        await failure(provider)
        assert len(sends(there)) == 1
    assert google.token_requests == 1


@pytest.mark.parametrize("http", [401, 403, 404])
@in_loop
async def test_health_says_that_fcm_does_not_let_us_in_until_it_does(tmp_path: Path, http: int) -> None:
    google = Google(always(http, error(http, "PERMISSION_DENIED")))
    async with a_provider(google, tmp_path) as (provider, _):
        assert type(await failure(provider)) is CredentialTrouble
        assert provider.health()["ok"] is False
        assert provider.health()["credentials"] != "ok"
        google.sends = always(404, error(404, "NOT_FOUND", fcm_error("UNREGISTERED")))
        await failure(provider)
        assert provider.health()["credentials"] == "ok", "who hears of a token was let in"


@pytest.mark.parametrize(
    ("http", "word"),
    [
        (400, error(400, "INVALID_ARGUMENT", bad_request("message.data[0].value"))),
        (403, error(403, "PERMISSION_DENIED", fcm_error("SENDER_ID_MISMATCH"))),
        (429, error(429, "RESOURCE_EXHAUSTED", fcm_error("QUOTA_EXCEEDED"))),
    ],
)
@in_loop
async def test_whom_fcm_answers_about_a_push_was_let_in(tmp_path: Path, http: int, word: Any) -> None:
    google = Google(always(403, error(403, "PERMISSION_DENIED")))
    async with a_provider(google, tmp_path) as (provider, _):
        assert type(await failure(provider)) is CredentialTrouble
        google.sends = always(http, word)
        await failure(provider)
        assert provider.health()["credentials"] == "ok"


@in_loop
async def test_what_was_wrong_with_the_credentials_is_not_said_of_those_that_came_after(tmp_path: Path) -> None:
    google = Google(always(403, error(403, "PERMISSION_DENIED")))
    async with a_provider(google, tmp_path) as (provider, _):
        await failure(provider)
        assert provider.health()["credentials"] != "ok"
        provider._account.reject(await provider._account.token())
        await provider._account.token()
        assert provider.health()["credentials"] == "ok"


@in_loop
async def test_credentials_are_mended_once_another_file_is_there_which_the_next_send_reads(tmp_path: Path) -> None:
    google = Google(one_after_another(always(403, error(403, "PERMISSION_DENIED")), always(200, {"name": NAME})))
    async with a_provider(google, tmp_path) as (provider, there):
        assert not provider.mended(), "there is no trouble"
        await failure(provider)
        assert not provider.mended(), "the file is the same"
        for file in tmp_path.glob("*.json"):  # noqa: ASYNC240 - a small file
            file.write_bytes(file.read_bytes())
        assert provider.mended()
        await provider.send(a_message())
        assert not provider.mended()
        used = [seen.headers["authorization"] for seen in sends(there)]
    assert used == ["Bearer access-1", "Bearer access-2"], "the token of the old file was good, and is dropped"


@in_loop
async def test_without_credentials_nothing_is_sent_and_health_says_why(tmp_path: Path) -> None:
    async with a_provider(Google(), tmp_path, credentials_file=None) as (provider, there):
        found = await failure(provider)
        assert (type(found), found.code) == (CredentialTrouble, "credentials_missing")
        assert provider.health()["ok"] is False
        assert "GOOGLE_APPLICATION_CREDENTIALS" in provider.health()["credentials"]
        assert there.seen == []


@in_loop
async def test_fcm_that_says_nothing_is_unknown_after_the_timeout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert providers.exchange.TIMEOUT == 30
    monkeypatch.setattr(providers.exchange, "TIMEOUT", 0.3)

    async def say_nothing(_: Seen, wire: Wire) -> None:
        await wire.wait_for_the_end()

    async with a_provider(Google(say_nothing), tmp_path, fail_max=1) as (provider, there):
        found = await failure(provider)
        assert type(found) is UnknownOutcome
        assert len(sends(there)) == 1
        assert provider.breaker.state == "open"


# --- the registry --------------------------------------------------------------------------------


@in_loop
async def test_a_provider_is_found_by_name_and_its_options_are_checked() -> None:
    http = HttpClient()
    for name in ("nobody", "errors", "registry", "../fcm", ""):
        with pytest.raises(ValueError, match="there is no push provider"):
            build_by_name(name, http, {})
    with pytest.raises(TypeError, match="colour"):
        build_by_name("fcm", http, {"credentials_file": None, "colour": "red"})
    await http.close()


# --- through the sandbox -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), "--retry-after", "33") as sandbox:
        yield sandbox


def through(sandbox: Sandbox) -> AbstractAsyncContextManager[Fcm]:
    return opened(build, credentials_file=str(sandbox.key_file), endpoint=sandbox.url)


def to(state: str, **changes: Any) -> PushMessage:
    return a_message(device_token=f"{state}-device", **changes)


@in_loop
async def test_the_sandbox_takes_all_that_we_can_say(sandbox: Sandbox) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        whole = to(
            "ok",
            image="https://cdn.example/i.png",
            link="https://shop.example/o",
            data={"a": {"b": [1]}, "c": None},
            high_priority=True,
        )
        receipts = [await provider.send(message) for message in (whole, to("ok", link="OPEN_ORDER", ttl=0))]
    booked = sandbox.book()["accepted"]
    assert [entry["name"] for entry in booked] == [receipt.provider_message_id for receipt in receipts]
    assert booked[0]["tag"] == "n-1"
    assert booked[0]["data"] == {"a": '{"b":[1]}', "c": "null", "link": "https://shop.example/o"}


@in_loop
async def test_installations_and_topics_are_sent_to_like_tokens(sandbox: Sandbox) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        for target, whom in (("fid", "ok-fid"), ("topic", "news")):
            await provider.send(a_message(target=target, device_token=whom))
        refused = [
            await failure(provider, target="fid", device_token=f"{state}-fid") for state in ("dead", "malformed")
        ]
    assert [type(one) for one in refused] == [DeadToken, DeadToken]
    assert [(entry["target"], entry["token"]) for entry in sandbox.book()["accepted"]] == [
        ("fid", "ok-fid"),
        ("topic", "news"),
    ]


@in_loop
async def test_a_dry_run_is_answered_and_books_nothing(sandbox: Sandbox) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        assert (await provider.send(to("ok", dry_run=True))).http_status == 200
        assert isinstance(await failure(provider, device_token="dead-1", dry_run=True), DeadToken)
    assert sandbox.book()["accepted"] == []


@pytest.mark.parametrize(("state", "kind", "code"), [*SANDBOX_STATES, ("apns410", DeadToken, "INVALID_ARGUMENT")])
@in_loop
async def test_the_sandbox_says_what_fcm_says(
    sandbox: Sandbox, state: str, kind: type[ProviderError], code: str
) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        found = await failure(provider, device_token=f"{state}-device")
    assert (type(found), found.code) == (kind, code)
    assert found.retry_after == (33 if state == "quota" else None)
    assert sandbox.book()["accepted"] == []


@in_loop
async def test_tokens_that_the_sandbox_forgot_are_fetched_anew(sandbox: Sandbox) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        await provider.send(to("ok"))
        await asyncio.to_thread(sandbox.post, "/control/revoke-tokens")
        await asyncio.gather(*(provider.send(to("ok")) for _ in range(50)))
    assert len(sandbox.book()["accepted"]) == 51
    assert sandbox.book()["counts"]["tokens"] == 2


@in_loop
async def test_accepted_and_then_cut_off_is_unknown_and_booked_once(sandbox: Sandbox) -> None:
    sandbox.clear()
    async with through(sandbox) as provider:
        await provider.send(to("ok"))
        sandbox.script("fcm", "reset-after-accept", times=1)
        assert (await failure(provider, device_token="ok-other")).outcome_unknown
    assert [entry["token"] for entry in sandbox.book()["accepted"]] == ["ok-device", "ok-other"]
