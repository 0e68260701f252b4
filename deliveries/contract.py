"""The message: the one definition of a push request, for the queue and for the REST API.

Producers spell the same request in several ways, as `neighbours.messages` has them; `read` answers a `PushRequest`, or
raises `InvalidMessage` with every reason at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Literal, Self

import orjson
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    ValidatorFunctionWrapHandler,
    field_validator,
    model_validator,
)

from deliveries.faults import faults, kind
from deliveries.fields import NOBODY, Count, Flag, Id, Label, Name, Seconds, SegmentId, Topic
from deliveries.neighbours.devices import Device, devices_in
from deliveries.neighbours.foreign_json import MAX_DEPTH, has_nul, is_too_deep
from deliveries.neighbours.messages import fields_of, tokens_of, unwrapped
from deliveries.neighbours.spellings import is_blank
from providers.fcm_payload import is_reserved

MAX_BODY_BYTES = 64 * 1024

#: Years in which something may expire. Python and PostgreSQL both know them in every time zone.
EXPIRY_YEARS = range(2000, 9999)


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
    topic: Topic | None = Field(None, description="all who follow it get the push, instead of a user's devices")
    user_id: SegmentId = Field("", validate_default=True, description="not beside a topic")
    template_id: SegmentId | None = None
    template_code: SegmentId | None = Field(None, description="its other name, where it has two")
    title: str | None = Field(None, max_length=1024)
    body: str | None = Field(None, max_length=4096)
    variables: dict[str, Any] = Field(default_factory=dict)
    priority: int | str | None = None
    metadata: dict[str, Any] = Field(default_factory=dict, description="goes to the app as data")
    image: str | None = Field(None, max_length=2048)
    link: str | None = Field(None, max_length=2048, description="an address that a tap opens")
    click_action: str | None = Field(None, max_length=2048, description="the name of an action that a tap starts")
    badge: Count | None = Field(None, description="the number on the app's icon; 0 takes it away")
    sound: Name | None = None
    channel_id: Name | None = Field(None, description="Android's notification channel")
    collapse_key: Name | None = Field(None, description="of pushes with the same one, a device gets the latest")
    analytics_label: Label | None = Field(None, description="by which Google's statistics tell pushes apart")
    data_only: Flag = Field(False, description="nothing is shown: the app alone gets it, the text as data too")
    dry_run: Flag = Field(False, description="FCM checks it, and nothing is sent")
    ttl: Seconds | None = Field(None, description="seconds from acceptance")
    expires_at: AwareDatetime | None = None
    language: str = Field("en", max_length=35)
    device_tokens: list[Device] = Field(default_factory=list, description="instead of the user service's")
    request_id: SegmentId | None = None
    correlation_id: Id
    guarantee: Literal["at_least_once", "at_most_once"] = "at_least_once"

    @field_validator("user_id", mode="wrap")
    @classmethod
    def _somebody_gets_it(cls, value: Any, check: ValidatorFunctionWrapHandler, others: ValidationInfo) -> str:
        if value != "":
            return str(check(value))
        if others.data.get("topic", value) is None:
            raise ValueError("is needed")
        return ""

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

    @field_validator("device_tokens", mode="before")
    @classmethod
    def _devices_are_readable(cls, value: Any) -> list[Device]:
        try:
            return devices_in(value)
        except ValueError as wrong:
            raise ValueError(f"has {wrong}") from None

    @field_validator("expires_at")
    @classmethod
    def _expiry_can_be_stored(cls, value: datetime | None) -> datetime | None:
        if value is not None and value.year not in EXPIRY_YEARS:
            raise ValueError(f"should be in the years {EXPIRY_YEARS[0]} to {EXPIRY_YEARS[-1]}")
        return value and value.astimezone(UTC)  # PostgreSQL knows no zone that is 16 hours away

    @model_validator(mode="after")
    def _has_content_and_one_kind_of_target(self) -> Self:
        if self.template_id is None and self.title is None and self.body is None and not self.data_only:
            raise ValueError("a template_id, or a title or body, is needed")
        if self.topic is not None:
            others = {"a user_id": self.user_id, "device_tokens": self.device_tokens}
            if beside := [name for name, value in others.items() if value]:
                raise ValueError(f"it can go to one of them only: it has a topic and {' and '.join(beside)}")
        return self

    def as_json(self) -> bytes:
        """The request as stored in the ledger; `PushRequest.model_validate` reads the parsed JSON back.

        It never raises, as `read_document` lets nothing else in. What was not given is left out, but for `dry_run`: a
        request without it is of before pushes could say so much (`api.repeats`). The same request is the same bytes,
        whichever way it came: PostgreSQL orders keys in its own way, and by the bytes a dead letter is known again.
        """
        values = self.__dict__
        given = {field: values[field] for field in self.model_fields_set | {"dry_run"}}
        return orjson.dumps(given, option=orjson.OPT_SORT_KEYS)


def read(
    body: bytes,
    *,
    message_id: str | None = None,
    correlation_id: str | None = None,
    priority: int | None = None,
    trust_tokens: bool = False,
) -> PushRequest:
    """Reads a message's body; the AMQP properties fill what the body leaves out. Raises InvalidMessage.

    `trust_tokens` reads the device tokens that it brings along; they are not even looked at otherwise.
    """
    if len(body) > MAX_BODY_BYTES:
        raise InvalidMessage([("", f"the message has {len(body)} bytes, the limit is {MAX_BODY_BYTES}")])
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidMessage([("", f"the message is not JSON: {error}")]) from None
    properties = {"notification_id": message_id, "correlation_id": correlation_id, "priority": priority}
    return read_document(document, properties, body=body, trust_tokens=trust_tokens)


def read_document(
    document: object,
    defaults: Mapping[str, Any] | None = None,
    *,
    body: bytes | None = None,
    trust_tokens: bool = False,
) -> PushRequest:
    """Reads a parsed message, `body` being its bytes; `defaults` fill what it leaves out. Raises InvalidMessage."""
    document = unwrapped(document)
    if not isinstance(document, dict):
        raise InvalidMessage([("", f"the message is {kind(document)}, not an object")])
    fields = {k: v for k, v in (defaults or {}).items() if not is_blank(v)} | fields_of(document)
    if trust_tokens or "topic" in fields:  # beside a topic, tokens are a contradiction even if nobody trusts them
        fields |= tokens_of(document)
    if "correlation_id" not in fields:
        fields["correlation_id"] = str(uuid.uuid4())
    if hostile := list(_hostile(document, written(document) if body is None else body)):
        raise InvalidMessage(hostile, _readable_id(fields))
    reserved = list(_reserved(fields.get("metadata")))
    try:
        request = PushRequest.model_validate(fields)
    except ValidationError as error:
        raise InvalidMessage(faults(error) + reserved, _readable_id(fields)) from None
    if reserved:
        raise InvalidMessage(reserved, _readable_id(fields))
    return request


def written(document: object) -> bytes:
    """A document as bytes; raises InvalidMessage where it could not be stored, as an integer beyond 64 bits."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError as error:
        raise InvalidMessage([("", f"the message cannot be written as JSON: {error}")]) from None


def _hostile(document: dict[str, Any], body: bytes) -> Iterable[tuple[str, str]]:
    """What would break the ledger or a reader."""
    if is_too_deep(document, body):
        yield "", f"the message is nested deeper than {MAX_DEPTH} levels"
    elif has_nul(document, body):
        yield "", "the message contains the NUL character, which cannot be stored"


def _reserved(metadata: Any) -> Iterable[tuple[str, str]]:
    """Keys with which FCM refuses a push. Here alone: what the ledger has from before may have them."""
    if isinstance(metadata, dict) and (keys := [repr(key[:64]) for key in metadata if is_reserved(key)]):
        yield "metadata", f"has keys that FCM keeps for itself: {', '.join(keys[:5])}. Give them other names"


def _readable_id(fields: Mapping[str, Any]) -> str | None:
    value = fields.get("notification_id")
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    id = value.strip() if isinstance(value, str) and value.isprintable() else ""
    return id if 0 < len(id) <= 255 and id not in NOBODY else None
