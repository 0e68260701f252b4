"""One push as FCM's JSON, for Android, Apple and the web at once.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages

The tags are what makes a repeated send harmless: the second replaces the first on the phone. There is no `collapse_key`
but where the push has one: of those FCM keeps four for a device that is offline, so one for each notification would
lose the others.
"""

from __future__ import annotations

import re
import time
from base64 import urlsafe_b64encode
from hashlib import sha256
from typing import Any

from providers.base import PushMessage
from providers.fcm_payload import app_data, size_of, written
from providers.payload import action_of, given, lifetime, notification_of, page_of

#: What a push service takes as a Topic: RFC 8030, 5.4.
_WEB_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")


def encode(message: PushMessage) -> bytes:
    """The request's body; raises Rejected for what FCM would refuse anyway."""
    document: dict[str, Any] = {"message": _message(message)}
    if message.dry_run:
        document["validate_only"] = True
    return written(document, message, measured)


def _message(message: PushMessage) -> dict[str, Any]:
    ttl = lifetime(message)
    document: dict[str, Any] = {
        message.target: message.device_token,
        "android": _android(message, ttl),
        "apns": _apns(message, ttl),
        "webpush": _webpush(message, ttl),
    }
    if not message.data_only:
        document["notification"] = notification_of(message)
    if data := app_data(message):
        document["data"] = data
    if message.analytics_label:
        document["fcm_options"] = {"analytics_label": message.analytics_label}
    return document


def _android(message: PushMessage, ttl: int) -> dict[str, Any]:
    android: dict[str, Any] = {"priority": "HIGH" if message.high_priority else "NORMAL", "ttl": f"{ttl}s"}
    if message.collapse_key:
        android["collapse_key"] = message.collapse_key
    if not message.data_only:
        android["notification"] = given(
            {
                "tag": message.replaces,
                "click_action": action_of(message),
                "channel_id": message.channel_id,
                "sound": message.sound,
                "notification_count": message.badge,
            }
        )
    return android


def _apns(message: PushMessage, ttl: int) -> dict[str, Any]:
    """Apple takes no background push whose priority is 10."""
    headers = {
        "apns-push-type": "background" if message.data_only else "alert",
        "apns-priority": "10" if message.high_priority and not message.data_only else "5",
        "apns-expiration": str(_expiration(message, ttl)),
        "apns-collapse-id": _collapse_id(message.collapse_key or message.replaces),
    }
    apns: dict[str, Any] = {"headers": headers}
    if aps := _aps(message):
        apns["payload"] = {"aps": aps}
    if message.image and not message.data_only:
        apns["fcm_options"] = {"image": message.image}
    return apns


def _aps(message: PushMessage) -> dict[str, Any]:
    if message.data_only:
        return {"content-available": 1}
    return given(
        {
            "category": action_of(message),
            "badge": message.badge,
            "sound": message.sound,
            "mutable-content": 1 if message.image else None,  # wakes the part of the app that fetches images
        }
    )


def _expiration(message: PushMessage, ttl: int) -> int:
    """When Apple drops it, in seconds since 1970; 0 is at once. It is Apple's clock that tells."""
    sent_at = time.time() if message.sent_at is None else message.sent_at
    return int(sent_at) + ttl if ttl else 0


def _webpush(message: PushMessage, ttl: int) -> dict[str, Any]:
    headers = {"TTL": str(ttl), "Urgency": "high" if message.high_priority else "normal"}
    if message.collapse_key:
        headers["Topic"] = _web_topic(message.collapse_key)
    webpush: dict[str, Any] = {"headers": headers}
    if message.data_only:
        return webpush
    webpush["notification"] = {"tag": message.replaces}
    if page := page_of(message):  # FCM takes no other address
        webpush["fcm_options"] = {"link": page}
    return webpush


def _collapse_id(tag: str) -> str:
    """APNs takes at most 64 bytes, in a header."""
    fits = len(tag) <= 64 and tag.isascii() and tag.isprintable()
    return tag if fits else sha256(tag.encode(errors="replace")).hexdigest()


def _web_topic(key: str) -> str:
    if _WEB_TOPIC.fullmatch(key):
        return key
    return urlsafe_b64encode(sha256(key.encode(errors="replace")).digest())[:32].decode()


def measured(document: dict[str, Any]) -> int:
    """Bytes of what one device would get, of the platform that gets the most."""
    message = document["message"]
    shown = message.get("notification", {})
    android, web = (shown | message[part].get("notification", {}) for part in ("android", "webpush"))
    apple = size_of(shown) + size_of(message["apns"].get("payload", {}))
    return size_of(message.get("data", {})) + max(size_of(android), size_of(web), apple)
