"""The sandbox's user service, template service and gateway, from outside."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest
import requests

from tests.sandbox_process import REPORT, Sandbox


def user_data(sandbox: Sandbox, user: str) -> dict[str, Any]:
    answer = sandbox.get(f"/api/v1/users/{user}", headers={"X-Correlation-ID": "c"})
    assert (answer.status_code, answer.json()["success"]) == (200, True)
    return dict(answer.json()["data"])


def test_a_plain_user_has_one_device_whose_token_looks_real(sandbox: Sandbox) -> None:
    data = user_data(sandbox, "anna")
    assert data["preferences"] == {"email": True, "push": True}
    assert re.fullmatch(r"[\w-]{22}:APA91b[\w-]{134,}", data["push_token"])
    assert user_data(sandbox, "anna") == data
    assert user_data(sandbox, "berta")["push_token"] != data["push_token"]
    assert sandbox.book()["counts"]["lookups"] == 3
    assert "without_correlation_id" not in sandbox.book()["counts"]


def test_prefixes_make_users_of_every_kind(sandbox: Sandbox) -> None:
    assert user_data(sandbox, "optout-1")["preferences"]["push"] is False
    assert user_data(sandbox, "nodevice-1")["push_tokens"] == []
    devices = user_data(sandbox, "multi-1")["push_tokens"]
    assert [device["platform"] for device in devices] == ["android", "ios", "web"]
    assert len({device["token"] for device in devices}) == 3
    assert all(device["is_active"] is True for device in devices)
    assert user_data(sandbox, "mixed-1")["push_tokens"][1]["token"].startswith("dead-")


def test_users_that_do_not_exist_or_break(sandbox: Sandbox) -> None:
    unknown = sandbox.get("/api/v1/users/unknown-1")
    assert unknown.status_code == 404
    assert unknown.json() == {
        "success": False,
        "data": None,
        "error": "user not found",
        "message": "user not found",
        "meta": None,
    }
    assert sandbox.get("/api/v1/users/baduser-1").status_code == 500


def test_a_slow_user_is_answered_late(sandbox: Sandbox) -> None:
    started = time.monotonic()
    assert "push_token" in user_data(sandbox, "slowuser-1")
    assert time.monotonic() - started >= 0.4


@pytest.mark.parametrize("user", ["o/neil", "ü ö", "x" * 255, "a%2Fb", "{x}", "dead", "::"])
def test_any_string_may_be_a_user_id(sandbox: Sandbox, user: str) -> None:
    data = user_data(sandbox, requests.utils.quote(user, safe=""))
    assert data["id"] == user
    assert sandbox.send({"token": data["push_token"]}).status_code == 200


@pytest.mark.parametrize(
    ("order", "title"),
    [
        ({"template_id": "welcome", "variables": {"name": "Anna"}}, "Welcome, Anna!"),
        ({"template_code": "otp", "variables": {"code": 1234}}, "Your code is 1234"),
        ({"template_id": "whatever", "language": "en"}, "News for you"),
        ({"template_id": "welcome", "variables": {"user_name": "Ben"}}, "Welcome, Ben!"),
    ],
)
def test_templates_are_rendered(sandbox: Sandbox, order: dict[str, Any], title: str) -> None:
    answer = sandbox.post("/api/v1/templates/render", order)
    assert (answer.status_code, answer.json()["data"]["title"]) == (200, title)
    assert answer.json()["data"]["body"]


@pytest.mark.parametrize(
    ("order", "status"),
    [
        ({"template_id": "unknown-1", "variables": {}}, 404),
        ({"template_code": "badtemplate-1", "variables": {}}, 500),
        ({"variables": {}}, 422),
        ({"template_id": 7}, 422),
        ({"template_id": "otp", "variables": []}, 422),
        ("otp", 422),
        ({"template_id": "otp", "colour": "red"}, 400),
    ],
)
def test_wrong_renderings_are_refused(sandbox: Sandbox, order: Any, status: int) -> None:
    answer = sandbox.post("/api/v1/templates/render", order)
    assert (answer.status_code, answer.json()["success"]) == (status, False)


def test_the_gateway_keeps_reports_whole(sandbox: Sandbox) -> None:
    failed = {**REPORT, "notification_id": "n-2", "status": "failed", "error": "no device"}
    headers = {"X-Correlation-ID": "c-1"}
    for body in (REPORT, failed, REPORT):
        answer = sandbox.post("/api/v1/push/status/", body, headers=headers)
        assert (answer.status_code, answer.json()["success"]) == (201, True)
    book = sandbox.book()
    assert [entry["body"] for entry in book["reports"]] == [REPORT, failed, REPORT]
    assert {entry["correlation_id"] for entry in book["reports"]} == {"c-1"}
    assert (book["report_count"], book["repeated_reports"]) == (3, 1)


@pytest.mark.parametrize(
    "change",
    [
        {"channel": "push"},
        {"error": None},
        {"status": "sent"},
        {"status": None},
        {"notification_id": ""},
        {"notification_id": 7},
        {"timestamp": "yesterday"},
        {"timestamp": "2026-11-22T10:00:00"},
        {"timestamp": 1},
    ],
)
def test_the_gateway_refuses_what_was_not_agreed(sandbox: Sandbox, change: dict[str, Any]) -> None:
    answer = sandbox.post("/api/v1/push/status/", {**REPORT, **change})
    assert (answer.status_code, answer.json()["success"]) == (400, False)
    assert sandbox.book()["report_count"] == 0
    assert sandbox.book()["counts"]["refused_reports"] == 1
