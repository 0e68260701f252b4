"""Starts a sandbox as a process and speaks to it: for every test that needs the stand-in world."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google.auth.crypt
import google.auth.jwt
import google.auth.transport.requests
import requests
from google.oauth2 import service_account

ROOT = Path(__file__).resolve().parents[1]
MESSAGING = "https://www.googleapis.com/auth/firebase.messaging"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"
QUOTA_FAILURE = "type.googleapis.com/google.rpc.QuotaFailure"
ERROR_INFO = "type.googleapis.com/google.rpc.ErrorInfo"
APNS_ERROR = "type.googleapis.com/google.firebase.fcm.v1.ApnsError"


class Sandbox:
    """A running sandbox and the ways to speak to it."""

    def __init__(self, process: subprocess.Popen[str], url: str, directory: Path) -> None:
        self.process = process
        self.url = url
        self.directory = directory
        self._bearer: str | None = None

    @property
    def key_file(self) -> Path:
        return self.directory / "service-account.json"

    @property
    def bearer(self) -> str:
        if self._bearer is None:
            self._bearer = self.fetch_token()
        return self._bearer

    def fetch_token(self, scope: str = MESSAGING) -> str:
        account = service_account.Credentials.from_service_account_file(str(self.key_file), scopes=[scope])
        with requests.Session() as session:
            account.refresh(google.auth.transport.requests.Request(session=session))
        return str(account.token)

    def get(self, path: str, **more: Any) -> requests.Response:
        return requests.get(self.url + path, timeout=30, **more)

    def post(self, path: str, content: Any = None, **more: Any) -> requests.Response:
        return requests.post(self.url + path, json=content, timeout=30, **more)

    def send(self, message: Any, bearer: str | None = None, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {bearer or self.bearer}"}
        path = "/v1/projects/sandbox-project/messages:send"
        return self.post(path, {"message": message, **more}, headers=headers)

    def script(self, service: str, fault: str, **more: Any) -> None:
        order = {"service": service, "fault": fault, **more}
        assert self.post("/control", order).status_code == 200

    def token_of(self, user: str) -> str:
        return str(self.get(f"/api/v1/users/{user}").json()["data"]["push_token"])

    def book(self) -> dict[str, Any]:
        return dict(self.get("/book").json())

    def clear(self) -> None:
        self.post("/book/clear")
        self.script("all", "none")


@contextmanager
def running(directory: Path, *options: str, command: tuple[str, ...] = ()) -> Iterator[Sandbox]:
    command = command or (sys.executable, "-m", "sandbox")
    process = subprocess.Popen(
        [*command, "--port", "0", "--dir", str(directory), *options],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("sandbox on http://127.0.0.1:"), line
            yield Sandbox(process, line.split()[-1], directory)
        finally:
            process.kill()


def eventually(true: Callable[[], Any], seconds: float = 20) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := true()):
        assert time.monotonic() < deadline, "it did not become true"
        time.sleep(0.02)
    return value


def assertion(sandbox: Sandbox, key: str | None = None, **claims: Any) -> str:
    info = json.loads(sandbox.key_file.read_text())
    signer = google.auth.crypt.RSASigner.from_string(key or info["private_key"], info["private_key_id"])
    now = int(time.time())
    usual = {
        "iss": info["client_email"],
        "aud": "https://oauth2.googleapis.com/token",
        "iat": now,
        "exp": now + 3600,
        "scope": MESSAGING,
    }
    return google.auth.jwt.encode(signer, {**usual, **claims}).decode()


def ask_for_token(sandbox: Sandbox, signed: str, grant: str = GRANT) -> requests.Response:
    form = {"grant_type": grant, "assertion": signed}
    return requests.post(f"{sandbox.url}/token", data=form, timeout=30)


def details_of(answer: requests.Response) -> dict[str, dict[str, Any]]:
    return {detail["@type"]: detail for detail in answer.json().get("error", {}).get("details", [])}


def fcm_code(answer: requests.Response) -> str | None:
    return details_of(answer).get(FCM_ERROR, {}).get("errorCode")


def violated(answer: requests.Response) -> list[str]:
    return [v.get("field", "") for v in details_of(answer)[BAD_REQUEST]["fieldViolations"]]


REPORT = {"notification_id": "n-1", "status": "delivered", "timestamp": "2026-11-22T10:00:00Z"}


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
