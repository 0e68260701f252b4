"""A user's devices, as the user service or a message lists them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson

from deliveries.neighbours.spellings import first, found, has_place, is_blank, spelled
from providers.base import Target

#: More devices than any person has; what lies beyond is a fault of the user service, or somebody's joke.
MAX_DEVICES = 100
#: FCM's have some 200. The ledger has them in an index, whose entries end at 2700 bytes.
MAX_TOKEN_BYTES = 2048

#: What people call a device's token, and that it is in use. A browser's subscription stands there too.
TOKEN = spelled("token push_token device_token fcm_token pushToken deviceToken")
SUBSCRIPTION = "subscription"
USUAL_PLATFORM = {"subscription": "web"}
ACTIVE = spelled("is_active isActive active")
#: A Firebase installation id. Others use the words for ids of their own.
INSTALLATION = spelled("fid installation_id")
FID = re.compile(r"[cdef][\w-]{21}", re.ASCII)
#: When the app registered its token last.
REGISTERED = spelled("registered_at registeredAt token_updated_at tokenUpdatedAt")


@dataclass(frozen=True, slots=True)
class Device:
    """One of the user's devices; `token` is what `target` says. `registered_at`: when, where that is known."""

    token: str = field(repr=False)
    platform: str = ""
    target: Target = "token"
    registered_at: datetime | None = None


def devices_in(value: Any) -> list[Device]:
    """One token or a list of them, as texts or as objects; each active device once.

    A browser's PushSubscription, as an object or as its JSON, is a device like any other: its token is that JSON.
    A token that cannot be one costs its own device alone. Raises ValueError where there is nothing else.
    """
    entries = value if isinstance(value, list) else [value]
    devices: dict[str, Device] = {}
    unusable = False
    for entry in entries:
        fields = entry if isinstance(entry, dict) else {"token": entry}
        token, target = _address(fields)
        if is_blank(token) or any(flag is False for flag in found(fields, ACTIVE)):
            continue
        if _is_token(token):
            platform = fields.get("platform") or fields.get("device_type") or USUAL_PLATFORM.get(target)
            devices.setdefault(token, Device(token, _platform(platform), target, _registered_at(fields)))
        else:
            unusable = True
    if unusable and not devices:
        raise ValueError(f"device tokens that are not text of up to {MAX_TOKEN_BYTES} bytes")
    return list(devices.values())[:MAX_DEVICES]


def tokens_among(addresses: Any) -> list[str]:
    """What may be device tokens among addresses of any kind, one or a list."""
    some = addresses if isinstance(addresses, list) else [addresses]
    return [address for address in some if isinstance(address, str) and "@" not in address]


def _address(fields: dict[str, Any]) -> tuple[Any, Target]:
    """Where it is reached, and what that is.

    An installation id wins over a token, which Google deprecates for it, if it has the shape of one: a good token is
    not lost for an id of somebody's own.
    """
    token = _token(fields)
    if subscription := _subscription(token):
        return subscription, "subscription"
    if fields.get("target") == "fid":  # as the ledger has it
        return token, "fid"
    ids = found(fields, INSTALLATION)
    proper = [id for id in ids if FID.fullmatch(str(id))]
    if proper or (ids and not isinstance(token, str)):
        return (proper or ids)[0], "fid"
    return token, "token"


def _token(fields: dict[str, Any]) -> Any:
    """Whatever stands where the token should, None where that is blank, the object itself where there is no place."""
    token = first(fields, TOKEN)
    if token is None and _subscription(fields.get(SUBSCRIPTION)):  # and no word for what the user pays
        return fields[SUBSCRIPTION]
    return fields if token is None and not has_place(fields, TOKEN) else token


def _subscription(value: Any) -> str:
    """What is needed of a browser's PushSubscription, the same text however it was written; "" where it is none."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return ""
    keys = value.get("keys") if isinstance(value, dict) else None
    if not isinstance(keys, dict):
        return ""
    parts = {"endpoint": value.get("endpoint"), "keys": {name: keys.get(name) for name in ("p256dh", "auth")}}
    if not all(isinstance(part, str) for part in (parts["endpoint"], *parts["keys"].values())):
        return ""
    return orjson.dumps(parts, option=orjson.OPT_SORT_KEYS).decode()


def _is_token(value: Any) -> bool:
    return isinstance(value, str) and "\0" not in value and len(value.encode()) <= MAX_TOKEN_BYTES


def _registered_at(fields: dict[str, Any]) -> datetime | None:
    """ISO 8601, in UTC where it names no time zone. What is no time says nothing."""
    said = first(fields, REGISTERED)
    if not isinstance(said, str):
        return None
    try:
        time = datetime.fromisoformat(said)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _platform(value: Any) -> str:
    """Somebody else's word for the kind of device, safe to store and to show."""
    return "".join(filter(str.isprintable, str(value or "")))[:32]
