"""The JSON parser in front of the sandbox's FCM, from outside: names, types, enums, durations."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from tests.sandbox_process import (
    Sandbox,
    fcm_code,
    violated,
)

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
