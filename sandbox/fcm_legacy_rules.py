"""What FCM's legacy API demands of a message: its fields and their types, one kind of target, keys, ttl, size.

Source: https://firebase.google.com/docs/cloud-messaging/http-server-ref
"""

from __future__ import annotations

from typing import Any

import orjson

from sandbox.fcm_rules import MAX_BYTES, MAX_TTL, is_reserved, size_of

Message = dict[str, Any]
MAX_TOKENS = 1000
PRIORITIES = ("normal", "high")

_FIELDS: dict[str, type] = {
    "to": str,
    "registration_ids": list,
    "collapse_key": str,
    "priority": str,
    "content_available": bool,
    "mutable_content": bool,
    "time_to_live": int,
    "restricted_package_name": str,
    "dry_run": bool,
    "data": dict,
    "notification": dict,
}
_TEXTS = (
    "title body image icon sound badge tag color click_action subtitle android_channel_id body_loc_key title_loc_key"
)
_NOTIFICATION: dict[str, type] = {
    **dict.fromkeys(_TEXTS.split(), str),
    "body_loc_args": list,
    "title_loc_args": list,
}


class UnreadableError(Exception):
    """A request that is answered with 400, in these words."""


def understood(body: bytes) -> tuple[Message, list[str]]:
    """(the message, the tokens that it is for); raises UnreadableError."""
    try:
        message = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise UnreadableError(f"JSON_PARSING_ERROR: {fault}") from None
    _demand(type(message) is dict, "the body must be a JSON object")
    _check_fields(message, _FIELDS, "")
    _check_fields(message.get("notification", {}), _NOTIFICATION, "notification.")
    _check_texts(message.get("data", {}).values(), "data")
    _demand(message.get("priority", "normal") in PRIORITIES, f'"priority" must be one of {", ".join(PRIORITIES)}')
    return message, _tokens(message)


def faulty_content(message: Message) -> str | None:
    """FCM's word for what is wrong with the content, which it says of each token; None when nothing is."""
    data = message.get("data", {})
    if any(map(is_reserved, data)):
        return "InvalidDataKey"
    if not 0 <= message.get("time_to_live", 0) <= MAX_TTL:
        return "InvalidTtl"
    if size_of(data) + size_of(message.get("notification", {})) > MAX_BYTES:
        return "MessageTooBig"
    return None


def _tokens(message: Message) -> list[str]:
    _demand(
        ("to" in message) != ("registration_ids" in message), 'exactly one of "to" and "registration_ids" is needed'
    )
    tokens = message.get("registration_ids", [message.get("to")])
    _check_texts(tokens, "registration_ids")
    _demand(1 <= len(tokens) <= MAX_TOKENS, f'"registration_ids" must have 1 to {MAX_TOKENS} tokens')
    return list(tokens)


def _check_fields(message: Message, fields: dict[str, type], where: str) -> None:
    for name, value in message.items():
        _demand(name in fields, f'unknown field "{where}{name}"')
        _demand(type(value) is fields[name], f'field "{where}{name}" must be a JSON {fields[name].__name__}')


def _check_texts(values: Any, name: str) -> None:
    _demand(all(isinstance(value, str) for value in values), f'every value of "{name}" must be a JSON string')


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise UnreadableError(f"INVALID_PARAMETERS: {otherwise}")
