"""Web Push: an encrypted message to the push service that the user's browser has chosen.

Delivery is RFC 8030, the encryption RFC 8291, the proof of who we are (VAPID) RFC 8292. There is no dry run: everything
is checked and encrypted, nothing is sent, and the receipt is named `dry-run`, with the status 0.
"""

from __future__ import annotations

import base64
import hashlib
import re
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson
from py_vapid import Vapid02
from pywebpush import WebPusher

from providers.base import PushMessage, SendReceipt, Target
from providers.breaker import Breaker
from providers.errors import CredentialTrouble, DeadToken, Rejected
from providers.exchange import Exchange
from providers.http import HttpClient
from providers.webpush_verdict import receipt

#: Bytes of JSON: encrypted they are 4096, which is all that a push service has to take (RFC 8030, section 7.2).
MAX_PAYLOAD = 3993
MAX_TTL = 2_419_200
#: Seconds for which one signature is used. It stays good for as long again; a push service allows 24 h in all.
SIGNED_FOR = 6 * 3600
#: Push services that are remembered. There are some five; more are somebody's joke.
MAX_SERVICES = 256

#: A name in the public DNS: no digits that are an address, no user, nothing that two readers could read in two ways.
_PUBLIC = re.compile(r"(https)://((?:[a-z0-9-]+\.)+[a-z][a-z0-9-]*)(:[1-9][0-9]{0,4})?(/[!-~]+)", re.IGNORECASE)
_LOOPBACK = re.compile(r"(http)://(127\.0\.0\.1|localhost)(:[1-9][0-9]{0,4})?(/[!-~]+)")
_PRIVATE = (".localhost", ".local", ".internal")


def build(
    http: HttpClient,
    *,
    private_key: str,
    subject: str,
    loopback: bool = False,
    fail_max: int = 5,
    reset_timeout: float = 60.0,
) -> Webpush:
    """The provider from plain values: the VAPID key, and `mailto:` or `https:` where its owner can be reached.

    Each push service has a breaker, which opens after `fail_max` failures in a row, for `reset_timeout` s. With
    `loopback` a subscription may name this very machine. Raises ValueError for a key that is none.
    """
    return Webpush(http, signer(private_key), subject, (fail_max, reset_timeout), loopback=loopback)


def signer(private_key: str) -> Vapid02:
    """The VAPID key, from 32 bytes in base64url or from PEM. Raises ValueError, which does not quote it."""
    try:
        pem = "-----BEGIN" in private_key
        key = Vapid02.from_pem(private_key.strip().encode()) if pem else Vapid02.from_string(private_key)
        curve = key.private_key.curve.name
    except Exception:  # noqa: BLE001 - the library lets through whatever base64, DER and OpenSSL think of
        raise ValueError("is not a private key: 32 bytes in base64url, or PEM") from None
    if curve != "secp256r1":
        raise ValueError(f"is a key of the curve {curve}, and Web Push knows P-256 only")
    return Vapid02(key.private_key, {"no-strict": True})  # else it refuses an https subject that has a path


def public_key(vapid: Vapid02) -> str:
    """What a browser is given as `applicationServerKey`."""
    point = vapid.public_key.public_numbers()
    raw = b"\4" + point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


@dataclass(frozen=True, slots=True)
class Subscription:
    """A browser's PushSubscription. Whoever knows the endpoint can push to it."""

    origin: str
    path: str = field(repr=False)
    endpoint: str = field(repr=False)
    keys: dict[str, str] = field(repr=False)


class Webpush:
    """Sends with one VAPID key. Timeouts, network faults and 5xx open the breaker of their push service alone."""

    name = "webpush"
    targets: frozenset[Target] = frozenset({"subscription"})

    def __init__(
        self, http: HttpClient, vapid: Vapid02, subject: str, patience: tuple[int, float], *, loopback: bool
    ) -> None:
        self._http = http
        self._vapid = vapid
        self._subject = subject
        self._patience = patience
        self._loopback = loopback
        self._exchanges: OrderedDict[str, Exchange] = OrderedDict()
        self._signed = lru_cache(MAX_SERVICES)(self._sign)
        self._trouble = ""

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        subscription = read_subscription(message.device_token, loopback=self._loopback)
        body = _encrypted(encode(message), subscription)
        period = int(message.sent_at or time.time()) // SIGNED_FOR
        headers = headers_of(message) | {"Authorization": self._signed(subscription.origin, period)}
        if message.dry_run:
            return SendReceipt("dry-run", 0)
        try:
            accepted = await self._exchange(subscription.origin).post(subscription.endpoint, headers, body)
        except CredentialTrouble as trouble:
            self._trouble = f"{subscription.origin}: {trouble.advice}"
            raise
        except ValueError:  # it looks like an address, and is none: xn--
            raise _unusable("its endpoint is no address") from None
        self._trouble = ""
        return SendReceipt(_name(accepted.provider_message_id, subscription), accepted.http_status)

    def mended(self) -> bool:
        """The key is a setting: it does not change while the process lives."""
        return False

    def health(self) -> dict[str, Any]:
        """`ok`, the breaker that holds sends back for longest, and who refused our signature if nobody took it since.

        An open breaker whose time is up holds nothing back: nobody has sent there since.
        """
        holding = [exchange.breaker for exchange in self._exchanges.values() if exchange.breaker.retry_after > 0]
        worst = max(holding, key=lambda breaker: breaker.retry_after, default=Breaker(self.name, *self._patience))
        return {
            "ok": not holding and not self._trouble,
            "breaker": worst.snapshot(),
            "credentials": self._trouble or "ok",
        }

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _exchange(self, origin: str) -> Exchange:
        """With the breaker of that push service; of too many, the one is forgotten that was used longest ago."""
        if origin not in self._exchanges:
            breaker = Breaker(f"{self.name} {origin}", *self._patience)
            who = f"The push service {origin}"
            self._exchanges[origin] = Exchange(self._http, breaker, receipt, code=self.name, who=who)
        self._exchanges.move_to_end(origin)
        if len(self._exchanges) > MAX_SERVICES:
            self._exchanges.popitem(last=False)
        return self._exchanges[origin]

    def _sign(self, origin: str, period: int) -> str:
        """The proof for one push service, to be used in one period of SIGNED_FOR seconds since 1970."""
        claims = {"aud": origin, "exp": (period + 2) * SIGNED_FOR, "sub": self._subject}
        return str(self._vapid.sign(claims)["Authorization"])


def read_subscription(text: str, *, loopback: bool = False) -> Subscription:
    """Raises DeadToken for what no push service gave, or what leads to where none is."""
    try:
        document = orjson.loads(text)
        endpoint = document["endpoint"]
        keys = {"p256dh": _key(document["keys"]["p256dh"], 65), "auth": _key(document["keys"]["auth"], 16)}
        place = _PUBLIC.fullmatch(endpoint) or (_LOOPBACK.fullmatch(endpoint) if loopback else None)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise _unusable("it lacks an endpoint or proper keys") from None
    if place is None or place[2].lower().endswith(_PRIVATE) or int((place[3] or ":443")[1:]) > 65535:
        raise _unusable("its endpoint is not an https address of a public name")
    port = place[3] if place[3] not in (None, ":443") else ""
    return Subscription(f"{place[1]}://{place[2]}{port}".lower(), place[4], endpoint, keys)


def encode(message: PushMessage) -> bytes:
    """What the service worker gets, as JSON; raises Rejected."""
    document: dict[str, Any] = {} if message.data_only else {"notification": _shown(message)}
    try:
        if message.data:
            document["data"] = {key: _text(value) for key, value in message.data.items()}
        payload = orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise Rejected("invalid_text", "The message has text that is not valid Unicode.") from None
    if len(payload) > MAX_PAYLOAD:
        advice = f"Title, body, image and data have {len(payload)} bytes as JSON, Web Push takes {MAX_PAYLOAD}."
        raise Rejected("payload_too_large", advice)
    return payload


def headers_of(message: PushMessage) -> dict[str, str]:
    """All but who we are. Of two messages with one topic that wait, the service keeps the later: a repeat is one."""
    topic = hashlib.sha256(message.replaces.encode(errors="replace")).digest()[:24]
    return {
        "TTL": str(min(max(int(message.ttl), 0), MAX_TTL)),
        "Urgency": "high" if message.high_priority else "normal",
        "Topic": base64.urlsafe_b64encode(topic).decode(),
        "Content-Encoding": "aes128gcm",
        "Content-Type": "application/octet-stream",
    }


def _shown(message: PushMessage) -> dict[str, str]:
    """For `showNotification`. What a tap does, a service worker does: `link` is an address, `click_action` a name."""
    tap = message.link or message.click_action
    more = {"image": message.image, "link" if tap and "://" in tap else "click_action": tap}
    shown = {"title": message.title, "body": message.body, "tag": message.replaces}
    return shown | {key: value for key, value in more.items() if value}


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _encrypted(payload: bytes, subscription: Subscription) -> bytes:
    """0.15 ms, most of it a key that is made for this message alone. Raises DeadToken."""
    try:
        pusher = WebPusher({"endpoint": subscription.endpoint, "keys": subscription.keys})
        return bytes(pusher.encode(payload)["body"])
    except ValueError:
        raise _unusable("its key is no point of the curve") from None


def _key(text: str, size: int) -> str:
    """The key as browsers write it, where somebody has padded it or used + and /; raises ValueError by its size."""
    plain = text.rstrip("=").replace("+", "-").replace("/", "_")
    if len(base64.urlsafe_b64decode(plain + "==")) != size:
        raise ValueError
    return plain


def _name(location: str, subscription: Subscription) -> str:
    """The service's name for the message, unless it would give the endpoint away: then only who accepted it."""
    secret = subscription.path.rpartition("/")[2] or subscription.path
    return location if location and secret not in location else f"{subscription.origin}/ (accepted without a name)"


def _unusable(why: str) -> DeadToken:
    return DeadToken("invalid_subscription", f"This is not a Web Push subscription: {why}. Forget it.")
