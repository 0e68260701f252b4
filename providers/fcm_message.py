"""One push as FCM's JSON, for Android, Apple and the web at once.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages

The tags are what makes a repeated send harmless: the second replaces the first on the phone. There
is no `collapse_key`: of those FCM keeps four for a device that is offline, so one for each
notification would lose the others.
"""

from __future__ import annotations

import json
import time
from hashlib import sha256
from typing import Any

import orjson

from providers.base import PushMessage
from providers.errors import Rejected

MAX_TTL = 2_419_200
#: Bytes of title, body, image and data together.
MAX_PAYLOAD = 4096
RESERVED_KEYS = ("from", "message_type", "gcm")
RESERVED_PREFIXES = ("google", "gcm.")


def encode(message: PushMessage) -> bytes:
    """The request's body; raises Rejected for what FCM would refuse anyway."""
    data = _data(message)
    try:
        body = orjson.dumps({"message": _message(message, data)})
    except orjson.JSONEncodeError:
        raise Rejected("invalid_text", "The message has text that is not valid Unicode.") from None
    if len(body) > MAX_PAYLOAD:
        _check_size(message, data)
    return body


def _message(message: PushMessage, data: dict[str, str]) -> dict[str, Any]:
    notification = {"title": message.title, "body": message.body}
    if message.image:
        notification["image"] = message.image
    ttl = min(max(int(message.ttl), 0), MAX_TTL)
    action = message.link if message.link and not _is_address(message.link) else None
    document: dict[str, Any] = {
        "token": message.device_token,
        "notification": notification,
        "android": _android(message, ttl, action),
        "apns": _apns(message, ttl, action),
        "webpush": _webpush(message, ttl),
    }
    if data:
        document["data"] = data
    return document


def _android(message: PushMessage, ttl: int, action: str | None) -> dict[str, Any]:
    notification = {"tag": message.replaces}
    if action:
        notification["click_action"] = action
    return {
        "priority": "HIGH" if message.high_priority else "NORMAL",
        "ttl": f"{ttl}s",
        "notification": notification,
    }


def _apns(message: PushMessage, ttl: int, action: str | None) -> dict[str, Any]:
    headers = {
        "apns-priority": "10" if message.high_priority else "5",
        "apns-expiration": str(int(time.time()) + ttl if ttl else 0),
        "apns-collapse-id": _collapse_id(message.replaces),
    }
    apns: dict[str, Any] = {"headers": headers}
    aps: dict[str, Any] = {}
    if action:
        aps["category"] = action
    if message.image:
        aps["mutable-content"] = 1
        apns["fcm_options"] = {"image": message.image}
    if aps:
        apns["payload"] = {"aps": aps}
    return apns


def _webpush(message: PushMessage, ttl: int) -> dict[str, Any]:
    webpush: dict[str, Any] = {
        "headers": {"TTL": str(ttl), "Urgency": "high" if message.high_priority else "normal"},
        "notification": {"tag": message.replaces},
    }
    if message.link and message.link.startswith("https://"):  # FCM takes no other
        webpush["fcm_options"] = {"link": message.link}
    return webpush


def _data(message: PushMessage) -> dict[str, str]:
    """What the app gets. An address goes along as `link`: only the web has a field for it."""
    data = {}
    for key, value in message.data.items():
        if key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES):
            advice = f"FCM keeps the data key {key[:64]!r} for itself. Give it another name."
            raise Rejected("reserved_data_key", advice)
        data[key] = value if isinstance(value, str) else _json(value)
    if message.link and _is_address(message.link):
        data.setdefault("link", message.link)
    return data


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _is_address(link: str) -> bool:
    """Not the name of an action: as one, an address would make a tap on Android do nothing."""
    return "://" in link


def _collapse_id(tag: str) -> str:
    """APNs takes at most 64 bytes, in a header."""
    fits = len(tag) <= 64 and tag.isascii() and tag.isprintable()
    return tag if fits else sha256(tag.encode(errors="replace")).hexdigest()


def _check_size(message: PushMessage, data: dict[str, str]) -> None:
    texts = [message.title, message.body, message.image or "", *data, *data.values()]
    size = sum(len(text.encode()) for text in texts)
    if size > MAX_PAYLOAD:
        advice = f"Title, body, image and data have {size} bytes together, FCM takes {MAX_PAYLOAD}."
        raise Rejected("payload_too_large", advice)
