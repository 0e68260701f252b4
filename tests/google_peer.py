"""Google as a few canned answers on a real socket: a token endpoint, and sends that a test scripts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.peer import Behaviour, Seen, Wire, always

FCM = "type.googleapis.com/google.firebase.fcm.v1."
RPC = "type.googleapis.com/google.rpc."
NAME = "projects/demo/messages/0:1500415314455276%31bd1c9631bd1c96"


class Google:
    """Gives out the tokens `access-1`, `access-2`, … and leaves every other request to `sends`."""

    def __init__(self, sends: Behaviour | None = None) -> None:
        self.sends = sends or always(200, {"name": NAME})
        self.lifetime: Any = 3599
        self.token_fault: Behaviour | None = None
        self.token_requests = 0
        self._numbers = iter(range(1, 1_000_000))

    async def __call__(self, seen: Seen, wire: Wire) -> None:
        if seen.path != "/token":
            await self.sends(seen, wire)
            return
        self.token_requests += 1
        if self.token_fault is not None:
            await self.token_fault(seen, wire)
            return
        grant = {"access_token": f"access-{next(self._numbers)}", "expires_in": self.lifetime}
        await wire.answer(200, {**grant, "token_type": "Bearer"})


@cache
def private_key() -> str:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, *form).decode()


def key_file(directory: Path, url: str, **changes: Any) -> str:
    """The path of a service-account file whose tokens come from `url`; None leaves a field out."""
    info = {
        "type": "service_account",
        "project_id": "demo",
        "private_key_id": "key-1",
        "private_key": private_key(),
        "client_email": "push@demo.iam.gserviceaccount.com",
        "token_uri": f"{url}/token",
        **changes,
    }
    path = directory / "service-account.json"
    path.write_text(json.dumps({key: value for key, value in info.items() if value is not None}))
    return str(path)


def error(http: int, status: str, *details: dict[str, Any], text: str = "some words") -> dict[str, Any]:
    """An error body of Google's."""
    body: dict[str, Any] = {"code": http, "message": text, "status": status}
    return {"error": {**body, "details": list(details)} if details else body}


def fcm_error(code: str) -> dict[str, Any]:
    return {"@type": FCM + "FcmError", "errorCode": code}


def apns_error(status: int, reason: str) -> dict[str, Any]:
    return {"@type": FCM + "ApnsError", "statusCode": status, "reason": reason}


def bad_request(*fields: str) -> dict[str, Any]:
    violations = [{"field": field, "description": f"Invalid value at '{field}', s3cret"} for field in fields]
    return {"@type": RPC + "BadRequest", "fieldViolations": violations}


def error_info(reason: str) -> dict[str, Any]:
    return {"@type": RPC + "ErrorInfo", "reason": reason, "domain": "googleapis.com"}


def one_after_another(*behaviours: Behaviour) -> Behaviour:
    """Each behaviour for one request; the last stays."""
    rest: Iterator[Behaviour] = iter(behaviours)
    now = [next(rest)]

    async def behave(seen: Seen, wire: Wire) -> None:
        current, now[0] = now[0], next(rest, now[0])
        await current(seen, wire)

    return behave
