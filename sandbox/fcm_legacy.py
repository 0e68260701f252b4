"""FCM's legacy `POST /fcm/send`, as it was while Google had it on. Devices only: no topics, no conditions."""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

from aiohttp import web

from sandbox.answers import html_answer, json_answer
from sandbox.book import Book, Entry
from sandbox.devices import state_of
from sandbox.fcm import message_id
from sandbox.fcm_legacy_rules import Message, UnreadableError, faulty_content, understood
from sandbox.options import Options

SERVER_KEY = "AAAASandbox:APA91bTheServerKeyOfTheSandboxWhichIsNoSecret"
_UNAUTHORIZED = (
    "<HTML><HEAD><TITLE>Unauthorized</TITLE></HEAD><BODY><H1>Unauthorized</H1><H2>Error 401</H2></BODY></HTML>"
)

#: What FCM says of a token in a state; it takes a message to any other.
WORDS = {
    **dict.fromkeys(("dead", "dead410", "apns410"), "NotRegistered"),
    **dict.fromkeys(("malformed", "notatoken"), "InvalidRegistration"),
    **dict.fromkeys(("badrequest", "nodetails"), "InvalidParameters"),
    **dict.fromkeys(("quota", "quotanowait"), "DeviceMessageRateExceeded"),
    **dict.fromkeys(("apnsauth", "apnsenv", "apnsold", "webauth"), "InvalidApnsCredential"),
    **dict.fromkeys(("unavailable", "html502", "html503", "html504"), "Unavailable"),
    **dict.fromkeys(("internal", "unspecified", "html500"), "InternalServerError"),
    "baddata": "InvalidDataKey",
    "mismatch": "MismatchSenderId",
}


class FcmLegacy:
    """Accepts or refuses messages, each for one device or for several, and writes down which."""

    def __init__(self, options: Options, book: Book) -> None:
        self._options = options
        self._book = book

    async def send(self, request: web.Request) -> web.Response:
        """POST /fcm/send. What is accepted is booked at once; the answer takes its time."""
        answer, hangs = self._answer(request.headers.get("Authorization"), await request.read())
        await asyncio.sleep(self._options.hang if hangs else self._options.fcm_latency)
        return answer

    def _answer(self, authorization: str | None, body: bytes) -> tuple[web.Response, bool]:
        """The answer, and whether it is one that hangs."""
        if authorization != f"key={SERVER_KEY}":
            self._book.refused("legacy: unauthorized")
            return html_answer(_UNAUTHORIZED, 401), False
        try:
            message, tokens = understood(body)
        except UnreadableError as wrong:
            self._book.refused("legacy: unreadable")
            return _text(400, str(wrong)), False
        results = [self._result(message, token) for token in tokens]
        accepted = {token for token, result in zip(tokens, results, strict=True) if "error" not in result}
        failed = [result["error"] for result in results if "error" in result]
        content = {
            "multicast_id": secrets.randbits(62),
            "success": len(results) - len(failed),
            "failure": len(failed),
            "canonical_ids": 0,
            "results": results,
        }
        says_when = WORDS["quota"] in failed and "quota" in map(state_of, tokens)
        wait = {"Retry-After": str(self._options.retry_after)} if says_when else None
        return json_answer(content, headers=wait), any(state_of(token) == "hang" for token in accepted)

    def _result(self, message: Message, token: str) -> dict[str, str]:
        if word := faulty_content(message) or WORDS.get(state_of(token)):
            self._book.refused(word)
            return {"error": word}
        if message.get("dry_run"):
            self._book.counted("validated")
            return {"message_id": "fake_message_id"}
        name = message_id()
        self._book.accepted({"name": name, "target": "token", "token": token, **_seen(message)})
        return {"message_id": name}


def refuse(status: int, retry_after: int | None) -> web.Response:
    """A scripted fault in the words of the legacy API."""
    words = {
        400: "INVALID_PARAMETERS: Scripted by /control.",
        401: "Unauthorized",
        403: "Forbidden",
        404: "Not Found",
        429: "Quota exceeded",
        500: "Internal Server Error",
        503: "Service Unavailable",
        504: "Gateway Timeout",
    }
    return _text(status, words[status], retry_after)


def _seen(message: Message) -> Entry:
    """What a device would show, and by which tag it would replace an earlier one."""
    shown: dict[str, Any] = message.get("notification", {})
    return {
        "tag": shown.get("tag") or message.get("collapse_key"),
        "title": shown.get("title"),
        "body": shown.get("body"),
        "image": shown.get("image"),
        "link": shown.get("click_action"),
        "priority": message.get("priority"),
        "data": message.get("data", {}),
    }


def _text(status: int, words: str, retry_after: int | None = None) -> web.Response:
    wait = None if retry_after is None else {"Retry-After": str(retry_after)}
    return web.Response(text=words, status=status, headers=wait)
