"""What is demanded of the body of a request, in the order in which a service would look."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from aiohttp import web


class Refused(Exception):
    """A request that its service refuses; `counted` says what else the book should count it as."""

    def __init__(self, status: int, text: str, *counted: str) -> None:
        super().__init__(text)
        self.status = status
        self.counted = counted


async def json_object(request: web.Request, keys: Iterable[str], status: int) -> dict[str, Any]:
    """The body, which holds no other keys; raises Refused, with `status` where it is no object at all."""
    try:
        body = orjson.loads(await request.read())
    except orjson.JSONDecodeError as wrong:
        raise Refused(status, f"not JSON: {wrong}") from None
    demand(isinstance(body, dict), status, "a JSON object is needed")
    extra = sorted(body.keys() - set(keys))
    if extra:
        raise Refused(400, f"property {', '.join(extra)} should not exist", "extra_keys")
    return dict(body)


def demand(true: bool, status: int, otherwise: str) -> None:
    if not true:
        raise Refused(status, otherwise)


def is_time(value: Any) -> bool:
    """Whether it is ISO 8601 with a time zone."""
    try:
        return datetime.fromisoformat(value).tzinfo is not None
    except (TypeError, ValueError):
        return False


def is_uuid(value: Any) -> bool:
    try:
        return str(UUID(value)) == str(value).lower()
    except (TypeError, ValueError, AttributeError):
        return False
