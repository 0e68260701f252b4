"""What providers say of a push in the same way: what it shows, what a tap does, its data, its lifetime."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

from providers.base import PushMessage, is_address
from providers.errors import Rejected

#: Seconds: four weeks, for FCM and for push services alike.
MAX_TTL = 2_419_200

#: What a browser may be sent to: nothing that is unencrypted, runs a script, or hides where it leads.
_PAGE = re.compile(r"https://[\w.-]*\w(:[0-9]+)?([/?#].*)?")


def as_json(document: dict[str, Any]) -> bytes:
    """Raises Rejected for text that is no Unicode."""
    try:
        return orjson.dumps(document)
    except orjson.JSONEncodeError:
        raise Rejected("invalid_text", "The message has text that is not valid Unicode.") from None


def notification_of(message: PushMessage) -> dict[str, Any]:
    """What every phone and every browser shows."""
    notification = {"title": message.title, "body": message.body}
    if message.image:
        notification["image"] = message.image
    return notification


def data_of(message: PushMessage) -> dict[str, str]:
    """What the app gets: text as it is, anything else as its JSON."""
    return {key: value if isinstance(value, str) else _json(value) for key, value in message.data.items()}


def lifetime(message: PushMessage) -> int:
    """Seconds, within what is taken."""
    return min(max(int(message.ttl), 0), MAX_TTL)


def address_of(message: PushMessage) -> str | None:
    """The address that a tap opens; None where there is none."""
    for said in (message.link, message.click_action):
        if said and is_address(said):
            return said
    return None


def page_of(message: PushMessage) -> str | None:
    """The address that a tap opens in a browser; None where there is none that a browser may be sent to."""
    address = address_of(message)
    return address if address and _PAGE.fullmatch(address) else None


def action_of(message: PushMessage) -> str | None:
    """The action that a tap starts; None where there is none. As one, an address would make a tap do nothing."""
    for said in (message.click_action, message.link):
        if said and not is_address(said):
            return said
    return None


def given(fields: dict[str, Any]) -> dict[str, Any]:
    """Those of the fields that say something. Zero does: it takes a badge away."""
    return {name: value for name, value in fields.items() if value not in (None, "")}


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
