"""The sandbox's FCM, from outside: the messages that it takes, and those that it refuses."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox_process import (
    APNS_ERROR,
    BAD_REQUEST,
    Sandbox,
    details_of,
    fcm_code,
    running,
    violated,
)

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
    ({"token": "ok-1", "webpush": {"fcmOptions": {"link": "https://"}}}, "message.webpush.fcm_options.link"),
    ({"token": "ok-1", "webpush": {"fcmOptions": {"link": "https:///order"}}}, "message.webpush.fcm_options.link"),
    ({"token": "ok-1", "webpush": {"fcmOptions": {"link": "https://me@/a"}}}, "message.webpush.fcm_options.link"),
    ({"token": "ok-1", "webpush": {"headers": {"Topic": "a" * 33}}}, "message.webpush.headers"),
    ({"token": "ok-1", "webpush": {"headers": {"topic": "a b"}}}, "message.webpush.headers"),
    ({"token": "ok-1", "webpush": {"headers": {"Topic": ""}}}, "message.webpush.headers"),
    ({"token": "ok-1", "apns": {"payload": {"aps": {"badge": "3"}}}}, "message.apns.payload.aps.badge"),
    ({"token": "ok-1", "apns": {"payload": {"aps": {"badge": True}}}}, "message.apns.payload.aps.badge"),
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
    ({"topic": "/topics/news"}, "message.topic"),
]


@pytest.mark.parametrize(("message", "field"), FCM_REFUSES)
def test_fcm_refuses_and_names_the_field(sandbox: Sandbox, message: Any, field: str) -> None:
    answer = sandbox.send(message)
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, 400)
    assert fcm_code(answer) == "INVALID_ARGUMENT"
    assert violated(answer) == [field]
    book = sandbox.book()
    assert (book["accepted_count"], book["refusals"]) == (0, {"INVALID_ARGUMENT": 1})


APPLE_REFUSES = [
    ({"apns-push-type": "background", "apns-priority": "10"}, "BadPriority"),
    ({"apns-priority": "7"}, "BadPriority"),
    ({"APNS-Priority": "high"}, "BadPriority"),
    ({"apns-collapse-id": "é" * 33}, "BadCollapseId"),
    ({"apns-expiration": "1h"}, "BadExpirationDate"),
    ({"apns-expiration": "-1"}, "BadExpirationDate"),
    ({"apns-push-type": "silent"}, "InvalidPushType"),
]


@pytest.mark.parametrize(("headers", "reason"), APPLE_REFUSES)
def test_apple_refuses_and_fcm_says_so_once_it_has_really_sent(
    sandbox: Sandbox, headers: dict[str, str], reason: str
) -> None:
    message = {"token": "ok-1", "apns": {"headers": headers}}
    answer = sandbox.send(message)
    assert (answer.status_code, fcm_code(answer)) == (400, "INVALID_ARGUMENT")
    apple = details_of(answer)[APNS_ERROR]
    assert (apple["statusCode"], apple["reason"]) == (400, reason)
    assert BAD_REQUEST not in details_of(answer)
    assert sandbox.send(message, validateOnly=True).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"apns-push-type": "background", "apns-priority": "5"},
        {"apns-push-type": "background"},
        {"apns-priority": "1", "apns-expiration": "0", "apns-collapse-id": "é" * 32},
    ],
)
def test_apple_takes_what_is_right(sandbox: Sandbox, headers: dict[str, str]) -> None:
    assert sandbox.send({"token": "ok-1", "apns": {"headers": headers}}).status_code == 200


@pytest.mark.parametrize("condition", ["news", "'a' in topics &&", "('a' in topics", "'a' in topics 'b' in topics"])
def test_a_malformed_condition_has_no_details(sandbox: Sandbox, condition: str) -> None:
    answer = sandbox.send({"condition": condition})
    assert (answer.status_code, details_of(answer)) == (400, {})


def test_a_condition_has_five_topics_at_most(sandbox: Sandbox) -> None:
    topics = [f"'t{i}' in topics" for i in range(6)]
    assert sandbox.send({"condition": " || ".join(topics[:5])}).status_code == 200
    assert sandbox.send({"condition": " || ".join(topics)}).status_code == 400


@pytest.mark.parametrize(("target", "limit"), [({"token": "ok-1"}, 4096), ({"topic": "news"}, 2048)])
def test_keys_and_values_count_to_the_last_byte(sandbox: Sandbox, target: dict[str, str], limit: int) -> None:
    fits = {**target, "data": {"key": "é" + "x" * (limit - 5)}}
    assert sandbox.send(fits).status_code == 200
    answer = sandbox.send({**target, "data": {"key": "é" + "x" * (limit - 4)}})
    assert (answer.status_code, fcm_code(answer)) == (400, "INVALID_ARGUMENT")
    assert f"({limit} bytes)" in answer.json()["error"]["message"]


def test_as_observed_a_topic_may_have_as_much_as_a_device(tmp_path: Path) -> None:
    with running(tmp_path, "--sizes", "observed") as observed:
        for target in ({"topic": "news"}, {"condition": "'a' in topics"}, {"token": "ok-1"}):
            assert observed.send({**target, "data": {"key": "x" * 4093}}).status_code == 200
            answer = observed.send({**target, "data": {"key": "x" * 4094}})
            assert answer.json()["error"]["message"] == "Message is too large. The maximum is 4K (4096 bytes)."


def test_the_last_of_repeated_keys_wins(sandbox: Sandbox) -> None:
    answer = requests.post(
        f"{sandbox.url}/v1/projects/sandbox-project/messages:send",
        data='{"message": {"token": 1}, "message": {"token": "bad", "token": "ok-1"}}',
        headers={"Authorization": f"Bearer {sandbox.bearer}"},
        timeout=30,
    )
    assert answer.status_code == 200
