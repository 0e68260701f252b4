"""The sandbox, from outside: the neighbours, scripted faults, the book, the phone, the process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox_process import (
    ERROR_INFO,
    ROOT,
    Sandbox,
    ask_for_token,
    assertion,
    details_of,
    eventually,
    fcm_code,
    running,
)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox"), "--slow", "0.4", "--hang", "0.6") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Sandbox:
    world.clear()
    return world


# --- The neighbours ------------------------------------------------------------------------------


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


REPORT = {"notification_id": "n-1", "status": "delivered", "timestamp": "2026-11-22T10:00:00Z"}


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


# --- The other dialects --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ancestor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("ancestor"), "--dialect", "ancestor") as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def dns_core(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("dns-core"), "--dialect", "dns-core") as sandbox:
        yield sandbox


UUID = "2b1f7e1c-93a1-4d3e-8a66-0c8f3c4f1d2e"


def test_the_ancestors_users_have_one_token_beside_their_preferences(ancestor: Sandbox) -> None:
    users = "/api/v1/users"
    assert ancestor.get(f"{users}/a/preferences").json() == {"data": {"push_enabled": True, "email_enabled": True}}
    assert ancestor.get(f"{users}/optout-1/preferences").json()["data"]["push_enabled"] is False
    for user in ("a", "multi-1"):
        assert re.fullmatch(r"[\w-]{22}:APA.+", ancestor.get(f"{users}/{user}/push-token").json()["data"]["token"])
    assert ancestor.get(f"{users}/dead-1/push-token").json()["data"]["token"].startswith("dead-")
    assert ancestor.get(f"{users}/nodevice-1/push-token").status_code == 404
    unknown = ancestor.get(f"{users}/unknown-1/preferences")
    assert (unknown.status_code, unknown.json()) == (404, {"detail": "user not found"})


def test_the_ancestors_templates_take_two_keys_and_have_a_subject(ancestor: Sandbox) -> None:
    order = {"template_id": "welcome", "variables": {"name": "Ada"}}
    data = ancestor.post("/api/v1/templates/render", order).json()["data"]
    assert data == {"subject": "Welcome, Ada!", "body_text": "Good to have you here. Your account is ready."}
    assert ancestor.post("/api/v1/templates/render", {**order, "language": "en"}).status_code == 400
    assert ancestor.post("/api/v1/templates/render", {"template_id": "welcome"}).status_code == 422
    assert ancestor.post("/api/v1/templates/render", {**order, "template_id": "unknown-1"}).status_code == 404


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"channel": "push", "status": "sent", "sent_at": "2026-11-22T10:00:00Z"}, 200),
        ({"channel": "push", "status": "failed", "error_message": "why"}, 200),
        ({"channel": "push", "status": "skipped"}, 200),
        ({"channel": "push", "status": "sent"}, 422),
        ({"channel": "push", "status": "failed", "sent_at": "2026-11-22T10:00:00Z"}, 422),
        ({"channel": "push", "status": "delivered"}, 422),
        ({"channel": "email", "status": "skipped"}, 422),
        ({"status": "skipped"}, 422),
        ({"channel": "push", "status": "skipped", "error_message": None}, 422),
        ({"channel": "push", "status": "skipped", "notification_id": "n"}, 400),
    ],
)
def test_the_ancestors_gateway_is_patched(ancestor: Sandbox, body: dict[str, Any], status: int) -> None:
    ancestor.clear()
    answer = requests.patch(f"{ancestor.url}/internal/notifications/n%2F1", json=body, timeout=30)
    assert answer.status_code == status
    told = [(entry["notification_id"], entry["status"], entry["body"]) for entry in ancestor.book()["reports"]]
    assert told == ([("n/1", body["status"], body)] if status == 200 else [])


def test_dns_cores_users_have_flags_and_one_token(dns_core: Sandbox) -> None:
    users = "/api/v1/users"
    assert dns_core.get(f"{users}/optout-1/preferences/").json()["data"] == {"email": True, "push": False}
    assert dns_core.get(f"{users}/multi-1/push-token").json()["data"]["push_token"]
    assert dns_core.get(f"{users}/nodevice-1/push-token").json()["data"] == {"push_token": None}
    unknown = dns_core.get(f"{users}/unknown-1/preferences/")
    assert (unknown.status_code, unknown.json().keys()) == (404, {"success", "message", "error"})


def test_dns_cores_templates_are_uuids_and_escape_whatever_they_are_given(dns_core: Sandbox) -> None:
    order = {"template_id": UUID, "variables": {"user_name": "O'Brien <&>"}}
    data = dns_core.post("/api/v1/templates/render", order).json()["data"]
    assert data["subject"] == "News for O&#39;Brien &lt;&amp;&gt;"
    assert data.keys() == {"subject", "body_html", "body_text", "template_id", "variables_used"}


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"template_id": "welcome"}, 422),
        ({"variables": None}, 422),
        ({"language": "en"}, 400),
        ({"template_id": "00000000" + UUID[8:]}, 400),
        ({"template_id": "bad00000" + UUID[8:]}, 500),
    ],
)
def test_dns_cores_templates_refuse_with_a_detail(dns_core: Sandbox, change: dict[str, Any], status: int) -> None:
    answer = dns_core.post("/api/v1/templates/render", {"template_id": UUID, "variables": {}, **change})
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert isinstance(answer.json()["detail"], list) is (status == 422)


@pytest.mark.parametrize(
    ("change", "status"),
    [({}, 201), ({"error": "why"}, 201), ({"notification_id": "n-1"}, 400), ({"status": "sent"}, 400),
     ({"timestamp": "now"}, 400), ({"channel": "push"}, 400), ({"error": None}, 400)],
)  # fmt: skip
def test_dns_cores_gateway_wants_uuids_and_no_other_key(dns_core: Sandbox, change: dict[str, Any], status: int) -> None:
    dns_core.clear()
    answer = dns_core.post("/api/v1/notifications/push/status", {**REPORT, "notification_id": UUID, **change})
    assert answer.status_code == status
    assert dns_core.book()["report_count"] == (status == 201)
    assert "meta" in answer.json() if status == 201 else answer.json()["statusCode"] == 400


def test_a_dialect_has_its_own_paths_only(sandbox: Sandbox, ancestor: Sandbox, dns_core: Sandbox) -> None:
    def missing(world: Sandbox, *paths: str) -> list[int]:
        return [world.post(path, {}).status_code if "users" not in path else world.get(path).status_code
                for path in paths]  # fmt: skip

    spec_only = ("/api/v1/users/a", "/api/v1/push/status/")
    assert missing(sandbox, "/api/v1/users/a/preferences", "/api/v1/notifications/push/status") == [404, 404]
    assert missing(ancestor, *spec_only, "/api/v1/users/a/preferences/") == [404, 404, 404]
    assert missing(dns_core, *spec_only, "/api/v1/users/a/preferences") == [404, 404, 404]


def test_every_dialect_counts_extra_keys_and_says_what_it_speaks(
    sandbox: Sandbox, ancestor: Sandbox, dns_core: Sandbox
) -> None:
    for world, name in ((sandbox, "spec"), (ancestor, "ancestor"), (dns_core, "dns-core")):
        world.clear()
        assert world.post("/api/v1/templates/render", {"colour": "red"}).status_code == 400
        assert (world.book()["counts"]["extra_keys"], world.book()["counts"]["refused_renders"]) == (1, 1)
        page = world.get("/").text
        assert f"They speak <code>{name}</code>" in page
        assert ("PATCH /internal/notifications/{notification_id}" in page) is (name == "ancestor")


@pytest.mark.parametrize("service", ["users", "templates", "gateway"])
@pytest.mark.parametrize("dialect", ["spec", "dns-core"])
def test_a_demanded_header_is_demanded_of_its_service_alone(tmp_path: Path, dialect: str, service: str) -> None:
    paths = {
        "users": "/api/v1/users/a" if dialect == "spec" else "/api/v1/users/a/push-token",
        "templates": "/api/v1/templates/render",
        "gateway": "/api/v1/push/status/" if dialect == "spec" else "/api/v1/notifications/push/status",
    }

    def refused(world: Sandbox, **headers: str) -> set[str]:
        calls = {name: "GET" if name == "users" else "POST" for name in paths}
        answers = {
            name: requests.request(method, world.url + paths[name], json={}, headers=headers, timeout=30)
            for name, method in calls.items()
        }
        return {name for name, answer in answers.items() if answer.status_code == 401}

    with running(tmp_path, "--dialect", dialect, "--require-header", f"{service}=X-Key: one: two") as world:
        assert refused(world) == {service}
        assert refused(world, **{"X-Key": "one"}) == {service}
        assert refused(world, **{"x-key": "one: two"}) == set()
        assert world.book()["counts"]["unauthorized"] == 2


# --- Scripted faults -----------------------------------------------------------------------------


def call_users(sandbox: Sandbox) -> requests.Response:
    return sandbox.get("/api/v1/users/anna")


def call_templates(sandbox: Sandbox) -> requests.Response:
    return sandbox.post("/api/v1/templates/render", {"template_id": "otp"})


def call_gateway(sandbox: Sandbox) -> requests.Response:
    return sandbox.post("/api/v1/push/status/", REPORT)


def call_fcm(sandbox: Sandbox) -> requests.Response:
    return sandbox.send({"token": "ok-1", "android": {"notification": {"tag": "t"}}})


def call_token(sandbox: Sandbox) -> requests.Response:
    return ask_for_token(sandbox, assertion(sandbox))


CALLS = {
    "users": call_users,
    "templates": call_templates,
    "gateway": call_gateway,
    "fcm": call_fcm,
    "token": call_token,
}


REFUSALS = [
    ("down", 503),
    ("refuse400", 400),
    ("refuse401", 401),
    ("refuse403", 403),
    ("refuse404", 404),
    ("html500", 500),
    ("quota", 429),
]


@pytest.mark.parametrize("service", CALLS)
@pytest.mark.parametrize(("fault", "status"), REFUSALS)
def test_a_scripted_refusal_is_the_services_own(sandbox: Sandbox, service: str, fault: str, status: int) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script(service, fault, times=1, retry_after=7)
    answer = CALLS[service](sandbox)
    assert answer.status_code == status
    assert answer.headers.get("Retry-After") == ("7" if fault == "quota" else None)
    if fault == "html500":
        assert answer.headers["Content-Type"].startswith("text/html")
    else:
        assert "error" in answer.json()
    figures = sandbox.book()
    assert (figures["accepted_count"], figures["report_count"]) == (0, 0)
    assert CALLS[service](sandbox).status_code in (200, 201)


@pytest.mark.parametrize("service", CALLS)
def test_garbage_is_never_an_answer_and_never_the_same_twice(sandbox: Sandbox, service: str) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script(service, "garbage")
    answers = [CALLS[service](sandbox) for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.text for answer in answers}) == 4
    figures = sandbox.book()
    assert (figures["accepted_count"], figures["report_count"]) == (0, 0)


def test_a_huge_answer_goes_on_for_as_long_as_it_is_read(sandbox: Sandbox) -> None:
    sandbox.script("users", "huge")
    with requests.get(f"{sandbox.url}/api/v1/users/anna", stream=True, timeout=10) as answer:
        assert answer.status_code == 200
        assert len(answer.raw.read(5_000_000)) == 5_000_000
    sandbox.script("users", "none")
    assert call_users(sandbox).status_code == 200


def test_what_fcm_refuses_is_in_the_book_with_its_time_and_whose_it_was(sandbox: Sandbox) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.send({"token": "dead-1", "android": {"notification": {"tag": "n1"}}})
    sandbox.script("fcm", "quota", times=1)
    call_fcm(sandbox)
    sandbox.send({"token": "ok-1", "colour": "red"})
    refused = sandbox.get("/book").json()["refused"]
    whose = [(entry["code"], entry.get("token"), entry.get("tag")) for entry in refused]
    assert whose == [("UNREGISTERED", "dead-1", "n1"), ("quota", "ok-1", "t"), ("INVALID_ARGUMENT", None, None)]
    assert all(datetime.fromisoformat(entry["at"]).tzinfo for entry in refused)


def test_a_refusal_that_is_of_no_message_says_that_it_has_no_tag(sandbox: Sandbox) -> None:
    ask_for_token(sandbox, "no assertion")
    sandbox.post("/fcm/send", {"to": "ok-1"})
    refused = sandbox.book()["refused"]
    codes = ["token: invalid_grant", "legacy: unauthorized"]
    assert [(entry["code"], entry["token"], entry["tag"]) for entry in refused] == [
        (code, None, None) for code in codes
    ]


def test_a_project_quota_of_google_has_no_fcm_error(sandbox: Sandbox) -> None:
    assert sandbox.bearer
    sandbox.script("fcm", "quota", retry_after=None)
    answer = call_fcm(sandbox)
    assert (answer.status_code, fcm_code(answer)) == (429, None)
    assert "Retry-After" not in answer.headers
    assert details_of(answer)[ERROR_INFO]["metadata"]["quota_limit"] == "SendsPerMinutePerProject"


@pytest.mark.parametrize("fault", ["reset", "reset-after-accept"])
@pytest.mark.parametrize("service", ["fcm", "gateway"])
def test_a_reset_comes_before_or_after_the_message_is_taken(sandbox: Sandbox, service: str, fault: str) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script(service, fault)
    with pytest.raises(requests.ConnectionError, match="reset by peer"):
        CALLS[service](sandbox)
    figures = sandbox.book()
    taken = figures["accepted_count"] + figures["report_count"]
    assert taken == (1 if fault == "reset-after-accept" else 0)


def test_a_slow_service_answers_rightly_but_late(sandbox: Sandbox) -> None:
    sandbox.script("users", "slow", latency_ms=500)
    started = time.monotonic()
    assert call_users(sandbox).status_code == 200
    assert time.monotonic() - started >= 0.5


def test_a_fault_ends_by_count_or_by_time(sandbox: Sandbox) -> None:
    sandbox.script("users", "down", times=2)
    assert [call_users(sandbox).status_code for _ in range(3)] == [503, 503, 200]
    sandbox.script("users", "down", seconds=0.2)
    eventually(lambda: call_users(sandbox).status_code == 200)
    assert sandbox.get("/control").json()["users"]["fault"] == "none"


def test_who_asks_at_the_same_time_does_not_meet_a_fault_more_often(sandbox: Sandbox) -> None:
    body = json.dumps({"message": {"token": "ok-1"}}).encode()
    head = (
        "POST /v1/projects/sandbox-project/messages:send HTTP/1.1\r\nHost: fcm\r\nConnection: close\r\n"
        f"Authorization: Bearer {sandbox.bearer}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    sandbox.script("fcm", "down", times=1)
    address = urlsplit(sandbox.url)
    with ExitStack() as open_ones:
        callers = [
            open_ones.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))
            for _ in range(5)
        ]
        for caller in callers:
            caller.sendall(head.encode())
        eventually(lambda: sandbox.get("/control").json()["fcm"]["hits"])
        for caller in callers:
            caller.sendall(body)
        answers = [caller.makefile("rb").readline().split()[1] for caller in callers]
    assert sorted(answers) == [b"200"] * 4 + [b"503"]


def test_a_fault_is_one_services_only_and_told(sandbox: Sandbox) -> None:
    sandbox.script("templates", "down")
    assert call_users(sandbox).status_code == 200
    assert call_templates(sandbox).status_code == 503
    told = sandbox.get("/control").json()["templates"]
    assert (told["fault"], told["hits"], told["times_left"]) == ("down", 1, None)
    assert sandbox.get("/health").status_code == 200


@pytest.mark.parametrize(
    "order",
    [
        {"service": "users"},
        {"service": "nobody", "fault": "down"},
        {"service": "users", "fault": "flood"},
        {"service": "users", "fault": ["down"]},
        {"service": "users", "fault": "down", "times": "two"},
        {"service": "users", "fault": "down", "seconds": -1},
        {"service": "users", "fault": "down", "colour": "red"},
        ["users", "down"],
    ],
)
def test_a_wrong_order_is_refused_with_a_sentence(sandbox: Sandbox, order: Any) -> None:
    answer = sandbox.post("/control", order)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert call_users(sandbox).status_code == 200


def test_fcm_can_be_given_a_latency(tmp_path: Path) -> None:
    with running(tmp_path, "--fcm-latency", "300") as slow:
        assert slow.bearer
        started = time.monotonic()
        assert call_fcm(slow).status_code == 200
        assert time.monotonic() - started >= 0.3


# --- The book ------------------------------------------------------------------------------------


def tagged(token: str, tag: str | None, **content: str) -> dict[str, Any]:
    return {"token": token, "notification": content, "android": {"notification": {"tag": tag}}}


def test_the_book_counts_repeats_of_one_tag_on_one_device(sandbox: Sandbox) -> None:
    for token, tag in [("ok-a", "1"), ("ok-a", "1"), ("ok-a", "2"), ("ok-b", "1"), ("ok-a", "1")]:
        sandbox.send(tagged(token, tag, title="T"))
    sandbox.send(tagged("ok-a", None))
    book = sandbox.book()
    assert (book["accepted_count"], book["repeats"], book["untagged"]) == (6, 2, 1)


@pytest.mark.parametrize(
    "part",
    [
        {"android": {"notification": {"tag": "t"}, "collapseKey": "other"}},
        {"androidV2": {"remote_notification": {"notification": {"tag": "t"}}}},
        {"android": {"collapse_key": "t"}},
        {"apns": {"headers": {"apns-collapse-id": "t"}}},
        {"webpush": {"notification": {"tag": "t"}}},
    ],
)
def test_the_tag_is_found_where_the_platforms_keep_it(sandbox: Sandbox, part: dict[str, Any]) -> None:
    sandbox.send({"token": "ok-1", **part})
    assert sandbox.book()["accepted"][0]["tag"] == "t"


def test_the_book_survives_a_kill_and_the_access_tokens_do_not(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        bearer, key = first.bearer, json.loads(first.key_file.read_text())["private_key"]
        first.send(tagged("ok-1", "t", title="kept"))
        call_gateway(first)
        call_users(first)
        first.send({"token": "dead-1"})
        before = first.book()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with (tmp_path / "book.jsonl").open("ab") as book:
        book.write(b'{"kind":"acc')  # as a full disk leaves it
    with running(tmp_path) as second:
        assert second.book() == before
        assert json.loads(second.key_file.read_text())["private_key"] == key
        assert second.send({"token": "ok-1"}, bearer).status_code == 401
        assert "kept" in second.get("/phone").text
        assert second.send(tagged("ok-1", "t")).status_code == 200
        assert second.book()["repeats"] == 1


def test_a_cleared_book_stays_clear(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        call_fcm(first)
        first.clear()
        call_gateway(first)
    with running(tmp_path) as second:
        book = second.book()
        assert (book["accepted_count"], book["report_count"], book["counts"]["tokens"]) == (0, 1, 0)


def test_a_book_of_a_hundred_thousand_is_opened_and_read_quickly(tmp_path: Path) -> None:
    entry = {
        "kind": "accepted", "at": "2026-11-22T10:00:00.000+00:00", "name": "n", "target": "token",
        "title": "T" * 40, "body": "B" * 120, "image": None, "link": None, "priority": "HIGH",
        "data": {},
    }  # fmt: skip
    with (tmp_path / "book.jsonl").open("w") as file:
        for i in range(100_000):
            line = {**entry, "token": f"ok-{i % 5000}" + "x" * 150, "tag": str(i // 2)}
            file.write(json.dumps(line) + "\n")
    with running(tmp_path) as sandbox:
        started = time.monotonic()
        assert sandbox.get("/book?full=0").json()["accepted_count"] == 100_000
        assert time.monotonic() - started < 2
        assert len(sandbox.book()["accepted"]) == 100_000
        assert time.monotonic() - started < 15


def start_in_vain(*options: str) -> str:
    """What a sandbox that cannot start says."""
    command = [sys.executable, "-m", "sandbox", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    (tmp_path / "book.jsonl").write_bytes(b'{"kind":"counted","what":"lookups"}\n\0\0\0\n')
    second = start_in_vain("--port", "0", "--dir", str(tmp_path))
    assert re.fullmatch(r"sandbox: .+book.jsonl has a damaged line: .+; remove the file\n", second)


def test_two_sandboxes_do_not_share_a_directory(tmp_path: Path) -> None:
    with running(tmp_path):
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--dir", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert re.fullmatch(r"sandbox: another sandbox is using .+; give another --dir\n", second.stderr)


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "sandbox", "--port", port, "--dir", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert re.fullmatch(rf"sandbox: cannot start on 127.0.0.1:{port}: .+\n", second.stderr)


# --- The pages -----------------------------------------------------------------------------------


def test_the_phone_shows_a_push_escaped_and_whose_it_is(sandbox: Sandbox) -> None:
    message = tagged(sandbox.token_of("anna"), "t", title="<b>Hi</b>", body="a & b")
    sandbox.send({**message, "webpush": {"fcmOptions": {"link": "https://example.com/?a&b"}}})
    page = sandbox.get("/phone").text
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page
    assert "a &amp; b" in page
    assert "https://example.com/?a&amp;b" in page
    assert "anna · android" in page
    assert "<b>Hi" not in page


def test_a_repeat_replaces_the_first_on_its_device_only(sandbox: Sandbox) -> None:
    for user, title in [("anna", "early"), ("berta", "hers"), ("anna", "later")]:
        sandbox.send(tagged(sandbox.token_of(user), "t", title=title))
    page = sandbox.get("/phone").text
    assert ("early" in page, "later" in page, "hers" in page) == (False, True, True)
    assert page.count("replaced, 2 times sent") == 1


def test_the_phone_can_show_one_device(sandbox: Sandbox) -> None:
    for user in ("anna", "berta"):
        sandbox.send(tagged(sandbox.token_of(user), "t", title=f"for {user}"))
    page = sandbox.get("/phone", params={"device": "berta · android"}).text
    assert ("for anna" in page, "for berta" in page) == (False, True)
    assert '<option value="anna · android">' in page


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:text/html,x", '"><script>'])
def test_only_pictures_from_the_web_are_shown(sandbox: Sandbox, image: str) -> None:
    sandbox.send({"token": "ok-1", "notification": {"title": "T", "image": image}})
    page = sandbox.get("/phone").text
    assert '<img class="picture"' not in page
    assert image not in page


def test_the_phone_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    answer = sandbox.get("/phone")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_pushes_arrive_live(sandbox: Sandbox) -> None:
    (after,) = re.findall(r"events\?after=(\d+)", sandbox.get("/phone").text)
    seen: list[dict[str, Any]] = []

    def listen(stream: requests.Response) -> None:
        for line in stream.iter_lines():
            if line.startswith(b'data: {"key'):
                seen.append(json.loads(line[6:]))
                if len(seen) == 2:
                    return

    path = f"{sandbox.url}/phone/events?after={after}"
    with requests.get(path, stream=True, timeout=30) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        listener = threading.Thread(target=listen, args=(stream,))
        listener.start()
        sandbox.send(tagged(sandbox.token_of("anna"), "t", title="<one>"))
        eventually(lambda: seen)
        sandbox.send(tagged(sandbox.token_of("anna"), "t", title="two"))
        listener.join(20)
    assert [push["device"] for push in seen] == ["anna · android"] * 2
    assert "&lt;one&gt;" in seen[0]["html"]
    assert "replaced, 2 times sent" in seen[1]["html"]
    assert seen[0]["key"] == seen[1]["key"]


def test_the_first_page_documents_every_prefix_fault_and_address(sandbox: Sandbox) -> None:
    page = sandbox.get("/").text
    words = "optout- nodevice- unknown- multi- dead- baduser- slowuser- malformed- mismatch- quota- "
    words += "unavailable- hang- badtemplate- reset-after-accept refuse400 html500 revoke-tokens "
    words += "/token messages:send /api/v1/users/ /api/v1/templates/render /api/v1/push/status/ "
    words += "/book /phone /control garbage huge refuse403 rotate-key /health welcome otp order_shipped"
    assert [word for word in words.split() if word not in page] == []


# --- The process ---------------------------------------------------------------------------------


def test_it_stops_at_a_signal_even_while_somebody_looks(tmp_path: Path) -> None:
    with (
        running(tmp_path) as sandbox,
        requests.get(f"{sandbox.url}/phone/events", stream=True, timeout=30),
    ):
        sandbox.process.send_signal(signal.SIGTERM)
        assert sandbox.process.wait(20) == 0


def test_the_django_command_becomes_the_sandbox(tmp_path: Path) -> None:
    code = (
        "import sys; from deliveries.management.commands.sandbox import Command; "
        "Command().run_from_argv(['manage.py', 'sandbox', *sys.argv[1:]])"
    )
    with running(tmp_path, command=(sys.executable, "-c", code)) as sandbox:
        assert sandbox.get("/health").status_code == 200
        sandbox.process.send_signal(signal.SIGINT)
        assert sandbox.process.wait(20) == 0


def test_the_sandbox_imports_nothing_of_ours() -> None:
    rooms = ["pushproject", "deliveries", "providers", "django", "dramatiq"]
    code = f"import sys, sandbox.__main__; print([m for m in {rooms} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
