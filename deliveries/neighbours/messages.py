"""How producers write a push request: what of their message is which field of ours."""

from __future__ import annotations

from functools import lru_cache
from itertools import chain
from typing import Any

from deliveries.neighbours.devices import tokens_among
from deliveries.neighbours.spellings import (
    MESSAGE,
    MESSAGE_ADDRESSES,
    MESSAGE_TOKENS,
    Places,
    first,
    found,
    within_reach,
)
from providers.base import is_address


def unwrapped(document: object) -> object:
    """Some gateways wrap the message as {"pattern": …, "data": {…}}."""
    if isinstance(document, dict) and "pattern" in document and isinstance(document.get("data"), dict):
        return document["data"]
    return document


def fields_of(document: dict[str, Any]) -> dict[str, Any]:
    """What it says of each field but the device tokens."""
    template_data = document.get("template_data")
    is_variables = isinstance(template_data, dict) and not _is_content(template_data, document)
    if is_variables:  # its `subject` or `body` is a variable, no text
        document = {**document, "template_data": None}
    said = ((field, first(document, places)) for field, places in _fields_in(tuple(document)))
    fields = {field: value for field, value in said if value is not None}
    if is_variables:
        fields.setdefault("variables", template_data)
    if fields.get("template_code") == fields.get("template_id"):  # one name, however it was called
        fields.pop("template_code", None)
    return tapped(fields)


@lru_cache(maxsize=64)
def _fields_in(keys: tuple[str, ...]) -> list[tuple[str, Places]]:
    """The fields of which an object with these keys may say anything, and where.

    One producer's messages are all alike: to look for every field in each took half of the time of reading it.
    """
    reached = ((field, within_reach(places, frozenset(keys))) for field, places in MESSAGE.items())
    return [(field, places) for field, places in reached if places]


def tapped(fields: dict[str, Any]) -> dict[str, Any]:
    """What a tap does: an address is a link and a name an action, whichever of the two it was called."""
    if "link" not in fields and "click_action" not in fields:
        return fields
    link, click_action = fields.get("link"), fields.get("click_action")
    moves = isinstance(link, str | None) and not _leads_somewhere(link)
    if not moves or not (click_action is None or _leads_somewhere(click_action)):
        return fields
    said = {"link": click_action, "click_action": link}
    others = {field: value for field, value in fields.items() if field not in said}
    return others | {field: value for field, value in said.items() if value is not None}


def tokens_of(document: dict[str, Any]) -> dict[str, Any]:
    """The device tokens that it brings along, {} where there are none."""
    tokens = (value for value in found(document, MESSAGE_TOKENS) if value != [])
    is_to_topic = first(document, MESSAGE["topic"]) is not None  # what else it is addressed to is the topic again
    addresses = () if is_to_topic else found(document, MESSAGE_ADDRESSES)
    said = next(chain(tokens, filter(None, map(tokens_among, addresses))), None)
    return {} if said is None else {"device_tokens": said}


def _is_content(template_data: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether it is a text, rather than the variables of a template that is named beside it."""
    if "body" not in template_data:
        return False
    return "subject" in template_data or "title" in template_data or first(document, MESSAGE["template_id"]) is None


def _leads_somewhere(value: Any) -> bool:
    return isinstance(value, str) and is_address(value)
