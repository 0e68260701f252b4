"""What scripted faults make of messages to the sandbox's FCM, and what its book then says."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from deliveries.doctor.fcm import examine
from deliveries.doctor.findings import Level
from tests.sandbox_process import (
    ERROR_INFO,
    QUOTA_FAILURE,
    Sandbox,
    ask_for_token,
    call_fcm,
    details_of,
    fcm_code,
    running,
)


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


@pytest.mark.parametrize("fault", ["garbage", "reset", "html502", "refuse500"])
def test_a_message_that_a_fault_kept_from_fcm_is_in_the_book_too(sandbox: Sandbox, fault: str) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script("fcm", fault)
    with suppress(requests.ConnectionError):
        call_fcm(sandbox)
    assert sandbox.book()["refusals"] == {fault: 1}


def test_every_call_is_counted_whatever_comes_of_it(sandbox: Sandbox) -> None:
    assert sandbox.bearer
    sandbox.clear()
    call_fcm(sandbox)
    sandbox.send({"token": "dead-1"})
    sandbox.send({"token": "ok-1"}, "made-up")
    sandbox.send({"token": "ok-1"}, validateOnly=True)
    sandbox.script("fcm", "reset-after-accept", times=1)
    with pytest.raises(requests.ConnectionError):
        call_fcm(sandbox)
    figures = sandbox.get("/book?full=0").json()
    assert (figures["calls"], figures["accepted_count"], figures["counts"]["validated"]) == (5, 2, 1)


@pytest.mark.parametrize(
    ("fault", "status", "reason"),
    [
        ("refuse401", "UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"),
        ("refuse403", "PERMISSION_DENIED", "IAM_PERMISSION_DENIED"),
        ("disabled", "PERMISSION_DENIED", "SERVICE_DISABLED"),
        ("noscope", "PERMISSION_DENIED", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"),
        ("quota", "RESOURCE_EXHAUSTED", "RATE_LIMIT_EXCEEDED"),
        ("refuse404", "NOT_FOUND", None),
        ("refuse504", "DEADLINE_EXCEEDED", None),
    ],
)
def test_troubles_of_the_project_have_no_word_of_fcms_own(
    sandbox: Sandbox, fault: str, status: str, reason: str | None
) -> None:
    assert sandbox.bearer
    sandbox.script("fcm", fault)
    answer = call_fcm(sandbox)
    assert (answer.json()["error"]["status"], fcm_code(answer)) == (status, None)
    assert details_of(answer).get(ERROR_INFO, {}).get("reason") == reason


@pytest.mark.parametrize(
    ("fault", "status"),
    [("refuse401", 401), ("refuse403", 403), ("noscope", 403), ("disabled", 403), ("refuse404", 404), ("html404", 404)],
)
def test_who_may_not_send_hears_so_before_anybody_reads_the_message(sandbox: Sandbox, fault: str, status: int) -> None:
    assert sandbox.bearer
    sandbox.clear()
    sandbox.script("fcm", fault)
    assert [sandbox.send(message).status_code for message in ({}, {"token": "dead-1"})] == [status] * 2
    assert sandbox.book()["refusals"] == {fault: 2}


@pytest.mark.parametrize(
    ("fault", "level", "words"),
    [
        ("none", Level.OK, "takes pushes"),
        ("refuse403", Level.FAILED, "roles/firebasecloudmessaging.admin"),
        ("disabled", Level.FAILED, "Firebase Cloud Messaging API"),
        ("noscope", Level.FAILED, "scope"),
        ("refuse404", Level.FAILED, "FCM_PROJECT_ID"),
    ],
)
def test_the_doctors_trial_sees_who_may_not_send(
    sandbox: Sandbox, settings: Any, fault: str, level: Level, words: str
) -> None:
    sandbox.script("fcm", fault)
    fcm = {"credentials_file": str(sandbox.key_file), "project_id": None, "endpoint": sandbox.url}
    settings.PROVIDERS = {"fcm": fcm}
    *_, finding = examine()
    assert finding.level is level
    assert words in f"{finding.what} {finding.fix}"


@pytest.mark.parametrize("fault", ["down", "quota", "refuse400", "html403"])
def test_any_other_trouble_comes_after_the_message_is_read(sandbox: Sandbox, fault: str) -> None:
    sandbox.script("fcm", fault)
    assert sandbox.send({"token": "dead-1"}).status_code == 404
    assert sandbox.get("/control").json()["fcm"]["hits"] == 0


@pytest.mark.parametrize("scope", ["device", "topic"])
@pytest.mark.parametrize("wait", [4, None])
def test_a_quota_of_a_device_or_a_topic_says_whose_it_is(sandbox: Sandbox, scope: str, wait: int | None) -> None:
    assert sandbox.bearer
    sandbox.script("fcm", "quota", scope=scope, retry_after=wait)
    answer = call_fcm(sandbox)
    assert (answer.status_code, fcm_code(answer)) == (429, "QUOTA_EXCEEDED")
    assert details_of(answer)[QUOTA_FAILURE]["violations"][0]["subject"] == scope
    assert answer.headers.get("Retry-After") == (None if wait is None else "4")
    assert sandbox.get("/control").json()["fcm"]["scope"] == scope


def test_a_project_quota_of_google_has_no_fcm_error(sandbox: Sandbox) -> None:
    assert sandbox.bearer
    sandbox.script("fcm", "quota", retry_after=None)
    answer = call_fcm(sandbox)
    assert (answer.status_code, fcm_code(answer)) == (429, None)
    assert "Retry-After" not in answer.headers
    assert details_of(answer)[ERROR_INFO]["metadata"]["quota_limit"] == "SendsPerMinutePerProject"


def test_a_message_that_waits_in_a_fault_has_counted_as_its_hit(sandbox: Sandbox) -> None:
    assert sandbox.bearer
    sandbox.script("fcm", "down", times=1, latency_ms=500)
    with ThreadPoolExecutor(5) as callers:
        answers = list(callers.map(call_fcm, [sandbox] * 5))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503]
    assert sandbox.get("/control").json()["fcm"]["hits"] == 1


def test_fcm_can_be_given_a_latency(tmp_path: Path) -> None:
    with running(tmp_path, "--fcm-latency", "300") as slow:
        assert slow.bearer
        started = time.monotonic()
        assert call_fcm(slow).status_code == 200
        assert time.monotonic() - started >= 0.3
