"""How the sandbox writes its HTTP answers: compact JSON, the neighbours' envelopes, HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}
_TROUBLES = {
    404: ("Not Found", "The requested URL was not found on this server."),
    500: ("Server Error", "The server encountered an error and could not complete your request."),
    502: ("Server Error", "The server encountered a temporary error and could not complete your request."),
    503: ("Service Unavailable", "The service you requested is not available at this time."),
    504: ("Gateway Timeout", "The server did not answer in time."),
}
_GARBAGE = (b"<!DOCTYPE html><title>Sign in</title>", b'{"data": {"pu', b'{"uptime": 86400}', b"[1, 2, null]")


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, headers={**JSON, **headers} if headers else JSON)


def html_answer(text: str, status: int = 200) -> web.Response:
    return web.Response(body=text.encode(), status=status, headers=HTML)


def error_page(status: int) -> web.Response:
    """The page that stands for an error where something in front of a service answers in its place."""
    title, text = _TROUBLES[status]
    page = (
        f"<!DOCTYPE html><html lang=en><title>Error {status} ({title})!!1</title>"
        f"<p><b>{status}.</b> <ins>That's an error.</ins><p>{text} <ins>That's all we know.</ins></html>"
    )
    return html_answer(page, status)


def garbage(turn: int) -> web.Response:
    """A 200 that is no answer, by turns: a page, half a JSON object, JSON about something else, a list."""
    return web.Response(body=_GARBAGE[turn % len(_GARBAGE)], content_type="application/json")


def good(data: Any, status: int = 200, message: str = "ok") -> web.Response:
    """The task's envelope around an answer of a neighbour."""
    envelope = {"success": True, "data": data, "error": None, "message": message, "meta": None}
    return json_answer(envelope, status)


def bad(status: int, error: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """The task's envelope around a refusal of a neighbour."""
    envelope = {"success": False, "data": None, "error": error, "message": error, "meta": None}
    return json_answer(envelope, status, headers)


def detail(status: int, error: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """A refusal as FastAPI writes it; a wrong body has a list of what is wrong."""
    return json_answer({"detail": [{"msg": error, "loc": ["body"]}] if status == 422 else error}, status, headers)
