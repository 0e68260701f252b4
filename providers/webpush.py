"""Web Push: an encrypted message to the push service that the user's browser has chosen.

Delivery is RFC 8030, the encryption RFC 8291, the proof of who we are (VAPID) RFC 8292. There is no dry run: everything
is checked and encrypted, nothing is sent, and the receipt is named `dry-run`, with the status 0.
"""

from __future__ import annotations

import base64
import time
from functools import lru_cache
from typing import Any

from py_vapid import Vapid02

from providers.base import PushMessage, SendReceipt, Target
from providers.errors import CredentialTrouble
from providers.http import HttpClient
from providers.webpush_message import encode, headers_of
from providers.webpush_services import MAX_SERVICES, Services
from providers.webpush_subscription import Subscription, encrypted, read_subscription, unusable

#: Seconds for which one signature is used. It stays good for as long again; a push service allows 24 h in all.
SIGNED_FOR = 6 * 3600


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
    services = Services(http, Webpush.name, (fail_max, reset_timeout))
    return Webpush(signer(private_key), subject, services, loopback=loopback)


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


class Webpush:
    """Sends with one VAPID key. Timeouts, network faults and 5xx open the breaker of their push service alone."""

    name = "webpush"
    targets: frozenset[Target] = frozenset({"subscription"})

    def __init__(self, vapid: Vapid02, subject: str, services: Services, *, loopback: bool) -> None:
        self._vapid = vapid
        self._subject = subject
        self._services = services
        self._loopback = loopback
        self._signed = lru_cache(MAX_SERVICES)(self._sign)

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        subscription = read_subscription(message.device_token, loopback=self._loopback)
        body = encrypted(encode(message), subscription)
        period = int(message.sent_at or time.time()) // SIGNED_FOR
        headers = headers_of(message) | {"Authorization": self._signed(subscription.origin, period)}
        if message.dry_run:
            return SendReceipt("dry-run", 0)
        service = self._services.at(subscription.origin)
        try:
            accepted = await service.exchange.post(subscription.endpoint, headers, body)
        except CredentialTrouble as trouble:
            service.refusal = trouble.advice
            raise
        except ValueError:  # it looks like an address, and is none: xn--
            raise unusable("its endpoint is no address") from None
        service.refusal = ""
        return SendReceipt(_name(accepted.provider_message_id, subscription), accepted.http_status)

    def mended(self) -> bool:
        """The key is a setting: it does not change while the process lives."""
        return False

    def health(self) -> dict[str, Any]:
        """What its push services make of us."""
        return self._services.health()

    async def close(self) -> None:
        """There is nothing to let go of."""

    def _sign(self, origin: str, period: int) -> str:
        """The proof for one push service, to be used in one period of SIGNED_FOR seconds since 1970."""
        claims = {"aud": origin, "exp": (period + 2) * SIGNED_FOR, "sub": self._subject}
        return str(self._vapid.sign(claims)["Authorization"])


def _name(location: str, subscription: Subscription) -> str:
    """The service's name for the message, unless it would give the endpoint away: then only who accepted it."""
    secret = subscription.path.rpartition("/")[2] or subscription.path
    return location if location and secret not in location else f"{subscription.origin}/ (accepted without a name)"
