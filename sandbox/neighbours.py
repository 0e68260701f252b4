"""The services around ours: users, templates and the gateway, strict about the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from datetime import datetime
from typing import Any

import orjson
from aiohttp import web

from sandbox.answers import bad, good
from sandbox.book import Book
from sandbox.devices import STATES, token_for
from sandbox.options import Options
from sandbox.templates import render

Device = tuple[str, str]
"""(state of its token, platform)."""

USERS = {
    "optout-": "has switched push off (preferences.push is false)",
    "nodevice-": "has no device (push_tokens is empty)",
    "unknown-": "404: there is no such user",
    "multi-": "has three devices: Android, iOS and web (push_tokens)",
    "mixed-": "has three devices, the second with a dead token",
    "baduser-": "500: the lookup breaks",
    "slowuser-": "answers late, after --slow seconds (10)",
}
TEMPLATES = {
    "unknown-": "404: there is no such template",
    "badtemplate-": "500: the rendering breaks",
}
STATUSES = ("pending", "delivered", "failed")
_REPORT_KEYS = {"notification_id", "status", "timestamp", "error"}
_DEAD_TOKEN_KEYS = {"user_id", "token", "platform", "reason", "died_at"}
_SEVERAL: dict[str, tuple[Device, ...]] = {
    "nodevice-": (),
    "multi-": (("ok", "android"), ("ok", "ios"), ("ok", "web")),
    "mixed-": (("ok", "android"), ("dead", "ios"), ("ok", "web")),
}


class Neighbours:
    """The three services; each call is counted, what we are told is written down whole."""

    def __init__(self, options: Options, book: Book) -> None:
        self._options = options
        self._book = book

    async def user(self, request: web.Request) -> web.Response:
        """GET /api/v1/users/{user_id}."""
        self._count(request, "lookups")
        user = request.match_info["user_id"]
        if user.startswith("slowuser-"):
            await asyncio.sleep(self._options.slow)
        if user.startswith("baduser-"):
            return bad(500, "internal server error")
        if user.startswith("unknown-"):
            return bad(404, "user not found")
        return good(_profile(user))

    async def dead_token(self, request: web.Request) -> web.Response:
        """POST /api/v1/users/{user_id}/push-tokens/dead; anything but the five agreed keys is refused."""
        self._note_correlation(request)
        user = request.match_info["user_id"]
        if user.startswith("unknown-"):
            return bad(404, "user not found")
        try:
            body = _dead_token(await request.read(), user)
        except ValueError as wrong:
            self._book.counted("refused_dead_tokens")
            return bad(400, str(wrong))
        self._book.buried(request.headers.get("X-Correlation-ID"), body)
        return good(None, 200, "token forgotten")

    async def render(self, request: web.Request) -> web.Response:
        """POST /api/v1/templates/render."""
        self._count(request, "renders")
        try:
            template, variables = _render_order(await request.read())
        except ValueError as wrong:
            return bad(422, str(wrong))
        if template.startswith("badtemplate-"):
            return bad(500, "internal server error")
        if template.startswith("unknown-"):
            return bad(404, "template not found")
        return good(render(template, variables))

    async def report(self, request: web.Request) -> web.Response:
        """POST /api/v1/push/status/; anything but the four agreed keys is refused."""
        try:
            body = _report(await request.read())
        except ValueError as wrong:
            self._count(request, "refused_reports")
            return bad(400, str(wrong))
        self._note_correlation(request)
        self._book.reported(request.headers.get("X-Correlation-ID"), body)
        return good(None, 201, "status recorded")

    def _count(self, request: web.Request, what: str) -> None:
        self._book.counted(what)
        self._note_correlation(request)

    def _note_correlation(self, request: web.Request) -> None:
        if not request.headers.get("X-Correlation-ID"):
            self._book.counted("without_correlation_id")


def refuse(status: int, retry_after: int | None) -> web.Response:
    """A scripted fault in a neighbour's words."""
    words = {400: "bad request", 429: "too many requests", 503: "service unavailable"}
    wait = None if retry_after is None else {"Retry-After": str(retry_after)}
    return bad(status, words[status], wait)


def _profile(user: str) -> dict[str, Any]:
    push = not user.startswith("optout-")
    profile = {"id": user, "preferences": {"email": True, "push": push}}
    prefix = user.partition("-")[0]
    several = _SEVERAL.get(f"{prefix}-") if "-" in user else None
    if several is None:
        state = prefix if "-" in user and prefix in STATES else "ok"
        return {**profile, "push_token": token_for(user, "android", state)}
    return {**profile, "push_tokens": list(_tokens(user, several))}


def _tokens(user: str, devices: Iterable[Device]) -> Iterable[dict[str, Any]]:
    for state, platform in devices:
        token = token_for(user, platform, state)
        yield {"token": token, "platform": platform, "is_active": True}


def _render_order(raw: bytes) -> tuple[str, dict[str, Any]]:
    """(template id or code, variables); raises ValueError with what is wrong."""
    body = _object(raw)
    template: Any = body.get("template_id") or body.get("template_code")
    variables: Any = body.get("variables")
    _demand(isinstance(template, str), "template_id or template_code must be a string")
    _demand(isinstance(variables, dict | None), "variables must be an object")
    _demand(isinstance(body.get("language"), str | None), "language must be a string")
    return template, variables or {}


def _report(raw: bytes) -> dict[str, Any]:
    """The report as it came; raises ValueError with what is wrong."""
    body = _object(raw)
    extra, about = sorted(body.keys() - _REPORT_KEYS), body.get("notification_id")
    _demand(not extra, f"property {', '.join(extra)} should not exist")
    _demand(isinstance(about, str) and about != "", "notification_id must be a string, not empty")
    _demand(body.get("status") in STATUSES, f"status must be one of {', '.join(STATUSES)}")
    _demand(isinstance(body.get("error", ""), str), "error must be a string")
    _demand(_is_time(body.get("timestamp")), "timestamp must be ISO 8601 with a time zone")
    return body


def _dead_token(raw: bytes, user: str) -> dict[str, Any]:
    """What was told as it came; raises ValueError with what is wrong."""
    body = _object(raw)
    wrong = sorted(body.keys() ^ _DEAD_TOKEN_KEYS)
    _demand(not wrong, f"missing, or should not exist: {', '.join(wrong)}")
    _demand(all(isinstance(value, str) for value in body.values()), "every property must be a string")
    _demand(all(body[name] for name in _DEAD_TOKEN_KEYS - {"platform"}), "only platform may be empty")
    _demand(body["user_id"] == user, "user_id is another than the address says")
    _demand(_is_time(body["died_at"]), "died_at must be ISO 8601 with a time zone")
    return body


def _is_time(value: Any) -> bool:
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def _object(raw: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as wrong:
        raise ValueError(f"not JSON: {wrong}") from None
    _demand(isinstance(body, dict), "a JSON object is needed")
    return dict(body)


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)
