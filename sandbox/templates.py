"""The few texts that the template service knows, and how it fills them in."""

from __future__ import annotations

import re
from typing import Any

TEXTS = {
    "welcome": ("Welcome, {{name}}!", "Good to have you here. Your account is ready."),
    "otp": ("Your code is {{code}}", "It is good for ten minutes. Share it with nobody."),
    "order_shipped": ("Your parcel is on its way", "Order {{order_id}} left our house today."),
    "payment_received": ("Payment received", "Thank you, {{name}}. We have got {{amount}}."),
    "password_reset": ("Reset your password", "Somebody, hopefully you, asked for a new one."),
}
GENERIC = ("News for {{name}}", "There is something new waiting for you.")
_USUAL = {"name": "you", "code": "493 027", "order_id": "A-1042", "amount": "49.00"}
_PLACE = re.compile(r"\{\{\s*([A-Za-z_][A-Za-z0-9_.-]*)\s*\}\}")


def render(template: str, variables: dict[str, Any]) -> dict[str, str]:
    """`title` and `body`; a variable that is neither given nor usual stays visible."""
    title, body = TEXTS.get(template, GENERIC)
    return {"title": _filled(title, variables), "body": _filled(body, variables)}


def _filled(text: str, variables: dict[str, Any]) -> str:
    known = {**_USUAL, "name": variables.get("user_name") or _USUAL["name"], **variables}
    return _PLACE.sub(lambda place: str(known.get(place[1], place[0])), text)
