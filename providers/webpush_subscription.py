"""A browser's subscription: where its push service is, and for whom a push is encrypted."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass, field

import orjson
from pywebpush import WebPusher

from providers.errors import DeadToken

#: A name in the public DNS: no digits that are an address, no user, nothing that two readers could read in two ways.
_PUBLIC = re.compile(r"(https)://((?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*)(:[1-9][0-9]{0,4})?(/[!-~]+)", re.IGNORECASE)
_LOOPBACK = re.compile(r"(http)://(127\.0\.0\.1|localhost)(:[1-9][0-9]{0,4})?(/[!-~]+)")
#: Names that only a network of one's own knows.
_PRIVATE = (
    *(".localhost", ".local", ".localdomain", ".internal", ".intranet", ".corp", ".lan", ".home.arpa", ".svc"),
    *(".test", ".invalid"),
)


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's PushSubscription. Whoever knows the endpoint can push to it."""

    origin: str
    path: str = field(repr=False)
    endpoint: str = field(repr=False)
    keys: dict[str, str] = field(repr=False)


def read_subscription(text: str, *, loopback: bool = False) -> Subscription:
    """Raises DeadToken for what no push service gave, or what leads to where none is."""
    try:
        document = orjson.loads(text)
        endpoint = document["endpoint"]
        keys = {"p256dh": _key(document["keys"]["p256dh"], 65), "auth": _key(document["keys"]["auth"], 16)}
        place = _PUBLIC.fullmatch(endpoint) or (_LOOPBACK.fullmatch(endpoint) if loopback else None)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise unusable("it lacks an endpoint or proper keys") from None
    if place is None or place[2].lower().endswith(_PRIVATE) or int((place[3] or ":443")[1:]) > 65535:
        raise unusable("its endpoint is not an https address of a public name")
    port = place[3] if place[3] not in (None, ":443") else ""
    return Subscription(f"{place[1]}://{place[2]}{port}".lower(), place[4], endpoint, keys)


def encrypted(payload: bytes, subscription: Subscription) -> bytes:
    """0.15 ms, most of it a key that is made for this message alone. Raises DeadToken."""
    try:
        pusher = WebPusher({"endpoint": subscription.endpoint, "keys": subscription.keys})
        return bytes(pusher.encode(payload)["body"])
    except ValueError:
        raise unusable("its key is no point of the curve") from None


def _key(text: str, size: int) -> str:
    """The key as browsers write it, where somebody has padded it or used + and /; raises ValueError by its size."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    if len(base64.urlsafe_b64decode(plain + "==")) != size:
        raise ValueError
    return plain


def unusable(why: str) -> DeadToken:
    return DeadToken("invalid_subscription", f"This is not a Web Push subscription: {why}. Forget it.")
