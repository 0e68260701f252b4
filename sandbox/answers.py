"""How the sandbox writes its HTTP answers: compact JSON, the neighbours' envelopes, HTML."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
from aiohttp import web

JSON = {"Content-Type": "application/json; charset=utf-8"}
HTML = {"Content-Type": "text/html; charset=utf-8"}


def json_answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, headers={**JSON, **headers} if headers else JSON)


def html_answer(text: str, status: int = 200) -> web.Response:
    return web.Response(body=text.encode(), status=status, headers=HTML)


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
