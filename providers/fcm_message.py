"""One push as FCM's JSON, for Android, Apple and the web at once.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages

The tags are what makes a repeated send harmless: the second replaces the first on the phone. There
is no `collapse_key`: of those FCM keeps four for a device that is offline, so one for each
notification would lose the others.
"""

from __future__ import annotations

import time
from hashlib import sha256
from typing import Any

from providers.base import PushMessage
from providers.fcm_payload import action_of, data_of, lifetime, notification_of, written


def encode(message: PushMessage) -> bytes:
    """The request's body; raises Rejected for what FCM would refuse anyway."""
    data = data_of(message)
    return written({"message": _message(message, data)}, message, data)


def _message(message: PushMessage, data: dict[str, str]) -> dict[str, Any]:
    ttl, action = lifetime(message), action_of(message)
    document: dict[str, Any] = {
        "token": message.device_token,
        "notification": notification_of(message),
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
        "apns-expiration": str(_expiration(message, ttl)),
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


def _expiration(message: PushMessage, ttl: int) -> int:
    """When Apple drops it, in seconds since 1970; 0 is at once. It is Apple's clock that tells."""
    sent_at = time.time() if message.sent_at is None else message.sent_at
    return int(sent_at) + ttl if ttl else 0


def _webpush(message: PushMessage, ttl: int) -> dict[str, Any]:
    webpush: dict[str, Any] = {
        "headers": {"TTL": str(ttl), "Urgency": "high" if message.high_priority else "normal"},
        "notification": {"tag": message.replaces},
    }
    if message.link and message.link.startswith("https://"):  # FCM takes no other
        webpush["fcm_options"] = {"link": message.link}
    return webpush


def _collapse_id(tag: str) -> str:
    """APNs takes at most 64 bytes, in a header."""
    fits = len(tag) <= 64 and tag.isascii() and tag.isprintable()
    return tag if fits else sha256(tag.encode(errors="replace")).hexdigest()
