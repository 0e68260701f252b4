"""Browsers of this world: their Web Push subscriptions, and the keys to them, follow from the id in the endpoint."""

from __future__ import annotations

import base64
import hashlib
from functools import lru_cache
from typing import Any
from urllib.parse import quote

import http_ece
import orjson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

#: Of P-256: how many private keys there are, and one.
_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def subscription(id: str, base: str) -> dict[str, Any]:
    """What `PushSubscription.toJSON()` gives in that browser."""
    point = _private_key(id).public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return {
        "endpoint": f"{base}/push/{quote(id, safe='')}",
        "expirationTime": None,
        "keys": {"p256dh": _letters(point), "auth": _letters(_auth(id))},
    }


def device_token(id: str, base: str) -> str:
    """As a sender knows it: without what is not needed to send, and always in the same order."""
    whole = subscription(id, base)
    return orjson.dumps({"endpoint": whole["endpoint"], "keys": whole["keys"]}, option=orjson.OPT_SORT_KEYS).decode()


def decrypted(id: str, body: bytes) -> Any:
    """The JSON that came for that browser; raises ValueError for what it could not read."""
    try:
        return orjson.loads(http_ece.decrypt(body, private_key=_private_key(id), auth_secret=_auth(id)))
    except (http_ece.ECEException, TypeError, IndexError) as wrong:
        raise ValueError("the browser cannot decrypt it") from wrong


@lru_cache(maxsize=4096)
def _private_key(id: str) -> ec.EllipticCurvePrivateKey:
    number = int.from_bytes(hashlib.sha512(f"p256dh|{id}".encode()).digest(), "big")
    return ec.derive_private_key(number % (_ORDER - 1) + 1, ec.SECP256R1())


def _auth(id: str) -> bytes:
    return hashlib.sha256(f"auth|{id}".encode()).digest()[:16]


def _letters(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
