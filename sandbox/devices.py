"""Device tokens of this world: real in shape, telling whose they are and how FCM answers."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache

STATES = {
    "ok": "accepted",
    "dead": "404 UNREGISTERED: the app was removed",
    "malformed": "400 INVALID_ARGUMENT on message.token",
    "mismatch": "403 SENDER_ID_MISMATCH: the token is another project's",
    "quota": "429 QUOTA_EXCEEDED with Retry-After: too many for this device",
    "unavailable": "503 UNAVAILABLE, every time",
    "apns410": "400 INVALID_ARGUMENT with ApnsError 410: Apple says the device is gone",
    "apnsauth": "401 THIRD_PARTY_AUTH_ERROR: Apple refuses the app's key",
    "hang": "accepted and booked, then silent for a minute: the outcome is unknown",
}
_MARK = ":APA91b"
_TOKEN_OR_FID = re.compile(r"[A-Za-z0-9_-]{11,22}:APA91b[A-Za-z0-9_-]{100,}|[A-Za-z0-9_-]{22}")
_SHOWN_OF_A_USER_ID = 60


@lru_cache(maxsize=65536)
def token_for(user: str, platform: str = "android", state: str = "ok") -> str:
    """The token of one device: `<state>-<hash>` of 22 characters, `:APA91b`, then 130 or more."""
    seed = f"{state}|{platform}|{user}".encode("utf-8", "surrogatepass")
    owner = _letters(f"{platform}|{user[:_SHOWN_OF_A_USER_ID]}".encode("utf-8", "replace"))
    noise = _letters(hashlib.shake_256(seed).digest(120))
    head = f"{state}-{noise}"[:22]
    tail = noise[22 : 22 + max(24, 134 - len(owner))]
    return f"{head}{_MARK}{len(owner):03d}{owner}{tail}"


def state_of(token: str) -> str:
    """One of STATES. The prefix decides, so `ok-anything` works by hand as well; without one, what
    has the shape of a registration was never registered here, and anything else is malformed."""
    prefix, dash, _ = token.partition("-")
    if dash and prefix in STATES:
        return prefix
    return "dead" if _TOKEN_OR_FID.fullmatch(token) else "malformed"


@lru_cache(maxsize=65536)
def owner_of(token: str) -> tuple[str, str]:
    """(user id, platform) as written into the token; a token made by hand is its own user."""
    _, mark, tail = token.partition(_MARK)
    try:
        text = _bytes(tail[3 : 3 + int(tail[:3])]).decode()
        platform, bar, user = text.partition("|")
    except ValueError:
        mark = bar = ""
    if not mark or not bar:
        return token[:24], "device"
    return user, platform


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
