"""Web Push: what a browser gets and its push service sees, what every answer means, and the way through the sandbox."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import http_ece
import pytest
import requests
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from py_vapid import Vapid02, jwt
from pydantic import SecretStr

from providers.base import PushMessage, SendReceipt
from providers.errors import (
    CredentialTrouble,
    DeadToken,
    ForeignToken,
    NotNow,
    ProviderError,
    Rejected,
    RetryLater,
    ServerTrouble,
    Throttled,
    UnknownOutcome,
)
from providers.http import Answer
from providers.registry import Carriers
from providers.webpush import SIGNED_FOR, Webpush, build, public_key, signer
from providers.webpush_message import MAX_PAYLOAD, encode, headers_of
from providers.webpush_services import MAX_SERVICES
from providers.webpush_subscription import read_subscription
from providers.webpush_verdict import TABLE, read, receipt, verdict
from pushproject.carriers import providers as providers_of
from tests.peer import Behaviour, Peer, always, in_loop, peer
from tests.provider_conformance import (
    HTML,
    Canned,
    ProviderConformance,
    Verdict,
    a_message,
    failure,
    idle,
    opened,
)
from tests.sandbox_process import Sandbox, running
from tests.test_fcm_legacy import environment
from tests.world import all_ended, check_invariants, eventually, message, query

KEY = "3KzvKasA2SoCxsp0iIG_o9B0Ozvl1XDwI63JRKNIWBM"
SUBJECT = "mailto:push@shop.example"
BROWSER = ec.derive_private_key(4711, ec.SECP256R1())
AUTH = b"sixteen bytes ok"
PATH = "/wpush/v2/gAAAAABTheSecretOfThisBrowser"
NAME = "https://push.example/m/gAAAAABAnotherNameForThis"
MOZILLA = {"code": 401, "errno": 109, "error": "Unauthorized", "message": "VAPID public key mismatch"}
GOOGLE = (
    b"the VAPID credentials in the authorization header do not correspond to the credentials used to create the "
    b"subscriptions.\n"
)


def letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


P256DH = letters(BROWSER.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))


def subscribed(endpoint: str, **keys: Any) -> str:
    return json.dumps({"endpoint": endpoint, "keys": {"p256dh": P256DH, "auth": letters(AUTH)} | keys})


def a_push(url: str, **changes: Any) -> PushMessage:
    """One for a browser whose push service is at `url`."""
    return a_message(device_token=subscribed(url + PATH), target="subscription", **changes)


class TestWebpush(ProviderConformance):
    name = "webpush"
    accepted = Canned(201, b"", {"Location": NAME})
    receipt = NAME
    dead = Canned(410, b"push subscription has unsubscribed or expired.\n")
    rejected = Canned(400, {"reason": "BadWebPushTopic"})
    throttled = Canned(429, HTML)
    no_access = Canned(403, {"reason": "BadJwtToken"})
    in_trouble = Canned(503, HTML)
    secrets = (KEY, PATH, "TheSecretOfThisBrowser", P256DH, letters(AUTH))

    def options(self, url: str, directory: Path) -> dict[str, Any]:  # noqa: ARG002 - the class's signature
        return {"private_key": KEY, "subject": SUBJECT, "loopback": True}

    def at_endpoint(self, options: dict[str, Any], url: str) -> dict[str, Any]:  # noqa: ARG002 - it is in the message
        return options

    def message(self, endpoint: str) -> PushMessage:
        return a_push(endpoint)


@asynccontextmanager
async def a_provider(sends: Behaviour, **options: Any) -> AsyncIterator[tuple[Webpush, Peer]]:
    async with peer(sends) as there, opened(build, private_key=KEY, subject=SUBJECT, loopback=True, **options) as ours:
        yield ours, there


ACCEPT = always(201, b"", {"Location": NAME})


# --- the request ---------------------------------------------------------------------------------


@in_loop
async def test_the_browser_can_read_what_was_sent_and_nobody_else() -> None:
    async with a_provider(ACCEPT) as (provider, there):
        await provider.send(a_push(there.url, data={"order": 1}, high_priority=True))
        (seen,) = there.seen
    assert (seen.method, seen.path) == ("POST", PATH)
    assert b"Hello" not in seen.body
    assert json.loads(http_ece.decrypt(seen.body, private_key=BROWSER, auth_secret=AUTH)) == {
        "notification": {"title": "Hello", "body": "You", "tag": "n-1"},
        "data": {"order": "1"},
    }
    assert {name: seen.headers[name] for name in ("ttl", "urgency", "content-encoding", "content-type")} == {
        "ttl": "60",
        "urgency": "high",
        "content-encoding": "aes128gcm",
        "content-type": "application/octet-stream",
    }


@in_loop
async def test_the_push_service_can_tell_who_we_are() -> None:
    sent_at = 1_800_000_000.5
    async with a_provider(ACCEPT) as (provider, there):
        await provider.send(a_push(there.url, sent_at=sent_at))
        (seen,) = there.seen
    token, _, key = seen.headers["authorization"].removeprefix("vapid t=").partition(",k=")
    assert key == public_key(signer(KEY))
    claims = jwt.decode(token, key)
    assert (claims["aud"], claims["sub"]) == (there.url, SUBJECT)
    assert SIGNED_FOR <= claims["exp"] - sent_at <= 2 * SIGNED_FOR <= 24 * 3600


@in_loop
async def test_one_signature_serves_all_messages_to_a_push_service_for_six_hours() -> None:
    async with a_provider(ACCEPT) as (provider, there):
        elsewhere = there.url.replace("127.0.0.1", "localhost")
        moments = [(there.url, SIGNED_FOR), (there.url, 2 * SIGNED_FOR - 1), (there.url, 2 * SIGNED_FOR)]
        for url, sent_at in [*moments, (elsewhere, SIGNED_FOR)]:
            await provider.send(a_push(url, sent_at=float(sent_at)))
        first, second, later, other = [seen.headers["authorization"] for seen in there.seen]
    assert first == second
    assert len({first, later, other}) == 3


def shown(**changes: Any) -> dict[str, Any]:
    return dict(json.loads(encode(a_push("https://push.example", **changes))))


def test_the_whole_message() -> None:
    whole = shown(image="https://cdn.example/i.png", link="https://shop.example/o", data={"a": [1], "b": "c"}, tag="t")
    assert whole == {
        "notification": {
            "title": "Hello",
            "body": "You",
            "tag": "t",
            "image": "https://cdn.example/i.png",
            "link": "https://shop.example/o",
        },
        "data": {"a": "[1]", "b": "c"},
    }


@pytest.mark.parametrize("field", ["link", "click_action"])
def test_an_address_is_a_link_and_a_name_an_action_wherever_they_stand(field: str) -> None:
    assert shown(**{field: "https://shop.example"})["notification"]["link"] == "https://shop.example"
    assert shown(**{field: "OPEN_ORDER"})["notification"]["click_action"] == "OPEN_ORDER"


def test_a_tap_may_have_an_action_beside_its_link() -> None:
    both = shown(link="https://shop.example/o", click_action="OPEN_ORDER")["notification"]
    assert (both["link"], both["click_action"]) == ("https://shop.example/o", "OPEN_ORDER")


@pytest.mark.parametrize(
    "link", ["http://shop.example", "javascript://shop.example/%0aalert(1)", "shop://order/7", "https://", "https:///a"]
)
def test_a_browser_is_sent_to_no_address_but_a_page_that_is_encrypted(link: str) -> None:
    assert "shop" not in json.dumps(shown(link=link))
    assert not shown(link=link)["notification"].keys() & {"link", "click_action"}


def test_any_data_becomes_text_as_it_does_for_fcm() -> None:
    assert shown(data={"a": 2**70, "b": {1: None}})["data"] == {"a": str(2**70), "b": '{"1":null}'}


def test_data_alone_shows_nothing() -> None:
    assert shown(data={"a": "b"}, data_only=True) == {"data": {"a": "b"}}


@pytest.mark.parametrize(("ttl", "seconds"), [(0, "0"), (-5, "0"), (90, "90"), (10**9, "2419200")])
def test_the_time_to_live_is_four_weeks_at_most(ttl: int, seconds: str) -> None:
    assert headers_of(a_message(ttl=ttl))["TTL"] == seconds


def test_a_repeat_has_the_topic_of_the_first_and_replaces_it() -> None:
    topic = headers_of(a_message())["Topic"]
    assert len(topic) == 32
    assert topic == headers_of(a_message(title="Another"))["Topic"] != headers_of(a_message(tag="t"))["Topic"]


@in_loop
async def test_the_largest_message_is_4096_bytes_and_a_larger_one_says_by_how_much() -> None:
    room = MAX_PAYLOAD - len(encode(a_push("https://push.example", body="")))
    async with a_provider(ACCEPT) as (provider, there):
        await provider.send(a_push(there.url, body="b" * room))
        assert len(there.seen[0].body) == 4096
        with pytest.raises(Rejected, match=f"{MAX_PAYLOAD + 1} bytes") as caught:
            await provider.send(a_push(there.url, body="b" * (room + 1)))
        assert caught.value.code == "payload_too_large"
        assert len(there.seen) == 1


@pytest.mark.parametrize("text", [{"title": "\ud800"}, {"data": {"a": ["\ud800"]}}])
def test_text_that_is_not_unicode_is_refused(text: dict[str, Any]) -> None:
    with pytest.raises(Rejected, match="Unicode"):
        encode(a_message(**text))


@in_loop
async def test_a_dry_run_checks_everything_and_sends_nothing() -> None:
    async with a_provider(ACCEPT) as (provider, there):
        assert await provider.send(a_push(there.url, dry_run=True)) == SendReceipt("dry-run", 0)
        with pytest.raises(Rejected):
            await provider.send(a_push(there.url, dry_run=True, body="b" * 4000))
        assert there.seen == []


# --- the subscription ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("endpoint", "origin"),
    [
        ("https://fcm.googleapis.com/fcm/send/a:APA91b-_", "https://fcm.googleapis.com"),
        ("https://Updates.Push.example:443/wpush/v2/a", "https://updates.push.example"),
        ("https://push.example:8443/?token=a%3d", "https://push.example:8443"),
    ],
)
def test_the_origin_is_what_a_signature_is_for(endpoint: str, origin: str) -> None:
    found = read_subscription(subscribed(endpoint))
    assert (found.origin, found.endpoint) == (origin, endpoint)


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://push.example/a",
        "https://10.0.0.7/a",
        "https://169.254.169.254/a",
        "https://127.1/a",
        "https://2130706433/a",
        "https://0x7f.0.0.1/a",
        "https://[::1]/a",
        "https://[2001:db8::1]/a",
        "https://localhost/a",
        "https://localhost./a",
        "https://a.localhost/a",
        "https://rabbitmq/a",
        "https://printer.local/a",
        "https://metadata.google.internal/a",
        "https://users.shop.svc/a",
        "https://nas.lan/a",
        "https://router.home.arpa/a",
        "https://wiki.corp/a",
        "https://db.localdomain/a",
        "https://wiki.intranet/a",
        "https://shop.test/a",
        "https://shop.invalid/a",
        "https://me@push.example/a",
        "https://push.example:443@10.0.0.7/a",
        "https://push.example\\@10.0.0.7/a",
        "https://push.example:99999/a",
        "https://push.example:0/a",
        "https://push.example",
        "https://push.example/a b",
        "https://pusch.exämple/a",
        "file:///etc/passwd",
        "http://127.0.0.1:8000/a",
        "",
        7,
        None,
    ],
)
def test_an_endpoint_that_leads_to_no_push_service_is_dead_and_nothing_is_sent(endpoint: Any) -> None:
    with pytest.raises(DeadToken) as caught:
        read_subscription(subscribed(endpoint))
    assert caught.value.code == "invalid_subscription"
    assert str(endpoint)[8:] not in str(caught.value) or len(str(endpoint)) < 9


def test_this_machine_may_be_named_where_a_setting_says_so() -> None:
    text = subscribed("http://127.0.0.1:8000/a")
    assert read_subscription(text, loopback=True).origin == "http://127.0.0.1:8000"
    for endpoint in ("http://10.0.0.7/a", "http://push.example/a", "http://127.0.0.1@10.0.0.7/a"):
        with pytest.raises(DeadToken):
            read_subscription(subscribed(endpoint), loopback=True)


@pytest.mark.parametrize(
    "text",
    [
        "not JSON",
        "[]",
        "7",
        "{}",
        '{"endpoint": "https://push.example/a"}',
        '{"endpoint": "https://push.example/a", "keys": null}',
        subscribed("https://push.example/a", auth="c2hvcnQ"),
        subscribed("https://push.example/a", auth=7),
        subscribed("https://push.example/a", p256dh="é"),
        subscribed("https://push.example/a", p256dh=""),
    ],
)
def test_what_no_browser_gave_is_dead(text: str) -> None:
    with pytest.raises(DeadToken, match="Forget it"):
        read_subscription(text)


@in_loop
async def test_a_key_that_is_no_point_of_the_curve_is_dead() -> None:
    async with opened(build, private_key=KEY, subject=SUBJECT) as provider:
        found = await failure(provider, device_token=subscribed("https://push.example/a", p256dh="BA" * 43 + "A"))
    assert type(found) is DeadToken


@in_loop
async def test_a_name_that_cannot_be_one_is_dead_and_no_bug() -> None:
    async with opened(build, private_key=KEY, subject=SUBJECT) as provider:
        found = await failure(provider, device_token=subscribed("https://xn--.example/a"))
    assert (type(found), found.code) == (DeadToken, "invalid_subscription")


def test_keys_are_read_however_a_library_spells_base64() -> None:
    odd = b"\xfb\xef\xff" * 5 + b"\xfb"
    spelt = base64.b64encode(odd).decode()
    assert "+" in spelt and "/" in spelt and "=" in spelt
    assert read_subscription(subscribed("https://push.example/a", auth=spelt)).keys["auth"] == letters(odd)


# --- what answers mean ---------------------------------------------------------------------------


@pytest.mark.parametrize("status", [200, 201, 202])
@in_loop
async def test_an_acceptance_without_a_name_is_one(status: int) -> None:
    async with a_provider(always(status, b"")) as (provider, there):
        found = await provider.send(a_push(there.url))
    assert found == SendReceipt(f"{there.url}/ (accepted without a name)", status)


@pytest.mark.parametrize("location", [PATH, f"https://push.example{PATH}/1", "https://a/" + "b" * 1100, "b b", "é"])
@in_loop
async def test_a_name_that_would_give_the_endpoint_away_is_not_kept(location: str) -> None:
    async with a_provider(always(201, b"", {"Location": location})) as (provider, there):
        found = await provider.send(a_push(there.url))
    assert found.provider_message_id == f"{there.url}/ (accepted without a name)"


def test_the_standards_201_is_an_acceptance_whatever_the_body() -> None:
    assert receipt(Answer(201, {}, b"<html>")).http_status == 201


VERDICTS: list[Verdict] = [
    ("a page", 200, HTML, UnknownOutcome, "HTTP_200"),
    ("no content", 204, b"", UnknownOutcome, "HTTP_204"),
    ("unsubscribed", 410, b"", DeadToken, "subscription_gone"),
    ("unknown", 404, HTML, DeadToken, "subscription_gone"),
    ("another key, Apple", 400, {"reason": "VapidPkHashMismatch"}, ForeignToken, "VapidPkHashMismatch"),
    ("another key, Apple again", 403, {"reason": "VapidPkHashMismatch"}, ForeignToken, "VapidPkHashMismatch"),
    ("another key, Mozilla", 401, MOZILLA, ForeignToken, "vapid_key_mismatch"),
    ("another key, Google", 403, GOOGLE, ForeignToken, "vapid_key_mismatch"),
    ("the signature", 403, {"reason": "BadJwtToken"}, CredentialTrouble, "BadJwtToken"),
    ("no signature", 401, {"errno": 109, "message": "InvalidSignature"}, CredentialTrouble, "HTTP_401"),
    ("a wrong request", 400, {"reason": "BadWebPushTopic"}, Rejected, "BadWebPushTopic"),
    ("a reason that is no word", 400, {"reason": "a b\0"}, Rejected, "HTTP_400"),
    ("a list", 400, ["reason"], Rejected, "HTTP_400"),
    ("too large", 413, b"", Rejected, "payload_too_large"),
    ("too many", 429, b"", Throttled, "HTTP_429"),
    ("too slow for them", 408, b"", RetryLater, "HTTP_408"),
    ("internal", 500, HTML, ServerTrouble, "HTTP_500"),
    ("unavailable", 503, b"", ServerTrouble, "HTTP_503"),
    ("elsewhere", 302, b"", Rejected, "HTTP_302"),
    ("a teapot", 418, b"", Rejected, "HTTP_418"),
]


@pytest.mark.parametrize(
    ("http", "body", "kind", "code"), [case[1:] for case in VERDICTS], ids=[case[0] for case in VERDICTS]
)
@in_loop
async def test_an_answer_means(http: int, body: Any, kind: type[ProviderError], code: str) -> None:
    async with a_provider(always(http, body, {"Location": "/elsewhere"})) as (provider, there):
        with pytest.raises(ProviderError) as caught:
            await provider.send(a_push(there.url))
        assert len(there.seen) == 1, "no redirect is followed"
    found = caught.value
    assert (type(found), found.code, found.http_status) == (kind, code, http)
    assert "{" not in found.advice
    assert found.burns_attempt or found.retry_after is not None


def test_every_row_of_the_table_is_needed() -> None:
    assert [row.name for row in idle(VERDICTS, TABLE, read)] == ["throttled"], "it needs a header: see below"


@pytest.mark.parametrize(("asked", "waited"), [({}, 60), ({"retry-after": "3"}, 10), ({"retry-after": "99999"}, 3600)])
def test_a_quota_is_the_browsers_own_and_says_until_when(asked: dict[str, str], waited: float) -> None:
    found = verdict(Answer(429, asked, b""))
    assert (found.brakes, found.retry_after) == ("target", waited)


def test_microsofts_push_service_throttles_with_406_and_says_until_when() -> None:
    found = verdict(Answer(406, {"retry-after": "90"}, b""))
    assert (type(found), found.code, found.brakes) == (Throttled, "HTTP_406", "target")
    assert found.retry_after == 90
    assert type(verdict(Answer(406, {}, b""))) is Rejected


@pytest.mark.parametrize("http", [401, 403])
def test_a_push_service_that_refuses_us_holds_up_no_other(http: int) -> None:
    """Anybody can subscribe at a push service of his own making."""
    assert verdict(Answer(http, {}, b"")).brakes == "target"


@in_loop
async def test_health_names_who_refuses_our_signature_until_somebody_takes_it() -> None:
    async with a_provider(always(403, {"reason": "BadJwtToken"})) as (provider, there):
        for _ in range(2):
            with pytest.raises(CredentialTrouble):
                await provider.send(a_push(there.url))
        assert provider.health()["ok"] is False
        assert provider.health()["credentials"].startswith(there.url)
        assert "VAPID_SUBJECT" in provider.health()["credentials"]
        there.behaviour = ACCEPT
        await provider.send(a_push(there.url))
        assert (provider.health()["credentials"], provider.health()["ok"]) == ("ok", True)


@in_loop
async def test_health_tells_how_long_the_slowest_push_service_takes() -> None:
    async with a_provider(ACCEPT) as (provider, there), peer(ACCEPT) as other:
        assert provider.health()["breaker"]["p95"] is None
        for url in (there.url, other.url):
            await provider.send(a_push(url))
        known = [service.exchange.breaker.p95 for service in provider._services._known.values()]
        assert provider.health()["breaker"]["p95"] == max(known) > 0


# --- many push services --------------------------------------------------------------------------


@in_loop
async def test_one_push_service_in_trouble_stops_no_other() -> None:
    async with a_provider(always(503), fail_max=1) as (provider, there), peer(ACCEPT) as well:
        with pytest.raises(ServerTrouble):
            await provider.send(a_push(there.url))
        with pytest.raises(NotNow) as held:
            await provider.send(a_push(there.url))
        assert held.value.code == "webpush_unavailable"
        assert there.url in held.value.advice
        assert (await provider.send(a_push(well.url))).http_status == 201
        health = provider.health()
        assert (health["ok"], health["breaker"]["state"]) == (True, "closed")
        assert health["troubles"] == {there.url: "failed several times in a row"}


@in_loop
async def test_a_stranger_who_refuses_our_signature_is_no_trouble_of_ours() -> None:
    async with a_provider(always(401)) as (provider, there), peer(ACCEPT) as well:
        await provider.send(a_push(well.url))
        with pytest.raises(CredentialTrouble):
            await provider.send(a_push(there.url))
        health = provider.health()
        assert (health["ok"], health["credentials"], list(health["troubles"])) == (True, "ok", [there.url])


@in_loop
async def test_most_push_services_in_trouble_are_ours() -> None:
    async with (
        a_provider(always(403), fail_max=1) as (provider, there),
        peer(always(503)) as down,
        peer(ACCEPT) as well,
    ):
        for url, kind in ((there.url, CredentialTrouble), (down.url, ServerTrouble)):
            with pytest.raises(kind):
                await provider.send(a_push(url))
        await provider.send(a_push(well.url))
        health = provider.health()
        assert (health["ok"], health["breaker"]["name"]) == (False, f"webpush {down.url}")
        assert health["credentials"].startswith(there.url)


@in_loop
async def test_whoever_has_not_been_used_for_long_has_no_say(monkeypatch: Any) -> None:
    async with a_provider(always(403)) as (provider, there):
        with pytest.raises(CredentialTrouble):
            await provider.send(a_push(there.url))
        assert provider.health()["ok"] is False
        monkeypatch.setattr("providers.webpush_services.LATELY", -1.0)
        assert provider.health()["ok"] is True


@in_loop
async def test_a_push_service_that_nobody_sends_to_any_more_is_no_trouble() -> None:
    async with a_provider(always(503), fail_max=1, reset_timeout=0.01) as (provider, there):
        with pytest.raises(ServerTrouble):
            await provider.send(a_push(there.url))
        await asyncio.sleep(0.05)
        assert provider.health()["ok"] is True
        assert provider.health()["breaker"]["state"] == "closed"


#: Nobody listens there. The first is used again before there are too many, so the second is forgotten.
_PORTS = (1, 2, 1, 3, 1, 2)


@in_loop
async def test_push_services_that_are_made_up_take_no_more_than_so_much_memory(monkeypatch: Any) -> None:
    assert MAX_SERVICES >= 100
    monkeypatch.setattr("providers.webpush_services.MAX_SERVICES", 2)
    async with opened(build, private_key=KEY, subject=SUBJECT, loopback=True, fail_max=1) as provider:
        met = [await failure(provider, device_token=subscribed(f"http://127.0.0.1:{port}/a")) for port in _PORTS]
        assert len(provider._services._known) == 2
    kept, forgotten = NotNow, RetryLater
    assert [type(error) for error in met] == [RetryLater, RetryLater, kept, RetryLater, kept, forgotten]


# --- the key and the settings --------------------------------------------------------------------


def test_a_key_may_be_bare_or_in_pem() -> None:
    key = signer(KEY).private_key
    traditional = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    pkcs8 = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert {public_key(signer(text)) for text in (KEY, KEY + "=", traditional, pkcs8, f"\n{pkcs8}\n")} == {
        letters(Vapid02.from_raw(KEY.encode()).public_key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
    }


@pytest.mark.parametrize("text", ["geheim", "", KEY[:-4], "A" * 43, "-----BEGIN geheim-----", "é" * 43])
def test_what_is_no_key_is_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match="is not a private key") as caught:
        signer(text)
    assert "geheim" not in str(caught.value)


def test_a_key_of_another_curve_is_refused() -> None:
    other = ec.generate_private_key(ec.SECP384R1())
    text = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    with pytest.raises(ValueError, match="secp384r1"):
        signer(text)


def test_web_push_is_in_force_with_a_key_beside_fcm() -> None:
    assert list(providers_of(environment())) == ["fcm"]
    given = environment(vapid_private_key=SecretStr(KEY), vapid_subject=SUBJECT)
    assert list(providers_of(given)) == ["fcm", "webpush"]
    options = providers_of(given)["webpush"]
    assert (options["private_key"], options["subject"], options["loopback"]) == (KEY, SUBJECT, False)


@in_loop
async def test_each_push_goes_to_the_provider_that_carries_its_target() -> None:
    async with a_provider(ACCEPT) as (provider, there):
        carriers = Carriers([provider])
        assert carriers.name_for("subscription") == "webpush"
        assert (await carriers.send(a_push(there.url))).provider_message_id == NAME
        assert carriers.name_for("token") == ""


# --- through the sandbox -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def world_of_browsers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), "--retry-after", "33", "--hang", "0.2") as sandbox:
        yield sandbox


@pytest.fixture
def browsers(world_of_browsers: Sandbox) -> Sandbox:
    world_of_browsers.clear()
    return world_of_browsers


def through(sandbox: Sandbox, browser: str, **changes: Any) -> PushMessage:
    token = sandbox.get(f"/push/{browser}/subscription").text
    return a_message(device_token=token, target="subscription", **changes)


def ours() -> Any:
    return opened(build, private_key=KEY, subject=SUBJECT, loopback=True)


@in_loop
async def test_the_sandboxs_browsers_show_what_we_say_and_a_repeat_is_counted(browsers: Sandbox) -> None:
    whole = through(
        browsers, "ok-anna", image="https://cdn.example/i.png", link="https://shop.example", data={"a": 1}, ttl=90
    )
    async with ours() as provider:
        receipts = [await provider.send(whole) for _ in range(2)]
        await provider.send(through(browsers, "hang-bob", notification_id="n-2", high_priority=True))
    book = browsers.book()
    first, _, third = book["accepted"]
    assert [entry["name"] for entry in book["accepted"]][:2] == [found.provider_message_id for found in receipts]
    assert (first["tag"], first["title"], first["body"], first["link"]) == (
        "n-1",
        "Hello",
        "You",
        "https://shop.example",
    )
    assert (first["data"], first["ttl"], first["priority"], third["priority"]) == ({"a": "1"}, 90, "normal", "high")
    assert (book["repeats"], book["untagged"]) == (1, 0)
    phone = browsers.get("/phone").text
    assert "ok-anna · web" in phone
    assert "Hello" in phone


@pytest.mark.parametrize(
    ("state", "kind", "code"),
    [
        ("dead", DeadToken, "subscription_gone"),
        ("apns410", DeadToken, "subscription_gone"),
        ("malformed", DeadToken, "subscription_gone"),
        ("mismatch", ForeignToken, "vapid_key_mismatch"),
        ("apnsauth", CredentialTrouble, "BadJwtToken"),
        ("quota", Throttled, "HTTP_429"),
        ("unavailable", ServerTrouble, "HTTP_503"),
    ],
)
@in_loop
async def test_the_sandbox_says_what_push_services_say(
    browsers: Sandbox, state: str, kind: type[ProviderError], code: str
) -> None:
    async with ours() as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.send(through(browsers, f"{state}-anna"))
    assert (type(caught.value), caught.value.code) == (kind, code)
    assert state != "quota" or caught.value.retry_after == 33
    assert browsers.book()["accepted"] == []


@pytest.mark.parametrize(
    ("fault", "kind"),
    [("down", ServerTrouble), ("quota", Throttled), ("refuse400", Rejected), ("reset-after-accept", UnknownOutcome)],
)
@in_loop
async def test_faults_can_be_scripted(browsers: Sandbox, fault: str, kind: type[ProviderError]) -> None:
    browsers.script("webpush", fault, times=1)
    message = through(browsers, "ok-anna")
    async with ours() as provider:
        with pytest.raises(ProviderError) as caught:
            await provider.send(message)
        assert type(caught.value) is kind
        await provider.send(message)


def signed(sandbox: Sandbox, **claims: Any) -> str:
    vapid = Vapid02(signer(KEY).private_key, {"no-strict": True})
    given = {"aud": sandbox.url, "sub": SUBJECT, **claims}
    return str(vapid.sign(given)["Authorization"])


def ask(sandbox: Sandbox, body: bytes | None = None, **headers: str | None) -> requests.Response:
    """A push that is as it should be, but for what is given; None leaves a header away."""
    message = through(sandbox, "ok-anna")
    subscription = read_subscription(message.device_token, loopback=True)
    whole = headers_of(message) | {"Authorization": signed(sandbox)}
    changed = whole | {name.replace("_", "-"): value for name, value in headers.items()}
    given = {name: value for name, value in changed.items() if value is not None}
    if body is None:
        body = encrypted_for(subscription.keys)
    return requests.post(f"{sandbox.url}/push/ok-anna", data=body, headers=given, timeout=30)


def encrypted_for(keys: dict[str, str]) -> bytes:
    raw = {name: base64.urlsafe_b64decode(key + "==") for name, key in keys.items()}
    ephemeral = ec.generate_private_key(ec.SECP256R1())
    return bytes(http_ece.encrypt(b"{}", private_key=ephemeral, dh=raw["p256dh"], auth_secret=raw["auth"]))


def test_the_sandbox_takes_what_is_as_it_should_be(browsers: Sandbox) -> None:
    assert ask(browsers).status_code == 201
    assert ask(browsers, Topic=None, Urgency=None, Content_Type=None).status_code == 201


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"TTL": None}, 400),
        ({"TTL": "soon"}, 400),
        ({"Topic": "a" * 33}, 400),
        ({"Topic": "a+b"}, 400),
        ({"Urgency": "asap"}, 400),
        ({"Content_Encoding": None}, 400),
        ({"Content_Encoding": "aesgcm"}, 400),
        ({"Authorization": None}, 401),
        ({"Authorization": "Bearer a"}, 403),
        ({"Authorization": "vapid t=a.b.c,k=d"}, 403),
    ],
)
def test_the_sandbox_refuses_headers_that_a_push_service_refuses(
    browsers: Sandbox, headers: dict[str, str | None], status: int
) -> None:
    assert ask(browsers, **headers).status_code == status
    assert browsers.book()["refusals"] == {f"webpush: {status}": 1}


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://push.example"}, {"exp": 1}, {"exp": 4_000_000_000}, {"sub": "somebody"}],
)
def test_the_sandbox_refuses_a_signature_that_is_for_another_or_for_too_long(
    browsers: Sandbox, claims: dict[str, Any]
) -> None:
    assert ask(browsers, Authorization=signed(browsers, **claims)).status_code == 403


def test_the_sandbox_refuses_a_signature_by_another_key_than_it_names(browsers: Sandbox) -> None:
    token, _, _ = signed(browsers).partition(",k=")
    other = public_key(Vapid02(ec.generate_private_key(ec.SECP256R1())))
    assert ask(browsers, Authorization=f"{token},k={other}").status_code == 403


def test_the_sandbox_refuses_what_is_too_large_or_not_for_that_browser(browsers: Sandbox) -> None:
    assert ask(browsers, b"x" * 4097).status_code == 413
    assert ask(browsers, b"").status_code == 400
    assert ask(browsers, b"x" * 200).status_code == 400
    assert ask(browsers, encrypted_for({"p256dh": P256DH, "auth": letters(AUTH)})).status_code == 400


def test_a_user_with_a_browser_has_its_subscription_as_a_device(browsers: Sandbox) -> None:
    [device] = browsers.get("/api/v1/users/web-dead-anna").json()["data"]["push_tokens"]
    assert device["platform"] == "web"
    assert device["subscription"] == browsers.get("/push/dead-anna/subscription").json()
    [other] = browsers.get("/api/v1/users/web-anna").json()["data"]["push_tokens"]
    assert other["subscription"]["endpoint"] == f"{browsers.url}/push/ok-anna"


# --- from end to end -----------------------------------------------------------------------------


def test_a_notification_reaches_a_browser_while_another_goes_to_fcm(engine: Any, sandbox: Any) -> None:
    running = engine(vapid_private_key=SecretStr(KEY), vapid_subject=SUBJECT, webpush_loopback=True)
    running.accept(message("n1", "web-ada"), message("n2", "ada"), message("n3", "web-dead-bob"))
    eventually(all_ended, what="an end and a report for each")
    rows = query(
        "SELECT notification_id, provider, target, platform, status, error_code FROM push_deliveries ORDER BY 1"
    )
    assert rows == [
        ("n1", "webpush", "subscription", "web", "sent", ""),
        ("n2", "fcm", "token", "", "sent", ""),
        ("n3", "webpush", "subscription", "web", "failed", "subscription_gone"),
    ]
    pushes = {entry["tag"]: entry for entry in sandbox.book()["accepted"]}
    assert pushes.keys() == {"n1", "n2"}
    assert (pushes["n1"]["title"], pushes["n1"]["body"]) == (pushes["n2"]["title"], pushes["n2"]["body"])
    assert query("SELECT provider_message_id FROM push_deliveries WHERE notification_id = 'n1'") == [
        (pushes["n1"]["name"],)
    ]
    check_invariants(sandbox)


def test_without_a_key_a_browser_gets_nothing_and_it_is_said_why(engine: Any, sandbox: Any) -> None:
    engine().accept(message("n1", "web-ada"))
    eventually(all_ended, what="an end and a report")
    assert query("SELECT status, error_code FROM push_deliveries") == [("failed", "no_provider")]
    check_invariants(sandbox)
