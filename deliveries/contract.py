"""The message: the one definition of a push request, for the queue and for the REST API.

Producers spell the same request in several ways; `read` takes the first spelling it finds of each field and answers a
`PushRequest`, or raises `InvalidMessage` with every reason at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

MAX_BODY_BYTES = 64 * 1024
MAX_DEPTH = 32
MAX_TTL = 28 * 24 * 3600

#: Years in which something may expire. Python and PostgreSQL both know them in every time zone.
EXPIRY_YEARS = range(2000, 9999)

#: Where a field may stand in a message; the first that is there and not blank wins. A dot leads into an object.
SPELLINGS = {
    "notification_id": "notification_id request_id message_id id",
    "request_id": "request_id",
    "user_id": "user_id user.id recipient_id metadata.user_id",
    "template_id": "template_id template_code template.slug template_name",
    "title": "title template.subject template.title template_data.subject template_subject",
    "body": "body template.body template_data.body template_content",
    "variables": "variables context",
    "priority": "priority",
    "metadata": "metadata",
    "image": "image image_url",
    "link": "link click_action",
    "ttl": "ttl",
    "expires_at": "expires_at",
    "language": "language locale",
    "correlation_id": "correlation_id",
    "guarantee": "guarantee",
}
PATHS = {field: tuple(tuple(path.split(".")) for path in paths.split()) for field, paths in SPELLINGS.items()}

#: Ids travel in addresses and headers, where a control character would break the request.
Id = Annotated[
    str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=r"^[^\x00-\x1f\x7f]+$")
]


def _names_somebody(id: str) -> str:
    if id in {".", ".."}:
        raise ValueError("should not be . or .., which lead elsewhere in an address")
    return id


#: Those that become a segment of an address.
SegmentId = Annotated[Id, AfterValidator(_names_somebody)]


class InvalidMessage(ValueError):
    """A message that cannot be accepted.

    `reasons` says everything that is wrong with it, one sentence each; `faults` the same as (field, reason) pairs;
    `notification_id` is its id where one could be read.
    """

    def __init__(self, faults: list[tuple[str, str]], notification_id: str | None = None) -> None:
        self.faults = faults
        self.reasons = [f"{field}: {reason}" if field else reason for field, reason in faults]
        self.notification_id = notification_id
        super().__init__("; ".join(self.reasons))


class PushRequest(BaseModel):
    """A push request as accepted. Unknown fields of the message are ignored, known ones are checked strictly."""

    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)

    notification_id: SegmentId
    user_id: SegmentId
    template_id: Id | None = None
    title: str | None = Field(None, max_length=1024)
    body: str | None = Field(None, max_length=4096)
    variables: dict[str, Any] = Field(default_factory=dict)
    priority: int | str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict)
    image: str | None = Field(None, max_length=2048)
    link: str | None = Field(None, max_length=2048)
    ttl: int | None = Field(None, ge=0, le=MAX_TTL, strict=True, description="seconds from acceptance")
    expires_at: AwareDatetime | None = None
    language: str = Field("en", max_length=35)
    request_id: Id | None = None
    correlation_id: Id
    guarantee: Literal["at_least_once", "at_most_once"] = "at_least_once"

    @field_validator("priority")
    @classmethod
    def _priority_is_bounded(cls, value: int | str | None) -> int | str | None:
        if isinstance(value, str) and value.isascii() and value.removeprefix("-").isdigit() and len(value) < 9:
            value = int(value)
        if isinstance(value, str) and len(value) > 32:
            raise ValueError("should be a number or a word such as high")
        if isinstance(value, int) and not 0 <= value <= 255:
            raise ValueError("should be between 0 and 255")
        return value

    @field_validator("expires_at")
    @classmethod
    def _expiry_can_be_stored(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.year not in EXPIRY_YEARS:
            raise ValueError(f"should be in the years {EXPIRY_YEARS[0]} to {EXPIRY_YEARS[-1]}")
        return value

    @model_validator(mode="after")
    def _has_content(self) -> PushRequest:
        if self.template_id is None and self.title is None and self.body is None:
            raise ValueError("a template_id, or a title or body, is needed")
        return self

    def as_json(self) -> bytes:
        """The request as stored in the ledger; `PushRequest.model_validate` reads the parsed JSON back.

        It never raises, as `read_document` lets nothing else in. What was not given is left out.
        """
        values = self.__dict__
        return orjson.dumps({field: values[field] for field in self.model_fields_set})


def read(
    body: bytes, *, message_id: str | None = None, correlation_id: str | None = None, priority: int | None = None
) -> PushRequest:
    """Reads a message's body; the AMQP properties fill what the body leaves out. Raises InvalidMessage."""
    if len(body) > MAX_BODY_BYTES:
        raise InvalidMessage([("", f"the message has {len(body)} bytes, the limit is {MAX_BODY_BYTES}")])
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage([("", f"the message is not JSON: {error}")]) from None
    properties = {"notification_id": message_id, "correlation_id": correlation_id, "priority": priority}
    return read_document(document, properties, body=body)


def read_document(
    document: object, defaults: Mapping[str, Any] | None = None, *, body: bytes | None = None
) -> PushRequest:
    """Reads a parsed message, `body` being its bytes; `defaults` fill what it leaves out. Raises InvalidMessage."""
    document = _unwrapped(document)
    if not isinstance(document, dict):
        raise InvalidMessage([("", f"the message is a JSON {type(document).__name__}, not an object")])
    fields = {k: v for k, v in (defaults or {}).items() if not _is_blank(v)} | _found(document)
    fields.setdefault("correlation_id", str(uuid.uuid4()))
    faults = list(_hostile(document, written(document) if body is None else body))
    try:
        if faults:
            raise InvalidMessage(faults, _readable_id(fields))
        return PushRequest.model_validate(fields)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        faults = [(".".join(map(str, e["loc"])), e["msg"]) for e in errors]
        raise InvalidMessage(faults, _readable_id(fields)) from None


def _unwrapped(document: object) -> object:
    """Some gateways wrap the message as {"pattern": …, "data": {…}}."""
    if isinstance(document, dict) and "pattern" in document and isinstance(document.get("data"), dict):
        return document["data"]
    return document


def written(document: object) -> bytes:
    """A document as bytes; raises InvalidMessage where it could not be stored, as an integer beyond 64 bits."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise InvalidMessage([("", f"the message cannot be written as JSON: {error}")]) from None


def _found(document: dict[str, Any]) -> dict[str, Any]:
    template_data = document.get("template_data")
    is_variables = isinstance(template_data, dict) and "body" not in template_data
    if is_variables:  # its `subject` is a variable, no title
        document = {**document, "template_data": None}
    found = {field: value for field, paths in PATHS.items() if (value := _first(document, paths)) is not None}
    if is_variables:
        found.setdefault("variables", template_data)
    return found


def _first(document: dict[str, Any], paths: tuple[tuple[str, ...], ...]) -> Any:
    """The first value that is there and not blank, else None."""
    for path in paths:
        value: Any = document
        for key in path:
            value = value.get(key) if isinstance(value, dict) else None
        if not _is_blank(value):
            return value
    return None


def _is_blank(value: object) -> bool:
    """Blank texts are how some producers leave a field out."""
    return value is None or (isinstance(value, str) and not value.strip())


def _hostile(document: dict[str, Any], body: bytes) -> Iterable[tuple[str, str]]:
    """What would break the ledger or a reader. The document is walked only when its bytes make it suspicious."""
    if body.count(b"{") + body.count(b"[") > MAX_DEPTH and _depth(document) > MAX_DEPTH:
        yield "", f"the message is nested deeper than {MAX_DEPTH} levels"
    elif b"\\u0000" in body and _has_nul(document):
        yield "", "the message contains the NUL character, which cannot be stored"


def _depth(document: object) -> int:
    level, depth = [document], 0
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _has_nul(node: object) -> bool:
    if isinstance(node, str):
        return "\0" in node
    return any(_has_nul(child) for child in _children(node, keys=True))


def _children(node: object, *, keys: bool = False) -> list[Any]:
    if isinstance(node, dict):
        return [*node, *node.values()] if keys else list(node.values())
    return node if isinstance(node, list) else []


def _readable_id(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("notification_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if isinstance(value, str) and 0 < len(value.strip()) <= 255 and value.isprintable():
        return value.strip()
    return None
