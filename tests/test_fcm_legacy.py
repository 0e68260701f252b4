"""FCM's legacy wire format: the message that is sent, what every answer means, and the way through the sandbox."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Info, Warning  # noqa: A004
from pydantic import SecretStr

from deliveries.checks import the_provider_is_alive
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
from providers.fcm_legacy import FcmLegacy, build, encode
from providers.fcm_legacy_verdict import TABLE, read, verdict
from providers.http import Answer
from pushproject.carriers import providers as providers_of
from pushproject.environment import Environment
from tests.peer import Behaviour, Peer, always, in_loop, peer
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
from tests.world import all_ended, check_invariants, eventually, message, query

KEY = "AAAAserver:APA91bTheKeyThatNobodyMayRead"
SANDBOX_KEY = "AAAASandbox:APA91bTheServerKeyOfTheSandboxWhichIsNoSecret"
RECEIPT = "0:1500415314455276%31bd1c9631bd1c96"
GOOGLE = "https://fcm.googleapis.com/fcm/send"
DEPRECATED = {"error": "Deprecated endpoint, see https://firebase.google.com/docs/cloud-messaging/migrate-v1"}


def answered(**result: Any) -> dict[str, Any]:
    """The body of a 200 about one token."""
    failed = "error" in result
    counts = {"success": int(not failed), "failure": int(failed), "canonical_ids": int("registration_id" in result)}
    return {"multicast_id": 216, **counts, "results": [result]}


class TestFcmLegacyConforms(ProviderConformance):
    name = "fcm_legacy"
    accepted = Canned(200, answered(message_id=RECEIPT))
    receipt = RECEIPT
    dead = Canned(200, answered(error="NotRegistered"))
    rejected = Canned(200, answered(error="MessageTooBig"))
    throttled = Canned(200, answered(error="DeviceMessageRateExceeded"))
    no_access = Canned(401, b"<HTML><TITLE>Unauthorized</TITLE></HTML>")
    in_trouble = Canned(503, HTML)
    secrets = (KEY,)

    def options(self, url: str, directory: Path) -> dict[str, Any]:  # noqa: ARG002 - the class's signature
        return {"server_key": KEY, "api_url": f"{url}/fcm/send"}

    def at_endpoint(self, options: dict[str, Any], url: str) -> dict[str, Any]:
        return {**options, "api_url": f"{url}/fcm/send"}


class TestTroubleToldInA200Conforms(TestFcmLegacyConforms):
    """It is trouble all the same: the breaker must open, and no success may be counted."""

    in_trouble = Canned(200, answered(error="Unavailable"))


@asynccontextmanager
async def a_provider(sends: Behaviour, **options: Any) -> AsyncIterator[tuple[FcmLegacy, Peer]]:
    async with peer(sends) as there:
        usual = {"server_key": KEY, "api_url": f"{there.url}/fcm/send"}
        async with opened(build, **{**usual, **options}) as provider:
            yield provider, there


# --- the request ---------------------------------------------------------------------------------


@in_loop
async def test_a_send_is_one_post_with_the_server_key() -> None:
    async with a_provider(always(200, answered(message_id=RECEIPT))) as (provider, there):
        await provider.send(a_message())
        (seen,) = there.seen
    assert (seen.method, seen.path) == ("POST", "/fcm/send")
    assert seen.headers["authorization"] == f"key={KEY}"
    assert seen.headers["content-type"] == "application/json"


def sent(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(encode(a_message(**changes))))


def test_the_whole_message() -> None:
    assert sent(
        image="https://cdn.example/i.png", link="OPEN_ORDER", data={"order": 1}, high_priority=True, ttl=90, tag="t"
    ) == {
        "to": DEVICE,
        "priority": "high",
        "time_to_live": 90,
        "mutable_content": True,
        "notification": {
            "title": "Hello",
            "body": "You",
            "image": "https://cdn.example/i.png",
            "tag": "t",
            "click_action": "OPEN_ORDER",
        },
        "data": {"order": "1"},
    }


def test_the_least_message() -> None:
    assert sent() == {
        "to": DEVICE,
        "priority": "normal",
        "time_to_live": 60,
        "notification": {"title": "Hello", "body": "You", "tag": "n-1"},
    }


def test_an_address_never_becomes_an_action() -> None:
    message = sent(link="https://shop.example/o/1")
    assert "click_action" not in message["notification"]
    assert message["data"] == {"link": "https://shop.example/o/1"}


@pytest.mark.parametrize(("ttl", "seconds"), [(0, 0), (-5, 0), (10**9, 2_419_200)])
def test_the_time_to_live_is_within_what_fcm_takes(ttl: int, seconds: int) -> None:
    assert sent(ttl=ttl)["time_to_live"] == seconds


@pytest.mark.parametrize("key", ["from", "message_type", "gcm", "google.c.a"])
def test_a_reserved_data_key_is_refused_by_name(key: str) -> None:
    with pytest.raises(Rejected, match=key):
        encode(a_message(data={key: "x"}))


def test_a_message_that_is_too_large_says_by_how_much() -> None:
    with pytest.raises(Rejected, match="4101 bytes"):
        encode(a_message(title="", body="b" * (4101 - len("titlebodytagn-1"))))


def test_text_that_is_not_unicode_is_refused() -> None:
    with pytest.raises(Rejected, match="Unicode"):
        encode(a_message(title="\ud800"))


def test_what_it_has_a_word_for_is_said() -> None:
    message = sent(
        badge=0,
        sound="bell",
        channel_id="orders",
        click_action="OPEN",
        collapse_key="news",
        dry_run=True,
        analytics_label="it has no word for this",
    )
    assert message == {
        "to": DEVICE,
        "priority": "normal",
        "time_to_live": 60,
        "collapse_key": "news",
        "dry_run": True,
        "notification": {
            "title": "Hello",
            "body": "You",
            "tag": "news",
            "badge": "0",
            "sound": "bell",
            "android_channel_id": "orders",
            "click_action": "OPEN",
        },
    }


def test_of_a_push_for_the_app_alone_nothing_is_shown() -> None:
    assert sent(data_only=True, image="https://cdn.example/i.png", badge=1, data={"k": "v"}) == {
        "to": DEVICE,
        "priority": "normal",
        "time_to_live": 60,
        "content_available": True,
        "data": {"k": "v"},
    }


def test_a_topic_goes_by_its_path() -> None:
    assert sent(target="topic", device_token="news")["to"] == "/topics/news"


@in_loop
async def test_what_is_said_of_a_topic_is_the_answer_itself() -> None:
    news = {"target": "topic", "device_token": "news"}
    async with a_provider(always(200, {"message_id": 4711})) as (provider, _):
        assert (await provider.send(a_message(**news))).provider_message_id == "4711"
    async with a_provider(always(200, {"error": "TopicsMessageRateExceeded"})) as (provider, _):
        assert isinstance(await failure(provider, **news), Throttled)


@pytest.mark.parametrize("topic", ["/topics/news", " /topics/news"])
def test_a_topic_in_the_place_of_a_token_reaches_nobody(topic: str) -> None:
    with pytest.raises(DeadToken) as caught:
        encode(a_message(device_token=topic))
    assert caught.value.code == "INVALID_ARGUMENT"


# --- what answers mean ---------------------------------------------------------------------------


@pytest.mark.parametrize(("number", "name"), [(4711, "4711"), (2**63, "9223372036854775808")])
@in_loop
async def test_a_receipt_may_be_a_number(number: int, name: str) -> None:
    async with a_provider(always(200, answered(message_id=number))) as (provider, _):
        assert (await provider.send(a_message())).provider_message_id == name


@in_loop
async def test_a_canonical_id_beside_the_receipt_changes_nothing() -> None:
    body = answered(message_id=RECEIPT, registration_id="another-token")
    async with a_provider(always(200, body)) as (provider, _):
        assert (await provider.send(a_message())).provider_message_id == RECEIPT


VERDICTS: list[Verdict] = [
    ("gone", 200, answered(error="NotRegistered"), DeadToken, "UNREGISTERED"),
    ("no token at all", 200, answered(error="InvalidRegistration"), DeadToken, "INVALID_ARGUMENT"),
    ("a token is missing", 200, answered(error="MissingRegistration"), Rejected, "INVALID_ARGUMENT"),
    ("another sender's token", 200, answered(error="MismatchSenderId"), ForeignToken, "SENDER_ID_MISMATCH"),
    ("another app's token", 200, answered(error="InvalidPackageName"), Rejected, "INVALID_ARGUMENT"),
    ("too large", 200, answered(error="MessageTooBig"), Rejected, "INVALID_ARGUMENT"),
    ("a key that is reserved", 200, answered(error="InvalidDataKey"), Rejected, "INVALID_ARGUMENT"),
    ("a wrong ttl", 200, answered(error="InvalidTtl"), Rejected, "INVALID_ARGUMENT"),
    ("a wrong field", 200, answered(error="InvalidParameters: 'x'"), Rejected, "INVALID_ARGUMENT"),
    ("device quota", 200, answered(error="DeviceMessageRateExceeded"), Throttled, "QUOTA_EXCEEDED"),
    ("topic quota", 200, answered(error="TopicsMessageRateExceeded"), Throttled, "QUOTA_EXCEEDED"),
    ("Apple's key", 200, answered(error="InvalidApnsCredential"), Rejected, "THIRD_PARTY_AUTH_ERROR"),
    ("unavailable, in a 200", 200, answered(error="Unavailable"), ServerTrouble, "UNAVAILABLE"),
    ("internal, in a 200", 200, answered(error="InternalServerError"), ServerTrouble, "INTERNAL"),
    ("over, in a 200", 200, answered(error="DeprecatedApi"), CredentialTrouble, "legacy_api_gone"),
    ("over, by its words", 400, DEPRECATED, CredentialTrouble, "legacy_api_gone"),
    ("a word from the future", 200, answered(error="NewlyInvented"), Rejected, "NewlyInvented"),
    ("accepted, without results", 200, {"success": 1}, UnknownOutcome, "HTTP_200"),
    ("accepted, results that are none", 200, {"results": {"0": 1}}, UnknownOutcome, "HTTP_200"),
    ("accepted, an empty list", 200, {"results": []}, UnknownOutcome, "HTTP_200"),
    ("accepted, a result that is none", 200, {"results": [7]}, UnknownOutcome, "HTTP_200"),
    ("accepted, a receipt that is none", 200, answered(message_id=None), UnknownOutcome, "HTTP_200"),
    ("accepted, a receipt that is no name", 200, answered(message_id=True), UnknownOutcome, "HTTP_200"),
    ("an error that is none", 200, answered(error={"a": 1}), UnknownOutcome, "HTTP_200"),
    ("accepted, a list", 200, [], UnknownOutcome, "HTTP_200"),
    ("accepted, a page", 200, HTML, UnknownOutcome, "HTTP_200"),
    ("no content", 204, b"", UnknownOutcome, "HTTP_204"),
    ("unreadable for them", 400, b"JSON_PARSING_ERROR: Unexpected token", Rejected, "INVALID_ARGUMENT"),
    ("the key", 401, HTML, CredentialTrouble, "UNAUTHENTICATED"),
    ("the key may not", 403, HTML, CredentialTrouble, "PERMISSION_DENIED"),
    ("over", 404, HTML, CredentialTrouble, "legacy_api_gone"),
    ("over for good", 410, b"", CredentialTrouble, "legacy_api_gone"),
    ("too slow for them", 408, HTML, RetryLater, "HTTP_408"),
    ("project quota", 429, b"Quota exceeded", Throttled, "RESOURCE_EXHAUSTED"),
    ("internal", 500, HTML, ServerTrouble, "HTTP_500"),
    ("unavailable", 503, b"", ServerTrouble, "HTTP_503"),
    ("unavailable, by its word", 503, answered(error="Unavailable"), ServerTrouble, "UNAVAILABLE"),
    ("elsewhere", 302, b"", CredentialTrouble, "HTTP_302"),
    ("too large for them", 413, HTML, Rejected, "HTTP_413"),
    ("words that are no codes", 413, {"error": "a b\0"}, Rejected, "HTTP_413"),
]


@pytest.mark.parametrize(
    ("http", "body", "kind", "code"), [case[1:] for case in VERDICTS], ids=[case[0] for case in VERDICTS]
)
@in_loop
async def test_an_answer_means(http: int, body: Any, kind: type[ProviderError], code: str) -> None:
    async with a_provider(always(http, body)) as (provider, _):
        found = await failure(provider)
    assert (type(found), found.code, found.http_status) == (kind, code, http)
    assert "{" not in found.advice
    assert found.burns_attempt or found.retry_after is not None


def test_every_row_of_the_table_is_needed() -> None:
    assert not idle(VERDICTS, TABLE, read)


@pytest.mark.parametrize("http", [200, 503])
def test_server_trouble_waits_ten_seconds_at_least(http: int) -> None:
    body = json.dumps(answered(error="Unavailable")).encode()
    for headers, seconds in (({}, None), ({"retry-after": "3"}, 10), ({"retry-after": "300"}, 300)):
        found = verdict(Answer(http, headers, body))
        assert (found.first_wait, found.retry_after) == (10, seconds)


@pytest.mark.parametrize(
    ("error", "scope"),
    [("DeviceMessageRateExceeded", "target"), ("TopicsMessageRateExceeded", "target"), (None, "project")],
)
def test_a_quota_says_for_whom_and_until_when(error: str | None, scope: str) -> None:
    answer = Answer(200 if error else 429, {"retry-after": "30"}, json.dumps(answered(error=error)).encode())
    assert (verdict(answer).brakes, verdict(answer).retry_after) == (scope, 30)


@pytest.mark.parametrize("http", [404, 410])
def test_the_end_of_the_legacy_api_says_what_to_set_instead(http: int) -> None:
    advice = verdict(Answer(http, {}, HTML)).advice
    assert "Google has switched it off" in advice
    assert "GOOGLE_APPLICATION_CREDENTIALS" in advice


@in_loop
async def test_health_says_what_is_wrong_with_the_key_until_a_send_succeeds() -> None:
    async with a_provider(always(401, HTML)) as (provider, there):
        assert provider.health()["credentials"] == "ok"
        await failure(provider)
        assert provider.health()["ok"] is False
        assert "FCM_SERVER_KEY" in provider.health()["credentials"]
        there.behaviour = always(200, answered(message_id=RECEIPT))
        await provider.send(a_message())
        assert provider.health()["credentials"] == "ok"


@pytest.mark.parametrize("word", ["NotRegistered", "MessageTooBig", "DeviceMessageRateExceeded"])
@in_loop
async def test_a_word_about_the_token_or_the_push_proves_that_the_key_is_good(word: str) -> None:
    async with a_provider(always(401, HTML)) as (provider, there):
        await failure(provider)
        there.behaviour = always(200, answered(error=word))
        await failure(provider)
        assert provider.health()["credentials"] == "ok"


@pytest.mark.parametrize(
    ("http", "body"), [(200, HTML), (400, HTML), (429, b"Quota exceeded"), (200, answered(error="Unavailable"))]
)
@in_loop
async def test_what_anybody_on_the_way_may_have_said_proves_nothing_of_the_key(http: int, body: Any) -> None:
    async with a_provider(always(401, HTML)) as (provider, there):
        await failure(provider)
        there.behaviour = always(http, body)
        await failure(provider)
        assert "FCM_SERVER_KEY" in provider.health()["credentials"]


# --- the settings --------------------------------------------------------------------------------


def environment(**given: Any) -> Environment:
    return Environment.model_construct(**{**Environment(_env_file=None).model_dump(), **given})


def test_the_legacy_format_is_spoken_only_where_there_is_no_service_account(tmp_path: Path) -> None:
    key = SecretStr(KEY)
    [(name, legacy)] = providers_of(environment(fcm_server_key=key)).items()
    assert (name, legacy["server_key"], legacy["api_url"]) == ("fcm_legacy", KEY, GOOGLE)
    assert list(providers_of(environment(fcm_server_key=key, google_application_credentials=tmp_path))) == ["fcm"]
    assert list(providers_of(environment())) == ["fcm"]


@pytest.mark.parametrize("address", [GOOGLE, "https://FCM.googleapis.com:443/fcm/send"])
def test_the_start_warns_that_google_has_switched_it_off(settings: Any, address: str) -> None:
    settings.PROVIDERS = {"fcm_legacy": {"server_key": KEY, "api_url": address}}
    [warning] = the_provider_is_alive()
    assert isinstance(warning, Warning)
    assert warning.id == "deliveries.W003"
    assert "switch" in warning.msg
    assert "GOOGLE_APPLICATION_CREDENTIALS" in str(warning.hint)
    assert KEY not in str(warning)


def test_a_server_of_somebody_else_is_worth_a_word_but_no_warning(settings: Any) -> None:
    settings.PROVIDERS = {"fcm_legacy": {"server_key": KEY, "api_url": "http://user:pass@push.example/fcm/send"}}
    [info] = the_provider_is_alive()
    assert isinstance(info, Info)
    assert "push.example" in info.msg
    assert "pass" not in info.msg


def test_http_v1_is_worth_no_word() -> None:
    assert the_provider_is_alive() == []


# --- through the sandbox -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world_of_legacy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), "--retry-after", "33", "--hang", "0.2") as sandbox:
        yield sandbox


@pytest.fixture
def google(world_of_legacy: Sandbox) -> Sandbox:
    world_of_legacy.clear()
    return world_of_legacy


def through(sandbox: Sandbox) -> AbstractAsyncContextManager[FcmLegacy]:
    return opened(build, server_key=SANDBOX_KEY, api_url=f"{sandbox.url}/fcm/send")


def test_the_index_page_shows_the_key(google: Sandbox) -> None:
    assert f"key={SANDBOX_KEY}" in google.get("/").text


@in_loop
async def test_the_sandbox_takes_all_that_we_can_say_and_counts_repeats(google: Sandbox) -> None:
    async with through(google) as provider:
        whole = a_message(
            device_token="ok-device",
            image="https://cdn.example/i.png",
            link="OPEN_ORDER",
            data={"a": {"b": [1]}, "c": None},
            high_priority=True,
        )
        receipts = [await provider.send(whole) for _ in range(2)]
        await provider.send(a_message(device_token="hang-device", notification_id="n-2", link="https://shop.example"))
    book = google.book()
    assert [entry["name"] for entry in book["accepted"]][:2] == [receipt.provider_message_id for receipt in receipts]
    first = book["accepted"][0]
    assert (first["tag"], first["title"], first["link"], first["priority"]) == ("n-1", "Hello", "OPEN_ORDER", "high")
    assert first["data"] == {"a": '{"b":[1]}', "c": "null"}
    assert (book["repeats"], book["untagged"]) == (1, 0)


@pytest.mark.parametrize(("state", "kind", "code"), [*SANDBOX_STATES, ("apns410", DeadToken, "UNREGISTERED")])
@in_loop
async def test_the_sandbox_says_what_fcm_said(
    google: Sandbox, state: str, kind: type[ProviderError], code: str
) -> None:
    async with through(google) as provider:
        found = await failure(provider, device_token=f"{state}-device")
    assert (type(found), found.code) == (kind, code)
    assert found.retry_after == (33 if state == "quota" else None)
    assert google.book()["accepted"] == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("down", ServerTrouble), ("quota", Throttled), ("refuse400", Rejected), ("reset-after-accept", UnknownOutcome)],
)
@in_loop
async def test_scripted_faults_of_fcm_are_faults_of_the_legacy_api_too(
    google: Sandbox, fault: str, kind: type[ProviderError]
) -> None:
    google.script("fcm", fault, times=1)
    async with through(google) as provider:
        assert type(await failure(provider, device_token="ok-device")) is kind
        await provider.send(a_message(device_token="ok-device"))


def ask(sandbox: Sandbox, body: Any, key: str = SANDBOX_KEY) -> tuple[int, Any]:
    answer = sandbox.post("/fcm/send", body, headers={"Authorization": f"key={key}"})
    return answer.status_code, answer.json() if answer.ok else answer.text


def test_the_sandbox_lets_nobody_in_without_its_key(google: Sandbox) -> None:
    assert ask(google, {"to": "ok-1"}, key="another")[0] == 401
    assert google.post("/fcm/send", {"to": "ok-1"}).status_code == 401


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        ([], "JSON object"),
        ({}, "exactly one of"),
        ({"to": "ok-1", "registration_ids": ["ok-2"]}, "exactly one of"),
        ({"registration_ids": []}, "1 to 1000"),
        ({"registration_ids": [1]}, "registration_ids"),
        ({"to": 1}, '"to" must be'),
        ({"to": "ok-1", "time_to_live": "60"}, "time_to_live"),
        ({"to": "ok-1", "time_to_live": True}, "time_to_live"),
        ({"to": "ok-1", "mutable_content": 1}, "mutable_content"),
        ({"to": "ok-1", "timeToLive": 60}, 'unknown field "timeToLive"'),
        ({"to": "ok-1", "priority": "HIGH"}, "priority"),
        ({"to": "ok-1", "notification": {"colour": "red"}}, 'unknown field "notification.colour"'),
        ({"to": "ok-1", "notification": {"title": 1}}, "notification.title"),
        ({"to": "ok-1", "data": {"a": 1}}, "data"),
    ],
)
def test_the_sandbox_refuses_what_cannot_be_read(google: Sandbox, body: Any, complaint: str) -> None:
    status, text = ask(google, body)
    assert status == 400
    assert text.startswith("INVALID_PARAMETERS: ")
    assert complaint in text


@pytest.mark.parametrize(
    ("fields", "word"),
    [
        ({"data": {"google.x": "1"}}, "InvalidDataKey"),
        ({"time_to_live": 2_419_201}, "InvalidTtl"),
        ({"time_to_live": -1}, "InvalidTtl"),
        ({"data": {"a": "x" * 4096}}, "MessageTooBig"),
    ],
)
def test_the_sandbox_says_in_a_200_what_is_wrong_with_the_content(
    google: Sandbox, fields: dict[str, Any], word: str
) -> None:
    status, body = ask(google, {"to": "ok-1", **fields})
    assert (status, body["failure"], body["results"]) == (200, 1, [{"error": word}])


def test_the_sandbox_answers_for_each_of_several_tokens(google: Sandbox) -> None:
    _, body = ask(google, {"registration_ids": ["ok-1", "dead-1"], "notification": {"tag": "t"}})
    assert (body["success"], body["failure"]) == (1, 1)
    assert body["results"][1] == {"error": "NotRegistered"}
    assert [entry["token"] for entry in google.book()["accepted"]] == ["ok-1"]


def test_a_dry_run_books_nothing(google: Sandbox) -> None:
    _, body = ask(google, {"to": "ok-1", "dry_run": True})
    assert body["results"] == [{"message_id": "fake_message_id"}]
    assert google.book()["accepted"] == []


# --- from end to end -----------------------------------------------------------------------------


def test_a_topic_is_sent_to_by_the_legacy_format(engine: Any, sandbox: Any) -> None:
    running = engine(
        google_application_credentials=None,
        fcm_server_key=SecretStr(SANDBOX_KEY),
        fcm_api_url=f"{sandbox.url}/fcm/send",
    )
    news = {"topic": "news", "title": "Hi"}
    running.accept({"notification_id": "n1"} | news, {"notification_id": "n2", "dry_run": True} | news)
    eventually(all_ended, what="an end and a report for each")
    [push] = sandbox.book()["accepted"]
    assert (push["target"], push["token"], push["tag"]) == ("topic", "news", "n1")
    assert query("SELECT status, error_code, provider_message_id FROM push_deliveries ORDER BY notification_id") == [
        ("sent", "", push["name"]),
        ("skipped", "dry_run", ""),
    ]


def test_a_notification_is_sent_by_the_legacy_format(engine: Any, sandbox: Any) -> None:
    running = engine(
        google_application_credentials=None,
        fcm_server_key=SecretStr(SANDBOX_KEY),
        fcm_api_url=f"{sandbox.url}/fcm/send",
    )
    running.accept(message("n1", "ada"), message("n2", "dead-1"))
    eventually(all_ended, what="an end and a report for each")
    rows = query(
        "SELECT notification_id, provider, status, provider_message_id, error_code FROM push_deliveries ORDER BY 1"
    )
    [push] = sandbox.book()["accepted"]
    assert rows == [("n1", "fcm_legacy", "sent", push["name"], ""), ("n2", "fcm_legacy", "failed", "", "UNREGISTERED")]
    assert (push["tag"], push["title"]) == ("n1", "Welcome, Ada!")
    check_invariants(sandbox)
