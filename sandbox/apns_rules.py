"""What Apple demands of the headers that a message has for it. FCM hears of it once it has really sent.

Source: https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

from typing import Any

from sandbox.google_errors import refused_by_apple

MAX_COLLAPSE_ID = 64  # bytes
_PRIORITIES = ("1", "5", "10")
_TYPES = (
    *("alert", "background", "complication", "controls", "fileprovider", "liveactivity", "location", "mdm"),
    *("pushtotalk", "voip", "widgets"),
)


def check_headers(apns: dict[str, Any]) -> None:
    """Raises RefusedError with Apple's word for the first that is wrong; each may be absent."""
    headers = {name.lower(): value for name, value in apns.get("headers", {}).items()}
    kind, priority = headers.get("apns-push-type", "alert"), headers.get("apns-priority", "5")
    expiration = headers.get("apns-expiration", "0")
    if kind not in _TYPES:
        raise refused_by_apple("InvalidPushType")
    if priority not in _PRIORITIES or (kind, priority) == ("background", "10"):
        raise refused_by_apple("BadPriority")
    if not (expiration.isascii() and expiration.isdigit()):
        raise refused_by_apple("BadExpirationDate")
    if len(headers.get("apns-collapse-id", "").encode()) > MAX_COLLAPSE_ID:
        raise refused_by_apple("BadCollapseId")
