"""What a service worker gets of a push, and what its push service is told beside it."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from providers.base import PushMessage
from providers.errors import Rejected
from providers.payload import action_of, as_json, data_of, given, lifetime, notification_of, page_of

#: Bytes of JSON: encrypted they are 4096, which is all that a push service has to take (RFC 8030, section 7.2).
MAX_PAYLOAD = 3993


def encode(message: PushMessage) -> bytes:
    """What the service worker gets, as JSON; raises Rejected."""
    document: dict[str, Any] = {} if message.data_only else {"notification": _shown(message)}
    if data := data_of(message):
        document["data"] = data
    payload = as_json(document)
    if len(payload) > MAX_PAYLOAD:
        advice = f"Title, body, image and data have {len(payload)} bytes as JSON, Web Push takes {MAX_PAYLOAD}."
        raise Rejected("payload_too_large", advice)
    return payload


def headers_of(message: PushMessage) -> dict[str, str]:
    """All but who we are. Of two messages with one topic that wait, the service keeps the later: a repeat is one."""
    topic = hashlib.sha256(message.replaces.encode(errors="replace")).digest()[:24]
    return {
        "TTL": str(lifetime(message)),
        "Urgency": "high" if message.high_priority else "normal",
        "Topic": base64.urlsafe_b64encode(topic).decode(),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
    }


def _shown(message: PushMessage) -> dict[str, Any]:
    """For `showNotification`. What a tap does, a service worker does: `link` is an address, `click_action` a name."""
    more = {"tag": message.replaces, "link": page_of(message), "click_action": action_of(message)}
    return notification_of(message) | given(more)
