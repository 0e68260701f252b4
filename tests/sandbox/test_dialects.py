"""The other dialects of the sandbox's services, from outside: each is as strict as its own world."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.sandbox_process import REPORT, Sandbox, running


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
