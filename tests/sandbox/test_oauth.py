"""The sandbox's Google, from outside: who gets an access token, and who may send with one."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.sandbox_process import (
    ERROR_INFO,
    MESSAGING,
    Sandbox,
    ask_for_token,
    assertion,
    details_of,
)

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
