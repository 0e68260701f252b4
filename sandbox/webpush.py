"""A push service of browsers (RFC 8030, 8291, 8292), and the browsers themselves: what they cannot read is refused."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from typing import Any

import orjson
from aiohttp import web
from cryptography.exceptions import InvalidSignature
from py_vapid import jwt

from sandbox.answers import json_answer
from sandbox.book import Book
from sandbox.options import Options
from sandbox.subscriptions import decrypted, device_token, subscription

MAX_BODY = 4096
LONGEST_SIGNATURE = 24 * 3600

_CREDENTIALS = re.compile(
    r"vapid\s+(?:t=(?P<t>[\w.-]+)\s*,\s*k=(?P<k>[\w-]+)|k=(?P<k2>[\w-]+)\s*,\s*t=(?P<t2>[\w.-]+))"
)
#: What is asked of each header: a whole match, and what it is where there is none.
_HEADERS = (
    ("TTL", r"\d{1,10}", None),
    ("Topic", r"[A-Za-z0-9_-]{1,32}", "none"),
    ("Urgency", "very-low|low|normal|high", "normal"),
    ("Content-Encoding", "aes128gcm", None),
)
_ANOTHER_KEY = (
    "the VAPID credentials in the authorization header do not correspond to the credentials used to create the "
    "subscriptions."
)
#: What is said where an id begins with a state; any other browser takes its push.
STATES = {
    "dead": (410, "push subscription has unsubscribed or expired."),
    "apns410": (410, "Unregistered"),
    "malformed": (404, "No such subscription"),
    "mismatch": (403, _ANOTHER_KEY),
    "apnsauth": (403, '{"reason":"BadJwtToken"}'),
    "quota": (429, "Too many messages for this subscription"),
    "unavailable": (503, "Service Unavailable"),
}


class Refusal(Exception):
    """An HTTP status, and why."""

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status


class Webpush:
    """Takes or refuses messages for browsers, and writes down which."""

    def __init__(self, options: Options, book: Book) -> None:
        self._options = options
        self._book = book

    async def subscription(self, request: web.Request) -> web.Response:
        """GET /push/{id}/subscription: what the page of that browser would send to its server."""
        return json_answer(subscription(request.match_info["id"], _base(request)))

    async def send(self, request: web.Request) -> web.Response:
        """POST /push/{id}. What is accepted is booked at once; the answer takes its time."""
        id, body = request.match_info["id"], await request.read()
        try:
            _check(request, body)
            if refusal := STATES.get(id.partition("-")[0]):
                raise Refusal(*refusal)
            name = self._accept(request, id, _message(id, body))
        except Refusal as refused:
            self._book.refused(f"webpush: {refused.status}", {"token": device_token(id, _base(request)), "tag": None})
            wait = self._options.retry_after if refused.status == 429 else None
            return refuse(refused.status, wait, str(refused))
        await asyncio.sleep(self._options.hang if id.startswith("hang-") else self._options.fcm_latency)
        return web.Response(status=201, headers={"Location": f"{_base(request)}{name}", "TTL": request.headers["TTL"]})

    def _accept(self, request: web.Request, id: str, message: dict[str, Any]) -> str:
        name = f"/push-message/{secrets.token_urlsafe(12)}"
        shown = message.get("notification", {})
        entry = {
            "name": f"{_base(request)}{name}",
            "target": "subscription",
            "token": device_token(id, _base(request)),
            "browser": id,
            "tag": shown.get("tag") or request.headers.get("Topic"),
            "title": shown.get("title"),
            "body": shown.get("body"),
            "image": shown.get("image"),
            "link": shown.get("link") or shown.get("click_action"),
            "priority": request.headers.get("Urgency"),
            "ttl": int(request.headers["TTL"]),
            "topic": request.headers.get("Topic"),
            "data": message.get("data", {}),
        }
        self._book.accepted(entry)
        return name


def refuse(status: int, retry_after: int | None, why: str = "Scripted by /control.") -> web.Response:
    """In the words of a push service: Apple's are JSON, the others' mostly not."""
    wait = None if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(text=why, status=status, headers=wait)


def _check(request: web.Request, body: bytes) -> None:
    """What a push service looks at before it looks for the browser."""
    for name, pattern, usual in _HEADERS:
        value = request.headers.get(name, usual)
        if value is None or not re.fullmatch(pattern, value):
            raise Refusal(400, f"{name} is missing or wrong")
    if len(body) > MAX_BODY:
        raise Refusal(413, f"The body has {len(body)} bytes")
    if not body:
        raise Refusal(400, "There is no body")
    _check_signature(request.headers.get("Authorization"), _base(request))


def _check_signature(authorization: str | None, origin: str) -> None:
    if authorization is None:
        raise Refusal(401, "missing Authorization Header")
    found = _CREDENTIALS.fullmatch(authorization)
    if found is None:
        raise Refusal(403, "no VAPID credentials")
    token, key = found["t"] or found["t2"], found["k"] or found["k2"]
    try:
        claims = jwt.decode(token, key)
    except (InvalidSignature, ValueError):
        raise Refusal(403, "InvalidSignature") from None
    now = time.time()
    if claims.get("aud") != origin:
        raise Refusal(403, "aud is another push service")
    if not isinstance(claims.get("exp"), int) or not now < claims["exp"] <= now + LONGEST_SIGNATURE:
        raise Refusal(403, "exp has passed, or is more than 24 h away")
    if not str(claims.get("sub", "")).startswith(("mailto:", "https:")):
        raise Refusal(403, '{"reason":"BadJwtToken"}')


def _message(id: str, body: bytes) -> dict[str, Any]:
    try:
        message = decrypted(id, body)
    except (ValueError, orjson.JSONDecodeError) as wrong:
        raise Refusal(400, str(wrong)) from None
    if not isinstance(message, dict):
        raise Refusal(400, "the service worker finds no JSON object")
    return message


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}"
