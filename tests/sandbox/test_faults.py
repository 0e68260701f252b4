"""Faults that are scripted into the sandbox, by POST /control and on its command line."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

from tests.sandbox_process import (
    CALLS,
    QUOTA_FAILURE,
    ROOT,
    Sandbox,
    call_fcm,
    call_templates,
    call_users,
    details_of,
    eventually,
    running,
)

REFUSALS = [
    ("down", 503),
    ("refuse400", 400),
    ("refuse401", 401),
    ("refuse403", 403),
    ("refuse404", 404),
    ("refuse500", 500),
    ("refuse504", 504),
    ("html302", 302),
    ("html403", 403),
    ("html404", 404),
    ("html408", 408),
    ("html500", 500),
    ("html502", 502),
    ("html503", 503),
    ("html504", 504),
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
    if fault.startswith("html"):
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


@pytest.mark.parametrize("service", ["fcm", "gateway"])
def test_a_hanging_service_has_taken_what_it_does_not_answer(sandbox: Sandbox, service: str) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script(service, "hang", times=1)
    started = time.monotonic()
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(CALLS[service], sandbox)
        eventually(lambda: (figures := sandbox.book())["accepted_count"] + figures["report_count"] == 1)
        assert answer.result().status_code in (200, 201)
    assert time.monotonic() - started >= 0.6


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
    body = json.dumps({"template_id": "otp"}).encode()
    head = (
        "POST /api/v1/templates/render HTTP/1.1\r\nHost: templates\r\nConnection: close\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    sandbox.script("templates", "down", times=1)
    address = urlsplit(sandbox.url)
    with ExitStack() as open_ones:
        callers = [
            open_ones.enter_context(socket.create_connection((address.hostname, address.port), timeout=10))
            for _ in range(5)
        ]
        for caller in callers:
            caller.sendall(head.encode())
        eventually(lambda: sandbox.get("/control").json()["templates"]["hits"])
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
        {"service": "users", "fault": "disabled"},
        {"service": "webpush", "fault": "noscope"},
        {"service": "users", "fault": "quota", "scope": "device"},
        {"service": "fcm", "fault": "down", "scope": "device"},
        {"service": "fcm", "fault": "quota", "scope": "planet"},
        {"service": "fcm", "fault": "quota", "retry_after": "soon"},
        ["users", "down"],
    ],
)
def test_a_wrong_order_is_refused_with_a_sentence(sandbox: Sandbox, order: Any) -> None:
    answer = sandbox.post("/control", order)
    assert answer.status_code == 400
    assert answer.json()["error"]
    assert call_users(sandbox).status_code == 200


# --- On the command line -------------------------------------------------------------------------


def test_faults_can_be_there_from_the_start(tmp_path: Path) -> None:
    faults = ("--fault", "fcm=quota,retry_after=5,scope=topic,times=2", "--fault", "gateway=down,seconds=600")
    with running(tmp_path, *faults) as world:
        assert call_users(world).status_code == 200
        assert CALLS["gateway"](world).status_code == 503
        refused = [call_fcm(world) for _ in range(3)]
    assert [answer.status_code for answer in refused] == [429, 429, 200]
    assert refused[0].headers["Retry-After"] == "5"
    assert details_of(refused[0])[QUOTA_FAILURE]["violations"][0]["subject"] == "topic"


def test_a_fault_without_a_wait_can_be_there_from_the_start(tmp_path: Path) -> None:
    with running(tmp_path, "--fault", "all=quota,retry_after=null") as world:
        answer = call_users(world)
    assert (answer.status_code, answer.headers.get("Retry-After")) == (429, None)


@pytest.mark.parametrize(
    ("fault", "complaint"),
    [
        ("fcm", "'fcm' is not SERVICE=FAULT,NAME=VALUE,…"),
        ("fcm=down,soon", "is not SERVICE=FAULT,NAME=VALUE,…"),
        ("nobody=down", "service must be one of users, templates, gateway, fcm, token, webpush, all"),
        ("fcm=flood", "fault must be one of none, down, "),
        ("fcm=down,times=two", "times must be a number from 0 up, or null"),
        ("fcm=down,colour=red", "unknown: colour; known: fault, latency_ms, "),
        ("users=quota,scope=device", "scope is for the fault quota of the service fcm only"),
    ],
)
def test_a_wrong_fault_stops_the_start_with_the_words_of_control(fault: str, complaint: str) -> None:
    command = [sys.executable, "-m", "sandbox", "--port", "0", "--fault", fault]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert complaint in ended.stderr.splitlines()[-1]
