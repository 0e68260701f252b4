"""Device tokens of this world: real in shape, telling whose they are and how FCM answers."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import lru_cache

STATES = {
    "ok": "accepted",
    "dead": "404 UNREGISTERED: the app was removed",
    "dead410": "404 UNREGISTERED with ApnsError 410: Apple says the app was removed",
    "malformed": "400 INVALID_ARGUMENT on message.token",
    "notatoken": "400 INVALID_ARGUMENT that blames the token in its text alone: no BadRequest",
    "apns410": "400 INVALID_ARGUMENT with ApnsError 410: Apple says the device is gone",
    "baddata": "400 INVALID_ARGUMENT on message.data: the message is at fault, not the token",
    "badrequest": "400 with a BadRequest alone, as the JSON parser in front of FCM answers",
    "nodetails": "400 INVALID_ARGUMENT without details",
    "mismatch": "403 SENDER_ID_MISMATCH: the token is another project's",
    "apnsauth": "401 THIRD_PARTY_AUTH_ERROR with ApnsError 403: Apple refuses the app's key",
    "apnsenv": "401 THIRD_PARTY_AUTH_ERROR: the app's key is for Apple's other environment",
    "apnsold": "401 APNS_AUTH_ERROR, the earlier word for the same",
    "webauth": "401 THIRD_PARTY_AUTH_ERROR without ApnsError: a web push service refuses the app's key",
    "quota": "429 QUOTA_EXCEEDED with Retry-After: too many for this device",
    "quotanowait": "429 QUOTA_EXCEEDED without Retry-After",
    "unavailable": "503 UNAVAILABLE, every time",
    "internal": "500 INTERNAL, every time",
    "unspecified": "500 UNSPECIFIED_ERROR: FCM does not say why",
    "html500": "500 with a page of HTML",
    "html502": "502 with a page of HTML",
    "html503": "503 with a page of HTML",
    "html504": "504 with a page of HTML",
    "garbage": "accepted and booked, then a 200 that is no answer: the outcome is unknown",
    "hang": "accepted and booked, then silent for --hang seconds (60): the outcome is unknown",
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
    if prefix := _prefix(token):
        return prefix
    return "dead" if _TOKEN_OR_FID.fullmatch(token) else "malformed"


def is_well_formed(token: str) -> bool:
    """Whether it has a prefix of STATES or the shape of a registration or an installation id."""
    return bool(_prefix(token) or _TOKEN_OR_FID.fullmatch(token))


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


def _prefix(token: str) -> str:
    prefix, dash, _ = token.partition("-")
    return prefix if dash and prefix in STATES else ""


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _bytes(letters: str) -> bytes:
    return base64.urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
