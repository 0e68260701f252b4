"""Google's OAuth token endpoint: a throw-away service account, assertions, access tokens."""

from __future__ import annotations

import base64
import binascii
import os
import secrets
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from sandbox.answers import json_answer
from sandbox.book import Book
from sandbox.google_errors import (
    credentials_expired,
    credentials_missing,
    credentials_unknown,
    scope_missing,
)

PROJECT = "sandbox-project"
GOOGLES_OWN = "https://oauth2.googleapis.com/token"  # google-auth signs for it whatever token_uri says
LIFETIME = 3599  # seconds
_SKEW = 300  # seconds that a caller's clock may be ahead
_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_SCOPES = "https://www.googleapis.com/auth/"
_SUFFICIENT = {f"{_SCOPES}firebase.messaging", f"{_SCOPES}cloud-platform"}


class DeniedError(Exception):
    """The token endpoint says no: OAuth's error code and its description."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error = error
        self.status = status

    def answer(self, retry_after: int | None = None) -> web.Response:
        body = {"error": self.error, "error_description": str(self)}
        wait = None if retry_after is None else {"Retry-After": str(retry_after)}
        return json_answer(body, self.status, wait)


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """Who may ask for tokens."""

    email: str
    key_id: str
    public_key: rsa.RSAPublicKey

    def verify(self, signed: bytes, header: dict[str, Any], signature: bytes) -> None:
        """Raises InvalidSignature unless this account's key made it, as RS256."""
        if header.get("alg") != "RS256" or header.get("kid", self.key_id) != self.key_id:
            raise InvalidSignature
        self.public_key.verify(signature, signed, padding.PKCS1v15(), hashes.SHA256())


def open_service_account(path: Path, token_uri: str, *, anew: bool = False) -> ServiceAccount:
    """The account of a key file (mode 600), made when missing or `anew`; `token_uri` is kept current."""
    known = None if anew else _read(path)
    content = {**(known or _new_key_file()), "token_uri": token_uri}
    if content != known:
        _write_private(path, orjson.dumps(content, option=orjson.OPT_INDENT_2) + b"\n")
    private = serialization.load_pem_private_key(content["private_key"].encode(), password=None)
    public = cast("rsa.RSAPublicKey", private.public_key())
    return ServiceAccount(content["client_email"], content["private_key_id"], public)


class AccessTokens:
    """Tokens given out by this process; a restart forgets them, and FCM then answers 401."""

    def __init__(self, account: ServiceAccount, token_uri: str, book: Book) -> None:
        self._account = account
        self._audiences = {GOOGLES_OWN, token_uri}
        self._book = book
        self._issued: dict[str, tuple[float, bool]] = {}

    async def endpoint(self, request: web.Request) -> web.Response:
        """POST /token."""
        here = f"http://{request.host}/token"
        form = dict(parse_qsl((await request.read()).decode("ascii", "replace")))
        try:
            scopes = self._verified_scopes(form, {*self._audiences, here})
        except DeniedError as denied:
            self._book.refused(f"token: {denied.error}")
            return denied.answer()
        self._book.counted("tokens")
        answer = {
            "access_token": self._issue(scopes),
            "expires_in": LIFETIME,
            "token_type": "Bearer",
        }
        return json_answer(answer, headers={"Cache-Control": "no-store"})

    def check(self, authorization: str | None) -> None:
        """Raises RefusedError unless the header has a living token whose scope covers sending."""
        kind, _, token = (authorization or "").partition(" ")
        if kind.lower() != "bearer" or not token:
            raise credentials_missing()
        expires, sufficient = self._issued.get(token.strip(), (None, False))
        if expires is None:
            raise credentials_unknown()
        if expires <= time.monotonic():
            raise credentials_expired()
        if not sufficient:
            raise scope_missing()

    def rotate(self, account: ServiceAccount) -> int:
        """From now on only this account's key is good; the tokens that were got with the earlier one are taken back."""
        self._account = account
        return self.revoke_all()

    def revoke_all(self) -> int:
        revoked = len(self._issued)
        self._issued.clear()
        return revoked

    def _issue(self, scopes: set[str]) -> str:
        now = time.monotonic()
        remembered = {t: v for t, v in self._issued.items() if v[0] > now - LIFETIME}
        token = f"ya29.c.{secrets.token_urlsafe(96)}"
        self._issued = {**remembered, token: (now + LIFETIME, bool(scopes & _SUFFICIENT))}
        return token

    def _verified_scopes(self, form: dict[str, str], audiences: set[str]) -> set[str]:
        if form.get("grant_type") != _GRANT:
            grant = form.get("grant_type", "")
            raise DeniedError("unsupported_grant_type", f"Invalid grant_type: {grant}")
        if not form.get("assertion"):
            raise DeniedError("invalid_request", "Missing required parameter: assertion")
        claims = self._verified_claims(form["assertion"])
        _check_times(claims)
        if claims.get("aud") not in audiences:
            text = f"Failed audience check. The right audience is {GOOGLES_OWN}"
            raise DeniedError("invalid_grant", text)
        scopes = set(str(claims.get("scope") or "").split())
        if not scopes or not all(scope.startswith(_SCOPES) for scope in scopes):
            raise DeniedError("invalid_scope", "Invalid OAuth scope or ID token audience provided.")
        return scopes

    def _verified_claims(self, assertion: str) -> dict[str, Any]:
        signed, _, signature = assertion.rpartition(".")
        try:
            header, claims = (dict(orjson.loads(_decoded(part))) for part in signed.split("."))
            self._account.verify(signed.encode(), header, _decoded(signature))
        except InvalidSignature:
            raise DeniedError("invalid_grant", "Invalid JWT Signature.") from None
        except (ValueError, TypeError):
            raise DeniedError("invalid_grant", "Invalid JWT: it cannot be read.") from None
        if claims.get("iss") != self._account.email:
            raise DeniedError("invalid_grant", "Invalid grant: account not found")
        return claims


def refuse(status: int, retry_after: int | None) -> web.Response:
    """A scripted fault in the token endpoint's own words."""
    words = {
        400: "invalid_grant",
        401: "invalid_client",
        403: "access_denied",
        404: "not_found",
        429: "rate_limit_exceeded",
        500: "internal_failure",
        503: "temporarily_unavailable",
        504: "temporarily_unavailable",
    }
    return DeniedError(words[status], "Scripted by /control.", status).answer(retry_after)


def _check_times(claims: dict[str, Any]) -> None:
    now, iat, exp = time.time(), claims.get("iat"), claims.get("exp")
    short = (
        isinstance(iat, int | float) and isinstance(exp, int | float) and iat <= now + _SKEW and now < exp <= iat + 3600
    )
    if not short:
        raise DeniedError(
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable "
            "timeframe. Check your iat and exp values in the JWT claim.",
        )


def _decoded(part: str) -> bytes:
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except binascii.Error as wrong:
        raise ValueError(str(wrong)) from None


def _read(path: Path) -> dict[str, Any] | None:
    try:
        return dict(orjson.loads(path.read_bytes()))
    except (FileNotFoundError, ValueError):
        return None


def _new_key_file() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": secrets.token_hex(20),
        "private_key": pem.decode(),
        "client_email": f"push@{PROJECT}.iam.gserviceaccount.com",
        "client_id": str(secrets.randbelow(10**21)).zfill(21),
    }


def _write_private(path: Path, content: bytes) -> None:
    """Whole or not at all, and never readable by others, not even for a moment."""
    draft = path.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
