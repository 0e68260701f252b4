"""The schema of a push request as the API takes it: the contract's own, with what its reading makes of other values.

The contract takes numbers for texts, a blank text or null for a field that is left out, spaces around ids; over HTTP
ids are made up where there are none. A schema that did not say so would refuse what we accept.
"""

from __future__ import annotations

import re
from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiExample, OpenApiParameter

from deliveries.contract import PushRequest
from deliveries.faults import CONTROL, NO_CONTROL, NO_NUL
from deliveries.fields import FLAGS, MAX_COUNT

#: What Python calls white space, in the words of ECMA 262.
_SPACE = r"\t-\r\x1c-\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
#: What pydantic strips off an id; the control characters among the others stay, and are refused.
_STRIPPED = r"\t-\r\x20\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"

ID_TEXT = rf"^[{_STRIPPED}]*[^{CONTROL}{_STRIPPED}]([^{CONTROL}]{{0,253}}[^{CONTROL}{_STRIPPED}])?[{_STRIPPED}]*$"
DOTS = rf"^[{_STRIPPED}]*\.\.?[{_STRIPPED}]*$"

#: A time in the years that can be stored in every time zone.
MOMENT = re.compile(
    r"^([2-8][0-9]{3}|9([0-8][0-9]{2}|9([0-8][0-9]|9[0-8])))-[0-9]{2}-[0-9]{2}"
    r"[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?([Zz]|[+-][0-9]{2}:[0-9]{2})$"
)
#: The same years in seconds since 1970, and in milliseconds, as pydantic tells the two apart.
SECONDS = {"type": "number", "minimum": 946_684_800, "maximum": 20_000_000_000}
MILLISECONDS = {"type": "number", "minimum": 946_684_800_000, "maximum": 253_370_764_799_999}


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


BLANK, ID, SEGMENT_ID, VALUE = _ref("Blank"), _ref("Id"), _ref("SegmentId"), _ref("Value")
GIVEN = {"type": ["string", "number"], "pattern": rf"[^{_SPACE}]"}
OBJECT = {"type": "object", "propertyNames": {"pattern": NO_NUL}, "additionalProperties": VALUE}

#: Numbers between 0 and 255, and words; a text of digits is a number.
PRIORITY: list[dict[str, Any]] = [
    {"type": "integer", "minimum": 0, "maximum": 255},
    {"type": "number", "not": {"type": "integer"}},
    {"type": "boolean"},
    {"type": "string", "pattern": r"^(-0{1,7}|0{0,6}[0-9]{1,2}|0{0,5}(1[0-9]{2}|2[0-4][0-9]|25[0-5]))$"},
    {"type": "string", "maxLength": 32, "pattern": NO_NUL, "not": {"pattern": "^(-[0-9]{1,7}|[0-9]{1,8})$"}},
]

TOKEN = {"type": "string", "minLength": 1, "maxLength": 2048, "pattern": r"^[!-~]+$"}
KEY = {"type": "string", "maxLength": 128, "pattern": "^[A-Za-z0-9_-]+$"}
SUBSCRIPTION = {
    "description": "A browser's PushSubscription, as its toJSON() gives it.",
    "type": "object",
    "required": ["endpoint", "keys"],
    "properties": {
        "endpoint": {"type": "string", "maxLength": 1600, "pattern": "^https://[!#-Z^-~]+$"},
        "expirationTime": {"type": ["number", "null"]},
        "keys": {"type": "object", "required": ["p256dh", "auth"], "properties": {"p256dh": KEY, "auth": KEY}},
    },
    "additionalProperties": False,
}
DEVICE = {"anyOf": [TOKEN, {"type": "object", "required": ["token"], "properties": {"token": TOKEN}}, SUBSCRIPTION]}

VALUES: dict[str, dict[str, Any]] = {
    "Blank": {
        "description": "As if it were not there.",
        "type": ["string", "null"],
        "pattern": rf"^[{_SPACE}]*$",
    },
    "Id": {
        "description": "1 to 255 characters but control characters, with or without spaces around them.",
        "anyOf": [{"type": "string", "pattern": ID_TEXT}, {"type": "number"}],
    },
    "SegmentId": {
        "description": "An Id that may be a part of an address, so it is neither . nor ..",
        "anyOf": [{"type": "string", "pattern": ID_TEXT, "not": {"pattern": DOTS}}, {"type": "number"}],
    },
    "Value": {
        "description": "Any JSON without the NUL character, which cannot be stored; nested 32 levels deep at most.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": NO_NUL},
            {"type": "array", "items": VALUE},
            OBJECT,
        ],
    },
}

#: True or false, as `fields.Flag` reads them.
FLAG: list[dict[str, Any]] = [{"type": "boolean"}, {"enum": list(FLAGS)}]

#: What FCM keeps for itself, as `providers.fcm_payload` has it.
RESERVED = {"pattern": "^(from$|message_type$|gcm$|gcm\\.|google)"}

#: Fields of which the contract's schema says least.
SPECIAL: dict[str, list[dict[str, Any]]] = {
    "priority": PRIORITY,
    "metadata": [OBJECT | {"propertyNames": {"pattern": NO_NUL, "not": RESERVED}}],
    "badge": [{"type": "integer", "minimum": 0, "maximum": MAX_COUNT}, {"type": "string", "pattern": "^[0-9]{1,9}$"}],
    "data_only": FLAG,
    "dry_run": FLAG,
    "device_tokens": [DEVICE, {"type": "array", "items": DEVICE}],
}

NO_TOKENS = {"anyOf": [BLANK, {"type": "array", "items": BLANK}]}

#: To whom it may go: to a user, whose devices it may bring along, or to a topic.
TARGETS: list[dict[str, Any]] = [
    {"required": ["user_id"], "properties": {"user_id": GIVEN, "topic": BLANK}},
    {"required": ["topic"], "properties": {"topic": GIVEN, "user_id": BLANK, "device_tokens": NO_TOKENS}},
]
#: And what it may say.
CONTENTS: list[dict[str, Any]] = [
    *({"required": [name], "properties": {name: GIVEN}} for name in ("template_id", "title", "body")),
    {"required": ["data_only"], "properties": {"data_only": {"enum": [True, 1, "true"]}}},
]

#: A list is taken whatever is in it: each of its items is accepted or refused by itself.
NOTIFICATIONS = {
    "application/json": {
        "oneOf": [
            _ref("PushRequest"),
            {
                "type": "array",
                "minItems": 1,
                "maxItems": 500,
                "items": {"anyOf": [_ref("PushRequest"), {}]},
            },
        ]
    }
}

EXAMPLES = [
    OpenApiExample(
        "One", {"notification_id": "order-1", "user_id": "u-1", "template_id": "welcome"}, request_only=True
    ),
    OpenApiExample(
        "A list", [{"user_id": "u-1", "title": "Hello"}, {"user_id": "u-2", "title": "Hello"}], request_only=True
    ),
]
#: Of other characters a header does not say in which encoding they are.
HEADER_TEXT = re.compile(r"^[ -~]{0,255}$")
CORRELATION_ID = OpenApiParameter(
    "X-Correlation-ID",
    {"type": "string", "pattern": HEADER_TEXT.pattern},
    OpenApiParameter.HEADER,
    description="for notifications that bring no correlation_id of their own",
)


def components() -> dict[str, Any]:
    """The schema `PushRequest`, and those that it is made of."""
    written = PushRequest.model_json_schema()
    if not settings.PUSH.trust_message_tokens:
        del written["properties"]["device_tokens"]  # nobody looks at it
    fields = {name: _as_taken(name, schema) for name, schema in written["properties"].items()}
    return {
        "PushRequest": {
            "type": "object",
            "description": "A push request. The spellings that other producers have of these fields are understood "
            "too, and what is not known is ignored. It needs a user_id or a topic, not both; and a template_id, or a "
            "title or body, unless it is data_only. 64 KiB at most.",
            "properties": fields,
            "propertyNames": {"pattern": NO_NUL},
            "additionalProperties": VALUE,
            "anyOf": [_both(whom, what) for whom in TARGETS for what in CONTENTS],
        },
        **VALUES,
    }


def _both(whom: dict[str, Any], what: dict[str, Any]) -> dict[str, Any]:
    required = [*whom["required"], *what["required"]]
    return {"required": required, "properties": whom["properties"] | what["properties"]}


def _as_taken(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    alternatives = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    taken = SPECIAL.get(name) or [more for one in alternatives for more in _readings(name, one)]
    return {"anyOf": [*taken, BLANK]} | {key: schema[key] for key in ("description",) if key in schema}


def _readings(name: str, schema: dict[str, Any]) -> list[dict[str, Any]]:
    """What of JSON is read as a value of this schema."""
    if schema["type"] == "object":
        return [OBJECT]
    if schema["type"] != "string" or "enum" in schema:
        return [{key: value for key, value in schema.items() if key not in ("title", "default", "description")}]
    if schema.get("format") == "date-time":
        return [{"type": "string", "format": "date-time", "pattern": MOMENT.pattern}, SECONDS, MILLISECONDS]
    if schema.get("pattern") == NO_CONTROL:
        return [ID if name == "correlation_id" else SEGMENT_ID]
    if "pattern" in schema:  # a name in FCM's letters, which a number is not
        return [{"type": "string", "pattern": schema["pattern"]}]
    return [{"type": ["string", "number"], "maxLength": schema["maxLength"], "pattern": NO_NUL}]
