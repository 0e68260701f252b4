"""What a request brings along: JSON, of a size that is bounded before it is read."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from rest_framework.request import Request

from deliveries.api.errors import Refused
from deliveries.contract import MAX_BODY_BYTES

MAX_LIST_BYTES = 8 * 1024 * 1024

Body = TypeVar("Body", bound=BaseModel)

#: A body without a type is taken for what we expect; anything that calls itself otherwise is somebody's mistake.
JSON_TYPE = re.compile(r"^(application/([\w.-]+\+)?json\s*(;.*)?)?$", re.IGNORECASE)


def read(request: Request, limit: int) -> bytes:
    """The body, of `limit` bytes at most. Raises Refused.

    Django takes a body without Content-Length (chunked) for empty; a server that ends the stream
    itself lets us read it.
    """
    if not JSON_TYPE.match(request.content_type or ""):
        raise Refused("unsupported_media_type")
    ends = request.META.get("wsgi.input_terminated")
    source: Any = request.META["wsgi.input"] if ends else request
    body: bytes = source.read(limit + 1)
    if len(body) > limit:
        raise Refused("too_large")
    return body


def strict(request: Request, model: type[Body]) -> Body:
    """The body as that model; without a body, all of its defaults. Raises Refused with each field at fault."""
    body = read(request, MAX_BODY_BYTES)
    return valid(model, parsed(body, "invalid_request") if body.strip() else {})


def parsed(body: bytes, code: str) -> Any:
    """The JSON document. Raises Refused, with that code."""
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Refused.for_faults(code, [("", f"the body is not JSON: {error}")]) from None


def valid(model: type[Body], document: object) -> Body:
    """The document as that model. Raises Refused with each field at fault."""
    try:
        return model.model_validate(document)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False, include_context=False)
        faults = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in errors]
        raise Refused.for_faults("invalid_request", faults) from None
