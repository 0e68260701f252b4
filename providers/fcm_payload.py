"""What both of FCM's wire formats say of a push in the same way: its data, its lifetime, its size.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import json
from typing import Any

import orjson

from providers.base import PushMessage
from providers.errors import Rejected

MAX_TTL = 2_419_200
#: Bytes of title, body, image and data together.
MAX_PAYLOAD = 4096
RESERVED_KEYS = ("from", "message_type", "gcm")
RESERVED_PREFIXES = ("google", "gcm.")


def written(document: dict[str, Any], message: PushMessage, data: dict[str, str]) -> bytes:
    """The request's body; raises Rejected for text that is no Unicode, and for too much of it."""
    try:
        body = orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise Rejected("invalid_text", "The message has text that is not valid Unicode.") from None
    if len(body) > MAX_PAYLOAD:
        _check_size(message, data)
    return body


def notification_of(message: PushMessage) -> dict[str, Any]:
    """What every phone shows."""
    notification = {"title": message.title, "body": message.body}
    if message.image:
        notification["image"] = message.image
    return notification


def data_of(message: PushMessage) -> dict[str, str]:
    """What the app gets; raises Rejected. An address goes along as `link`: only the web has a field for it."""
    data = {}
    for key, value in message.data.items():
        if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES):
            advice = f"FCM keeps the data key {key[:64]!r} for itself. Give it another name."
            raise Rejected("reserved_data_key", advice)
        data[key] = value if isinstance(value, str) else _json(value)
    if message.link and _is_address(message.link):
        data.setdefault("link", message.link)
    return data


def lifetime(message: PushMessage) -> int:
    """Seconds, within what FCM takes."""
    return min(max(int(message.ttl), 0), MAX_TTL)


def action_of(message: PushMessage) -> str | None:
    """The action that a tap starts; None where the link is an address, or there is none."""
    return message.link if message.link and not _is_address(message.link) else None


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_address(link: str) -> bool:
    """Not the name of an action: as one, an address would make a tap on Android do nothing."""
    return "://" in link


def _check_size(message: PushMessage, data: dict[str, str]) -> None:
    texts = [message.title, message.body, message.image or "", *data, *data.values()]
    size = sum(len(text.encode()) for text in texts)
    if size > MAX_PAYLOAD:
        advice = f"Title, body, image and data have {size} bytes together, FCM takes {MAX_PAYLOAD}."
        raise Rejected("payload_too_large", advice)
