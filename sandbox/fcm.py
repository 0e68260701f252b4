"""FCM's HTTP v1 `messages:send`: the checks in Google's order, then what the token's state says."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from typing import Any

import orjson
from aiohttp import web

from sandbox.answers import html_answer, json_answer
from sandbox.book import Book, Entry
from sandbox.devices import state_of
from sandbox.fcm_json import Violations
from sandbox.fcm_rules import TARGETS, TOPIC_BYTES, Message, check_content, check_one_target
from sandbox.fcm_schema import SEND_MESSAGE_REQUEST
from sandbox.google_errors import (
    RefusedError,
    apns_auth,
    apns_gone,
    credentials_expired,
    device_quota,
    invalid,
    malformed,
    mismatch,
    not_json,
    permission_denied,
    project_quota,
    unavailable,
    unparsable,
    unregistered,
    wrong_project,
)
from sandbox.oauth import PROJECT, AccessTokens
from sandbox.options import Options

_NOT_FOUND = (
    "<!DOCTYPE html><html lang=en><title>Error 404 (Not Found)!!1</title>"
    "<p><b>404.</b> <ins>That's an error.</ins>"
    "<p>The requested URL was not found on this server. <ins>That's all we know.</ins></html>"
)


class Fcm:
    """Accepts or refuses messages and writes down which."""

    def __init__(self, options: Options, tokens: AccessTokens, book: Book) -> None:
        self._options = options
        self._tokens = tokens
        self._book = book

    async def send(self, request: web.Request) -> web.Response:
        """POST /v1/projects/{project}/messages:send. What is accepted is booked at once; the answer takes its time."""
        answer = await self._answer(request)
        if self._options.fcm_latency:
            await asyncio.sleep(self._options.fcm_latency)
        return answer

    async def _answer(self, request: web.Request) -> web.Response:
        try:
            self._check_caller(request)
            message, dry_run = understood(await request.read(), TOPIC_BYTES[self._options.topic_limit])
            kind, target, state = self._check_target(message)
        except RefusedError as refusal:
            await self.note(request, refusal.code)
            return refusal.answer()
        if dry_run:
            self._book.counted("validated")
            return json_answer({"name": f"projects/{PROJECT}/messages/fake_message_id"})
        name = self._accept(message, kind, target)
        if state == "hang":
            await asyncio.sleep(self._options.hang)
        return json_answer({"name": name})

    async def note(self, request: web.Request, code: str) -> None:
        """Writes down a message that was refused: a sender's patience is judged by when it comes again."""
        self._book.refused(code, _whose(await request.read()))

    async def not_found(self, _: web.Request) -> web.Response:
        """Any other address or method: Google's front end answers with a page, not with JSON."""
        return html_answer(_NOT_FOUND, 404)

    def _check_caller(self, request: web.Request) -> None:
        if request.match_info["project"] != PROJECT:
            raise wrong_project()
        self._tokens.check(request.headers.get("Authorization"))

    def _check_target(self, message: Message) -> tuple[str, str, str]:
        kind = next(name for name in TARGETS if name in message)
        target = message[kind]
        state = state_of(target) if kind in ("token", "fid") else "ok"
        if refusal := _verdict(state, f"message.{kind}", self._options.retry_after):
            raise refusal
        return kind, target, state

    def _accept(self, message: Message, kind: str, target: str) -> str:
        name = f"projects/{PROJECT}/messages/{message_id()}"
        self._book.accepted({"name": name, "target": kind, "token": target, **_seen(message)})
        return name


def message_id() -> str:
    """FCM's id of a message that it accepted, as it looks for Android."""
    return f"0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"


def refuse(status: int, retry_after: int | None) -> web.Response:
    """A scripted fault in FCM's own words."""
    words: dict[int, Callable[[], RefusedError]] = {
        400: lambda: invalid("message", "Scripted by /control."),
        401: credentials_expired,
        403: permission_denied,
        404: wrong_project,
        429: lambda: project_quota(retry_after),
        503: unavailable,
    }
    return words[status]().answer()


def understood(body: bytes, topic_bytes: int = TOPIC_BYTES["observed"]) -> tuple[Message, bool]:
    """(the message with snake_case names, validate_only); raises RefusedError."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise not_json(str(fault)) from None
    if not isinstance(content, dict):
        raise not_json("Root element must be a message.")
    found = Violations()
    request = SEND_MESSAGE_REQUEST(content, "", found)
    if found:
        raise unparsable(found)
    message = request.get("message")
    check_one_target(message)
    check_content(message, topic_bytes)
    return message, request.get("validate_only", False)


def _whose(body: bytes) -> Entry:
    """The token and the tag of a message, nothing of one that cannot be understood."""
    try:
        message, _ = understood(body)
    except RefusedError:
        return {}
    return {"token": message.get("token"), "tag": _seen(message)["tag"]}


def _seen(message: Message) -> Entry:
    """What a device would show, and by which tag it would replace an earlier one."""
    android, v2 = message.get("android", {}), message.get("android_v2", {})
    apns, web_push = message.get("apns", {}), message.get("webpush", {})
    v2_shown = v2.get("remote_notification", {}).get("notification", {})
    own = {**v2_shown, **android.get("notification", {})}
    shown = {**web_push.get("notification", {}), **message.get("notification", {}), **own}
    tags = (
        own.get("tag"),
        android.get("collapse_key") or v2.get("collapse_key"),
        apns.get("headers", {}).get("apns-collapse-id"),
        web_push.get("notification", {}).get("tag"),
    )
    return {
        "tag": next((str(tag) for tag in tags if tag), None),
        "title": _text(shown.get("title")),
        "body": _text(shown.get("body")),
        "image": _text(shown.get("image") or apns.get("fcm_options", {}).get("image")),
        "link": _text(web_push.get("fcm_options", {}).get("link") or shown.get("click_action")),
        "priority": android.get("priority"),
        "data": android.get("data", message.get("data", {})),
    }


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _verdict(state: str, field: str, retry_after: int) -> RefusedError | None:
    """What FCM says of a device in this state; None when it takes the message."""
    verdicts: dict[str, Callable[[], RefusedError]] = {
        "malformed": lambda: malformed(field),
        "dead": unregistered,
        "mismatch": mismatch,
        "quota": lambda: device_quota(retry_after),
        "unavailable": unavailable,
        "apns410": apns_gone,
        "apnsauth": apns_auth,
    }
    return verdicts[state]() if state in verdicts else None
