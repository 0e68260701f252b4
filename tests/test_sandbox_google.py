"""The sandbox's Google, from outside: OAuth, FCM's checks and verdicts, and Google's own client."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import firebase_admin
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, messaging

from tests.sandbox_process import (
    APNS_ERROR,
    ERROR_INFO,
    MESSAGING,
    Sandbox,
    ask_for_token,
    assertion,
    details_of,
    fcm_code,
    running,
    violated,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), "--slow", "0.4", "--hang", "0.6") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def documented(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """One that takes of a message to a topic what Google documents."""
    with running(tmp_path_factory.mktemp("sandbox"), "--topic-limit", "documented") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Sandbox:
    world.clear()
    return world


# --- OAuth ---------------------------------------------------------------------------------------


def strangers_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def test_the_key_file_is_private_and_leads_here(sandbox: Sandbox) -> None:
    info = json.loads(sandbox.key_file.read_text())
    assert sandbox.key_file.stat().st_mode & 0o777 == 0o600
    assert info["token_uri"] == f"{sandbox.url}/token"
    assert info["project_id"] == "sandbox-project"


@pytest.mark.parametrize("scope", [MESSAGING, "https://www.googleapis.com/auth/cloud-platform"])
def test_a_signed_assertion_becomes_a_token_that_sends(sandbox: Sandbox, scope: str) -> None:
    answer = ask_for_token(sandbox, assertion(sandbox, scope=f"openid {scope}".split()[1]))
    assert answer.json()["expires_in"] == 3599
    assert answer.json()["token_type"] == "Bearer"
    assert sandbox.send({"token": "ok-1"}, answer.json()["access_token"]).status_code == 200
    assert sandbox.book()["counts"]["tokens"] == 1


def test_the_sandboxs_own_address_is_a_right_audience(sandbox: Sandbox) -> None:
    signed = assertion(sandbox, aud=f"{sandbox.url}/token")
    assert ask_for_token(sandbox, signed).status_code == 200


def in_seconds(later: int):
    """A claim that is made when the test runs, which may be long after it was collected."""
    return lambda: int(time.time()) + later


@pytest.mark.parametrize(
    ("claims", "error", "text"),
    [
        ({"aud": "https://example.com/token"}, "invalid_grant", "audience"),
        ({"exp": in_seconds(4000)}, "invalid_grant", "short-lived"),
        ({"iat": 1, "exp": 3000}, "invalid_grant", "short-lived"),
        ({"iat": in_seconds(9000)}, "invalid_grant", "short-lived"),
        ({"exp": "soon"}, "invalid_grant", "short-lived"),
        ({"iss": "somebody@else"}, "invalid_grant", "account not found"),
        ({"scope": ""}, "invalid_scope", "scope"),
        ({"scope": "all-of-it"}, "invalid_scope", "scope"),
    ],
)
def test_a_wrong_assertion_is_refused_in_googles_words(
    sandbox: Sandbox, claims: dict[str, Any], error: str, text: str
) -> None:
    claims = {name: claim() if callable(claim) else claim for name, claim in claims.items()}
    answer = ask_for_token(sandbox, assertion(sandbox, **claims))
    assert (answer.status_code, answer.json()["error"]) == (400, error)
    assert text in answer.json()["error_description"]


def test_a_strangers_signature_is_refused(sandbox: Sandbox) -> None:
    answer = ask_for_token(sandbox, assertion(sandbox, strangers_key()))
    expected = {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}
    assert (answer.status_code, answer.json()) == (400, expected)


@pytest.mark.parametrize("signed", ["x", "a.b.c", "e30.e30.e30", "", "é.é.é", "W10.W10.W10"])
def test_an_unreadable_assertion_is_refused(sandbox: Sandbox, signed: str) -> None:
    answer = ask_for_token(sandbox, signed)
    assert answer.status_code == 400
    assert answer.json()["error"] in ("invalid_grant", "invalid_request")


def test_another_grant_type_is_refused(sandbox: Sandbox) -> None:
    answer = ask_for_token(sandbox, assertion(sandbox), grant="password")
    assert (answer.status_code, answer.json()["error"]) == (400, "unsupported_grant_type")


# --- FCM: who calls ------------------------------------------------------------------------------


def test_a_call_without_credentials_is_told_so(sandbox: Sandbox) -> None:
    answer = sandbox.post("/v1/projects/sandbox-project/messages:send", {"message": {}})
    assert (answer.status_code, answer.json()["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert details_of(answer)[ERROR_INFO]["reason"] == "CREDENTIALS_MISSING"


def test_a_made_up_access_token_is_refused_without_details(sandbox: Sandbox) -> None:
    answer = sandbox.send({"token": "ok-1"}, "made-up")
    assert (answer.status_code, details_of(answer)) == (401, {})


def test_a_token_for_another_scope_is_not_enough(sandbox: Sandbox) -> None:
    mail = sandbox.fetch_token("https://www.googleapis.com/auth/gmail.send")
    answer = sandbox.send({"token": "ok-1"}, mail)
    assert answer.status_code == 403
    assert details_of(answer)[ERROR_INFO]["reason"] == "ACCESS_TOKEN_SCOPE_INSUFFICIENT"


def test_revoked_tokens_are_refused(sandbox: Sandbox) -> None:
    bearer = sandbox.fetch_token()
    sandbox._bearer = None
    assert sandbox.post("/control/revoke-tokens").json()["revoked"] >= 1
    assert sandbox.send({"token": "ok-1"}, bearer).status_code == 401
    assert sandbox.send({"token": "ok-1"}).status_code == 200


def test_after_a_rotation_only_the_new_key_is_good(sandbox: Sandbox) -> None:
    bearer, old = sandbox.fetch_token(), assertion(sandbox)
    assert sandbox.post("/control/rotate-key").json()["revoked"] >= 1
    assert sandbox.send({"token": "ok-1"}, bearer).status_code == 401
    assert ask_for_token(sandbox, old).json()["error"] == "invalid_grant"
    sandbox._bearer = None
    assert sandbox.send({"token": "ok-1"}).status_code == 200


def test_another_project_is_not_found_and_no_verdict_on_the_token(sandbox: Sandbox) -> None:
    answer = sandbox.post("/v1/projects/other/messages:send", {"message": {"token": "ok-1"}})
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    assert details_of(answer) == {}


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/v1/projects/sandbox-project/messages:send"), ("POST", "/v1/projects/x/messages")],
)
def test_a_wrong_address_is_googles_page_of_html(sandbox: Sandbox, method: str, path: str) -> None:
    answer = requests.request(method, sandbox.url + path, timeout=30)
    assert answer.status_code == 404
    assert answer.headers["Content-Type"].startswith("text/html")


# --- FCM: what is sent ---------------------------------------------------------------------------

EVERYTHING: dict[str, Any] = {
    "token": "ok-everything",
    "data": {"a": "1", "collapse_key": "x"},
    "notification": {"title": "T", "body": "B", "image": "https://example.com/i.png"},
    "fcmOptions": {"analyticsLabel": "spring~1"},
    "android": {
        "collapseKey": "c",
        "priority": "high",
        "ttl": "3.000000001s",
        "restrictedPackageName": "com.example",
        "directBootOk": True,
        "bandwidth_constrained_ok": False,
        "notification": {
            "tag": "tag-1",
            "color": "#a1B2c3",
            "titleLocArgs": ["x"],
            "eventTime": "2026-11-22T10:11:12.5Z",
            "notificationPriority": "PRIORITY_MAX",
            "visibility": 1,
            "notificationCount": "4",
            "vibrateTimings": ["0.5s", "1s"],
            "proxy": "DENY",
            "lightSettings": {
                "color": {"red": 1, "green": 0.5, "blue": 0, "alpha": "1"},
                "lightOnDuration": "1s",
                "light_off_duration": "2s",
            },
        },
    },
    "apns": {
        "headers": {"apns-priority": "10", "apns-collapse-id": "c"},
        "payload": {"aps": {"badge": 3, "alert": {"title": "T"}}, "own": [1, {"x": None}]},
        "fcmOptions": {"image": "https://example.com/i.png"},
    },
    "webpush": {
        "headers": {"TTL": "60", "Urgency": "high"},
        "notification": {"tag": "tag-1", "renotify": True},
        "fcmOptions": {"link": "https://example.com/"},
    },
}


@pytest.mark.parametrize(
    "message",
    [
        {"token": "ok-1"},
        {"fid": "ok-fid"},
        {"topic": "news-1.~%"},
        {"condition": "'a' in topics && ('b' in topics || !('c' in topics))"},
        {"token": "ok-1", "notification": None, "android": {"ttl": "2419200s"}},
        {"token": "ok-1", "name": "given by the caller, ignored"},
        {"token": "ok-1", "android": {"data": {"k": "v"}, "ttl": "0s"}},
        {
            "token": "ok-1",
            "androidV2": {
                "remoteNotification": {"notification": {"id": 7}, "useAsV1DataMessage": True},
                "backgroundSync": {},
            },
        },
        EVERYTHING,
    ],
)
def test_a_right_message_is_accepted(sandbox: Sandbox, message: dict[str, Any]) -> None:
    answer = sandbox.send(message)
    assert answer.status_code == 200, answer.text
    assert re.fullmatch(r"projects/sandbox-project/messages/0:\d{16}%[0-9a-f]{16}", answer.json()["name"])
    (entry,) = sandbox.book()["accepted"]
    assert entry["name"] == answer.json()["name"]


PARSER_REFUSES = [
    ({"token": "ok-1", "x": 1}, "message"),
    ({"token": 5}, "message.token"),
    ({"token": "ok-1", "data": {"a": 12}}, "message.data[0].value"),
    ({"token": "ok-1", "data": {"a": "x", "b": None}}, "message.data[1].value"),
    ({"token": "ok-1", "data": {"a": {}}}, "message.data[0].value"),
    ({"token": "ok-1", "data": []}, "message"),
    ({"token": "ok-1", "notification": "hello"}, "message.notification"),
    ({"token": "ok-1", "notification": {"title": ["x"]}}, "message.notification"),
    ({"token": "ok-1", "notification": {"sound": "x"}}, "message.notification"),
    ({"token": "ok-1", "android": {"priority": "URGENT"}}, "message.android.priority"),
    ({"token": "ok-1", "android": {"priority": 2}}, "message.android.priority"),
    ({"token": "ok-1", "android": {"ttl": 3600}}, "message.android.ttl"),
    ({"token": "ok-1", "android": {"ttl": "1h"}}, "message.android.ttl"),
    ({"token": "ok-1", "android": {"ttl": "1.0000000001s"}}, "message.android.ttl"),
    ({"token": "ok-1", "android": {"directBootOk": "yes"}}, "message.android.direct_boot_ok"),
    (
        {"token": "ok-1", "android": {"notification": {"eventTime": "today"}}},
        "message.android.notification.event_time",
    ),
    (
        {"token": "ok-1", "android": {"notification": {"notificationCount": 1.5}}},
        "message.android.notification.notification_count",
    ),
    (
        {"token": "ok-1", "android": {"notification": {"notificationCount": 2**31}}},
        "message.android.notification.notification_count",
    ),
    (
        {"token": "ok-1", "android": {"notification": {"bodyLocArgs": ["a", 1]}}},
        "message.android.notification.body_loc_args[1]",
    ),
    (
        {"token": "ok-1", "android": {"notification": {"bodyLocArgs": "a"}}},
        "message.android.notification",
    ),
    ({"token": "ok-1", "android": {"notification": {"id": 1}}}, "message.android.notification"),
    ({"token": "ok-1", "androidV2": {"priority": "HIGH"}}, "message.android_v2"),
    (
        {"token": "ok-1", "apns": {"headers": {"apns-priority": 10}}},
        "message.apns.headers[0].value",
    ),
    ({"token": "ok-1", "apns": {"payload": "x"}}, "message.apns.payload"),
    ({"token": "ok-1", "webpush": {"fcmOptions": {"image": "x"}}}, "message.webpush.fcm_options"),
    ({"token": "ok-1", "topic": "news"}, "message"),
    ("hello", "message"),
]


@pytest.mark.parametrize(("message", "field"), PARSER_REFUSES)
def test_the_json_parser_refuses_without_a_word_of_fcms_own(sandbox: Sandbox, message: Any, field: str) -> None:
    answer = sandbox.send(message)
    assert (answer.status_code, answer.json()["error"]["status"]) == (400, "INVALID_ARGUMENT")
    assert fcm_code(answer) is None
    assert violated(answer) == [field]
    assert sandbox.book()["accepted_count"] == 0


def test_the_parsers_texts_are_googles(sandbox: Sandbox) -> None:
    wrong_type = sandbox.send({"token": "ok-1", "data": {"a": 12}}).json()["error"]["message"]
    assert wrong_type == "Invalid value at 'message.data[0].value' (TYPE_STRING), 12"
    unknown = sandbox.send({"token": "ok-1", "x": 1}).json()["error"]["message"]
    text = "Invalid JSON payload received. Unknown name \"x\" at 'message': Cannot find field."
    assert unknown == text


def test_every_fault_of_a_body_is_named_at_once(sandbox: Sandbox) -> None:
    answer = sandbox.send({"token": 1, "x": 2, "data": {"k": 3}})
    assert violated(answer) == ["message.token", "message", "message.data[0].value"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff\xfe", b'{"message": NaN}'])
def test_what_is_not_a_json_object_is_refused(sandbox: Sandbox, body: bytes) -> None:
    answer = requests.post(
        f"{sandbox.url}/v1/projects/sandbox-project/messages:send",
        data=body,
        headers={"Authorization": f"Bearer {sandbox.bearer}"},
        timeout=30,
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["message"].startswith("Invalid JSON payload received.")


FCM_REFUSES = [
    (None, "message"),
    ({}, "message"),
    ({"token": ""}, "message"),
    ({"notification": {"title": "to nobody"}}, "message"),
    ({"token": "ok-1", "android": {}, "androidV2": {}}, "message.android_v2"),
    ({"topic": "/topics/news"}, "message.topic"),
    ({"topic": "a b"}, "message.topic"),
    ({"token": "ok-1", "data": {"from": "x"}}, "message.data"),
    ({"token": "ok-1", "data": {"message_type": "x"}}, "message.data"),
    ({"token": "ok-1", "data": {"google.x": "x"}}, "message.data"),
    ({"token": "ok-1", "data": {"gcm.notification.x": "x"}}, "message.data"),
    ({"token": "ok-1", "android": {"data": {"from": "x"}}}, "message.android.data"),
    ({"token": "ok-1", "webpush": {"data": {"from": "x"}}}, "message.webpush.data"),
    ({"token": "ok-1", "android": {"ttl": "-1s"}}, "message.android.ttl"),
    ({"token": "ok-1", "android": {"ttl": "2419201s"}}, "message.android.ttl"),
    ({"token": "ok-1", "androidV2": {"ttl": "2419201s"}}, "message.android_v2.ttl"),
    (
        {"token": "ok-1", "android": {"notification": {"color": "red"}}},
        "message.android.notification.color",
    ),
    (
        {"token": "ok-1", "android": {"notification": {"lightSettings": {"color": {}}}}},
        "message.android.notification.light_settings.light_on_duration",
    ),
    ({"token": "ok-1", "webpush": {"headers": {"TTL": "1h"}}}, "message.webpush.headers"),
    ({"token": "ok-1", "webpush": {"headers": {"ttl": "-1"}}}, "message.webpush.headers"),
    ({"token": "ok-1", "webpush": {"headers": {"Urgency": "now"}}}, "message.webpush.headers"),
    (
        {"token": "ok-1", "webpush": {"fcmOptions": {"link": "http://example.com"}}},
        "message.webpush.fcm_options.link",
    ),
    (
        {"token": "ok-1", "fcmOptions": {"analyticsLabel": "a b"}},
        "message.fcm_options.analytics_label",
    ),
    (
        {"token": "ok-1", "apns": {"fcmOptions": {"analyticsLabel": "x" * 51}}},
        "message.apns.fcm_options.analytics_label",
    ),
    ({"token": "not a token"}, "message.token"),
    ({"fid": "short"}, "message.fid"),
]


@pytest.mark.parametrize(("message", "field"), FCM_REFUSES)
def test_fcm_refuses_and_names_the_field(sandbox: Sandbox, message: Any, field: str) -> None:
    answer = sandbox.send(message)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)
    assert fcm_code(answer) == "INVALID_ARGUMENT"
    assert violated(answer) == [field]
    book = sandbox.book()
    assert (book["accepted_count"], book["refusals"]) == (0, {"INVALID_ARGUMENT": 1})


@pytest.mark.parametrize("condition", ["news", "'a' in topics &&", "('a' in topics", "'a' in topics 'b' in topics"])
def test_a_malformed_condition_has_no_details(sandbox: Sandbox, condition: str) -> None:
    answer = sandbox.send({"condition": condition})
    assert (answer.status_code, details_of(answer)) == (400, {})


def test_a_condition_has_five_topics_at_most(sandbox: Sandbox) -> None:
    topics = [f"'t{i}' in topics" for i in range(6)]
    assert sandbox.send({"condition": " || ".join(topics[:5])}).status_code == 200
    assert sandbox.send({"condition": " || ".join(topics)}).status_code == 400


@pytest.mark.parametrize(
    ("topic_limit", "target", "limit"),
    [
        ("observed", {"token": "ok-1"}, 4096),
        ("observed", {"topic": "news"}, 4096),
        ("documented", {"token": "ok-1"}, 4096),
        ("documented", {"topic": "news"}, 2048),
    ],
)
def test_keys_and_values_count_to_the_last_byte(
    sandbox: Sandbox, documented: Sandbox, topic_limit: str, target: dict[str, str], limit: int
) -> None:
    sandbox = documented if topic_limit == "documented" else sandbox
    fits = {**target, "data": {"key": "é" + "x" * (limit - 5)}}
    assert sandbox.send(fits).status_code == 200
    answer = sandbox.send({**target, "data": {"key": "é" + "x" * (limit - 4)}})
    assert (answer.status_code, fcm_code(answer)) == (400, "INVALID_ARGUMENT")
    assert f"({limit} bytes)" in answer.json()["error"]["message"]


def test_the_last_of_repeated_keys_wins(sandbox: Sandbox) -> None:
    answer = requests.post(
        f"{sandbox.url}/v1/projects/sandbox-project/messages:send",
        data='{"message": {"token": 1}, "message": {"token": "bad", "token": "ok-1"}}',
        headers={"Authorization": f"Bearer {sandbox.bearer}"},
        timeout=30,
    )
    assert answer.status_code == 200


# --- FCM: what becomes of a device ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "http", "status", "code"),
    [
        ("dead", 404, "NOT_FOUND", "UNREGISTERED"),
        ("malformed", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("mismatch", 403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH"),
        ("quota", 429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED"),
        ("unavailable", 503, "UNAVAILABLE", "UNAVAILABLE"),
        ("apns410", 400, "INVALID_ARGUMENT", "INVALID_ARGUMENT"),
        ("apnsauth", 401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR"),
    ],
)
def test_a_users_prefix_decides_what_fcm_says_of_the_device(
    sandbox: Sandbox, state: str, http: int, status: str, code: str
) -> None:
    answer = sandbox.send({"token": sandbox.token_of(f"{state}-anna")})
    assert (answer.status_code, answer.json()["error"]["status"]) == (http, status)
    assert fcm_code(answer) == code
    assert sandbox.book()["refusals"] == {code: 1}
    assert sandbox.book()["accepted_count"] == 0


def test_the_verdicts_on_tokens_carry_googles_details(sandbox: Sandbox) -> None:
    quota = sandbox.send({"token": "quota-1"})
    assert int(quota.headers["Retry-After"]) == 30
    assert violated(sandbox.send({"token": "malformed-1"})) == ["message.token"]
    assert details_of(sandbox.send({"token": "apns410-1"}))[APNS_ERROR] == {
        "@type": APNS_ERROR,
        "statusCode": 410,
        "reason": "Unregistered",
    }


def test_a_well_formed_token_that_was_never_registered_is_unregistered(sandbox: Sandbox) -> None:
    answer = sandbox.send({"token": "e" * 22 + ":APA91b" + "x" * 134})
    assert (answer.status_code, fcm_code(answer)) == (404, "UNREGISTERED")


def test_a_hanging_send_is_booked_before_it_is_answered(sandbox: Sandbox) -> None:
    with pytest.raises(requests.ReadTimeout):
        requests.post(
            f"{sandbox.url}/v1/projects/sandbox-project/messages:send",
            json={"message": {"token": sandbox.token_of("hang-anna")}},
            headers={"Authorization": f"Bearer {sandbox.bearer}"},
            timeout=(10, 0.3),
        )
    assert sandbox.book()["accepted_count"] == 1


def test_a_dry_run_is_checked_and_not_booked(sandbox: Sandbox) -> None:
    for name in ("validate_only", "validateOnly"):
        assert sandbox.send({"token": "ok-1"}, **{name: True}).status_code == 200
    assert sandbox.send({"token": "dead-1"}, validateOnly=True).status_code == 404
    book = sandbox.book()
    assert (book["accepted_count"], book["counts"]["validated"]) == (0, 2)


# --- FCM: Google's own client --------------------------------------------------------------------


@pytest.fixture
def google_app(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[firebase_admin.App]:
    url = sandbox.url + "/v1/projects/{0}/messages:send"
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", url)
    app = firebase_admin.initialize_app(
        credentials.Certificate(str(sandbox.key_file)), name=f"test-{time.monotonic_ns()}"
    )
    yield app
    firebase_admin.delete_app(app)


def whole_message(token: str) -> messaging.Message:
    return messaging.Message(
        token=token,
        data={"order": "7"},
        notification=messaging.Notification("Hello", "World", "https://example.com/i.png"),
        android=messaging.AndroidConfig(
            collapse_key="c",
            priority="high",
            ttl=timedelta(minutes=5, milliseconds=1),
            notification=messaging.AndroidNotification(
                tag="n-1",
                color="#aabbcc",
                priority="max",
                visibility="public",
                vibrate_timings_millis=[100, 250],
                light_settings=messaging.LightSettings("#aabbccdd", 200, 300),
                notification_count=3,
            ),
        ),
        apns=messaging.APNSConfig(
            headers={"apns-priority": "10"},
            payload=messaging.APNSPayload(messaging.Aps(badge=1, content_available=True)),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "60"},
            fcm_options=messaging.WebpushFCMOptions(link="https://example.com/"),
        ),
        fcm_options=messaging.FCMOptions(analytics_label="spring"),
    )


@pytest.mark.filterwarnings("ignore:.*token:DeprecationWarning")
def test_googles_own_client_sends_here(sandbox: Sandbox, google_app: firebase_admin.App) -> None:
    token = sandbox.token_of("anna")
    name = messaging.send(whole_message(token), app=google_app)
    (entry,) = sandbox.book()["accepted"]
    assert entry["name"] == name
    assert (entry["token"], entry["tag"], entry["data"]) == (token, "n-1", {"order": "7"})
    assert (entry["title"], entry["body"], entry["priority"]) == ("Hello", "World", "HIGH")


@pytest.mark.filterwarnings("ignore:.*token:DeprecationWarning")
@pytest.mark.parametrize(
    ("user", "error"),
    [
        ("dead-anna", messaging.UnregisteredError),
        ("mismatch-anna", messaging.SenderIdMismatchError),
        ("malformed-anna", firebase_admin.exceptions.InvalidArgumentError),
        ("apnsauth-anna", messaging.ThirdPartyAuthError),
    ],
)
def test_googles_own_client_understands_the_refusals(
    sandbox: Sandbox, google_app: firebase_admin.App, user: str, error: type[Exception]
) -> None:
    with pytest.raises(error):
        messaging.send(messaging.Message(token=sandbox.token_of(user)), app=google_app)
