"""The sandbox's FCM, from outside: what it says of a device, and which fault it names first."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.devices import STATES
from sandbox.fcm_legacy import SERVER_KEY
from tests.sandbox_process import (
    APNS_ERROR,
    BAD_REQUEST,
    FCM_ERROR,
    QUOTA_FAILURE,
    Sandbox,
    details_of,
    fcm_code,
    running,
    violated,
)

#: By state: HTTP status, Google's status, FCM's own word, and what the other details say.
VERDICTS: dict[str, tuple[int, str, str | None, dict[str, Any]]] = {
    "dead": (404, "NOT_FOUND", "UNREGISTERED", {}),
    "dead410": (404, "NOT_FOUND", "UNREGISTERED", {APNS_ERROR: (410, "Unregistered")}),
    "malformed": (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", {BAD_REQUEST: ["message.token"]}),
    "notatoken": (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", {}),
    "apns410": (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", {APNS_ERROR: (410, "Unregistered")}),
    "baddata": (400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", {BAD_REQUEST: ["message.data"]}),
    "badrequest": (400, "INVALID_ARGUMENT", None, {BAD_REQUEST: ["message.data[0].value"]}),
    "nodetails": (400, "INVALID_ARGUMENT", None, {}),
    "mismatch": (403, "PERMISSION_DENIED", "SENDER_ID_MISMATCH", {}),
    "apnsauth": (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", {APNS_ERROR: (403, "InvalidProviderToken")}),
    "apnsenv": (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", {APNS_ERROR: (403, "BadEnvironmentKeyInToken")}),
    "apnsold": (401, "UNAUTHENTICATED", "APNS_AUTH_ERROR", {APNS_ERROR: (403, "InvalidProviderToken")}),
    "webauth": (401, "UNAUTHENTICATED", "THIRD_PARTY_AUTH_ERROR", {}),
    "quota": (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", {QUOTA_FAILURE: ["device"]}),
    "quotanowait": (429, "RESOURCE_EXHAUSTED", "QUOTA_EXCEEDED", {QUOTA_FAILURE: ["device"]}),
    "unavailable": (503, "UNAVAILABLE", "UNAVAILABLE", {}),
    "internal": (500, "INTERNAL", "INTERNAL", {}),
    "unspecified": (500, "UNKNOWN", "UNSPECIFIED_ERROR", {}),
    "newword": (409, "ABORTED", "NEWLY_INVENTED", {}),
}
PAGES = {f"html{http}": http for http in (500, 502, 503, 504)}


def others(answer: requests.Response) -> dict[str, Any]:
    """What the details say beside FCM's own word."""
    readers: dict[str, Callable[[dict[str, Any]], Any]] = {
        APNS_ERROR: lambda detail: (detail["statusCode"], detail["reason"]),
        BAD_REQUEST: lambda detail: [violation["field"] for violation in detail["fieldViolations"]],
        QUOTA_FAILURE: lambda detail: [violation["subject"] for violation in detail["violations"]],
    }
    return {kind: readers[kind](detail) for kind, detail in details_of(answer).items() if kind != FCM_ERROR}


@pytest.mark.parametrize("state", VERDICTS)
def test_a_users_prefix_decides_what_fcm_says_of_the_device(sandbox: Sandbox, state: str) -> None:
    answer = sandbox.send({"token": sandbox.token_of(f"{state}-anna")})
    said = (answer.status_code, answer.json()["error"]["status"], fcm_code(answer), others(answer))
    assert said == VERDICTS[state]
    assert answer.headers.get("Retry-After") == ("30" if state == "quota" else None)
    book = sandbox.book()
    assert (book["refusals"], book["accepted_count"]) == ({fcm_code(answer) or said[1]: 1}, 0)


@pytest.mark.parametrize("state", PAGES)
def test_some_devices_get_a_page_of_html(sandbox: Sandbox, state: str) -> None:
    answer = sandbox.send({"token": sandbox.token_of(f"{state}-anna")})
    assert (answer.status_code, answer.headers["Content-Type"]) == (PAGES[state], "text/html; charset=utf-8")
    assert sandbox.book()["refusals"] == {f"HTML {PAGES[state]}": 1}


def test_every_state_that_the_page_lists_is_tried_here() -> None:
    assert STATES.keys() - {"ok", "hang", "garbage"} == VERDICTS.keys() | PAGES.keys()


def test_a_token_can_be_blamed_in_the_text_alone(sandbox: Sandbox) -> None:
    text = sandbox.send({"token": "notatoken-1"}).json()["error"]["message"]
    assert text == "The registration token is not a valid FCM registration token"


def test_a_malformed_installation_id_is_blamed_by_its_own_name(sandbox: Sandbox) -> None:
    assert others(sandbox.send({"fid": "malformed-1"})) == {BAD_REQUEST: ["message.fid"]}


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


@pytest.mark.parametrize("state", ["apns410", "dead410", "apnsauth"])
def test_a_dry_run_does_not_ask_apple(sandbox: Sandbox, state: str) -> None:
    assert sandbox.send({"token": f"{state}-1"}, validateOnly=True).status_code == 200


def test_what_is_taken_may_be_answered_with_garbage(sandbox: Sandbox) -> None:
    answers = [sandbox.send({"token": "garbage-1"}) for _ in range(4)]
    assert {answer.status_code for answer in answers} == {200}
    assert not [answer.text for answer in answers if "projects/" in answer.text]
    assert sandbox.book()["accepted_count"] == 4


# --- Which fault is named first ------------------------------------------------------------------


def told(answer: requests.Response) -> str:
    """The status, and the field that is blamed or else FCM's own word: `400 message.token`."""
    if "html" in answer.headers["Content-Type"]:
        return f"{answer.status_code} a page"
    field = BAD_REQUEST in details_of(answer) and violated(answer)[0]
    return f"{answer.status_code} {field or fcm_code(answer) or 'bare'}"


def test_of_several_faults_the_first_is_named(tmp_path: Path) -> None:
    """Each line mends what the line before was refused for, and leaves what comes later."""
    wrong = {"ttl": "-1s"}
    large, reserved = {"key": "x" * 5000}, {"from": "x" * 5000}

    with running(tmp_path, "--device-quota", "1", "--fault", "fcm=down") as world:

        def post(project: str, bearer: str, message: Any) -> str:
            path, headers = f"/v1/projects/{project}/messages:send", {"Authorization": f"Bearer {bearer}"}
            return told(world.post(path, {"message": message}, headers=headers))

        def send(**message: Any) -> str:
            return post("sandbox-project", world.bearer, message)

        assert send(token="dead-used") == "404 UNREGISTERED"
        assert [
            told(requests.put(f"{world.url}/v1/projects/other/messages:send", timeout=30)),
            post("other", "made-up", {"colour": "red"}),
            post("sandbox-project", "made-up", {"colour": "red"}),
            send(colour="red", android=wrong, android_v2={}, data=reserved),
            send(android=wrong, android_v2={}, data=reserved),
            send(token="bad", android=wrong, android_v2={}, data=reserved),
            send(token="bad", android=wrong, data=reserved),
            send(token="dead-used", android=wrong, data=reserved),
            send(token="dead-used", android=wrong, data=large),
            send(token="dead-used", data=large),
            send(token="dead-used"),
            send(token="dead-fresh"),
            send(token="ok-1"),
        ] == [
            "404 a page",
            "404 bare",
            "401 bare",
            "400 message",
            "400 message",
            "400 message.android_v2",
            "400 message.token",
            "400 message.data",
            "400 message.android.ttl",
            "400 message",
            "429 QUOTA_EXCEEDED",
            "404 UNREGISTERED",
            "503 UNAVAILABLE",
        ]
        world.script("fcm", "none")
        assert send(token="ok-2") == "200 bare"


# --- The legacy API ------------------------------------------------------------------------------


@pytest.mark.parametrize("state", VERDICTS | PAGES)
def test_the_legacy_api_refuses_the_same_devices(sandbox: Sandbox, state: str) -> None:
    headers = {"Authorization": f"key={SERVER_KEY}"}
    answer = sandbox.post("/fcm/send", {"to": f"{state}-1"}, headers=headers)
    assert (answer.status_code, answer.json()["failure"]) == (200, 1)
    assert answer.headers.get("Retry-After") == ("30" if state == "quota" else None)
    assert sandbox.book()["accepted_count"] == 0
