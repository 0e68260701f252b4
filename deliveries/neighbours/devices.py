"""A user's devices, as the user service or a message lists them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

#: More devices than any person has; what lies beyond is a fault of the user service, or somebody's joke.
MAX_DEVICES = 100
#: FCM's have some 200. The ledger has them in an index, whose entries end at 2700 bytes.
MAX_TOKEN_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Device:
    """One of the user's devices."""

    token: str = field(repr=False)
    platform: str = ""


def devices_in(value: Any) -> list[Device]:
    """One token or a list of them, as texts or as objects; each active device once. Raises ValueError."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    devices: dict[str, Device] = {}
    for entry in entries[:MAX_DEVICES]:
        fields = entry if isinstance(entry, dict) else {"token": entry}
        token = fields.get("token")
        if not isinstance(token, str) or not _is_token(token):
            raise ValueError(f"device tokens that are not text of up to {MAX_TOKEN_BYTES} bytes")
        if fields.get("is_active") is not False:
            platform = fields.get("platform") or fields.get("device_type")
            devices.setdefault(token, Device(token, _platform(platform)))
    return list(devices.values())


def _is_token(text: str) -> bool:
    return bool(text.strip()) and "\0" not in text and len(text.encode()) <= MAX_TOKEN_BYTES


def _platform(value: Any) -> str:
    """Somebody else's word for the kind of device, safe to store and to show."""
    return "".join(filter(str.isprintable, str(value or "")))[:32]
