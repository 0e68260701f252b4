"""What both of FCM's wire formats demand of a push: the keys of its data, its size.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from providers.base import PushMessage
from providers.errors import Rejected
from providers.payload import address_of, as_json, data_of

logger = logging.getLogger(__name__)

#: Bytes that FCM takes of what one device gets: the keys and values of data and notification.
MAX_PAYLOAD = 4096
#: What Google documents for topics. In 2026 it took as much as for a device, so more is sent, and said.
DOCUMENTED_FOR_TOPICS = 2048
RESERVED_KEYS = ("from", "message_type", "gcm")
RESERVED_PREFIXES = ("google", "gcm.")


def written(document: dict[str, Any], message: PushMessage, measured: Callable[[dict[str, Any]], int]) -> bytes:
    """The request's body; raises Rejected for text that is no Unicode, and for too much of it.

    `measured` says how many bytes FCM would count; of a body that is no longer than the limit it need not be asked.
    """
    body = as_json(document)
    if len(body) > (DOCUMENTED_FOR_TOPICS if message.target == "topic" else MAX_PAYLOAD):
        _check_size(message, measured(document))
    return body


def size_of(value: Any) -> int:
    """Bytes of all keys and values, in UTF-8."""
    if isinstance(value, dict):
        return sum(size_of(key) + size_of(inner) for key, inner in value.items())
    return len(str(value).encode())


def app_data(message: PushMessage) -> dict[str, str]:
    """What the app gets; raises Rejected. An address goes along as `link`: only the web has a field for it."""
    for key in filter(is_reserved, message.data):
        advice = f"FCM keeps the data key {key[:64]!r} for itself. Give it another name."
        raise Rejected("reserved_data_key", advice)
    data = data_of(message)
    if address := address_of(message):
        data.setdefault("link", address)
    return data


def is_reserved(key: str) -> bool:
    """Whether FCM keeps a key of the data for itself, and refuses the push for it.

    https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
    """
    return key in RESERVED_KEYS or key.startswith(RESERVED_PREFIXES)


def _check_size(message: PushMessage, size: int) -> None:
    if size > MAX_PAYLOAD:
        advice = f"Title, body, image, data and what goes along have {size} bytes together, FCM takes {MAX_PAYLOAD}."
        raise Rejected("payload_too_large", advice)
    if message.target == "topic" and size > DOCUMENTED_FOR_TOPICS:
        _warn(message.notification_id, size)


@lru_cache(maxsize=1024)
def _warn(notification_id: str, size: int) -> None:
    """Once for a notification, however often it is tried."""
    logger.warning(
        "The push to a topic has %d bytes. FCM documents a limit of %d there and may refuse it: shorten it",
        size,
        DOCUMENTED_FOR_TOPICS,
        extra={"notification_id": notification_id},
    )
