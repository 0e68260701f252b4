"""What a request brings along: JSON, of a size that is bounded before it is read."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import orjson
from django.utils.http import parse_header_parameters
from pydantic import BaseModel, ValidationError
from rest_framework.request import Request

from deliveries.api.errors import Refused
from deliveries.contract import MAX_BODY_BYTES
from deliveries.faults import faults

MAX_LIST_BYTES = 8 * 1024 * 1024

Body = TypeVar("Body", bound=BaseModel)

#: A body without a type is taken for what we expect; anything that calls itself otherwise is somebody's mistake.
JSON_TYPE = re.compile(r"(application/([\w.-]+\+)?json)?", re.IGNORECASE)
UTF_8 = frozenset({"utf-8", "utf8", "us-ascii"})


def read(request: Request, limit: int) -> bytes:
    """The body, of `limit` bytes at most. Raises Refused.

    Django takes a body without Content-Length (chunked) for empty; a server that ends the stream
    itself lets us read it.
    """
    _refuse_other_forms(request)
    ends = request.META.get("wsgi.input_terminated")
    source: Any = request.META["wsgi.input"] if ends else request
    body: bytes = source.read(limit + 1)
    if len(body) > limit:
        raise Refused("too_large")
    return body


def _refuse_other_forms(request: Request) -> None:
    kind, parameters = parse_header_parameters(request.content_type or "")
    charset = parameters.get("charset", "utf-8")
    coding = request.headers.get("Content-Encoding", "identity")
    if not JSON_TYPE.fullmatch(kind):
        raise Refused("unsupported_media_type", f"The body is declared as {kind}; application/json is read here.")
    if charset.lower() not in UTF_8:
        raise Refused("unsupported_media_type", f"The body is declared to be in {charset}; JSON is in UTF-8.")
    if coding.lower() != "identity":
        message = f"The body is encoded as {coding}. Send it as it is, without Content-Encoding."
        raise Refused("unsupported_media_type", message)


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
        raise Refused.for_faults("invalid_request", faults(error)) from None
