"""How producers write a push request: what of their message is which field of ours."""

from __future__ import annotations

from itertools import chain
from typing import Any

from deliveries.neighbours.devices import tokens_among
from deliveries.neighbours.spellings import MESSAGE, MESSAGE_ADDRESSES, MESSAGE_TOKENS, first, found
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
    fields = {field: value for field, paths in MESSAGE.items() if (value := first(document, paths)) is not None}
    if is_variables:
        fields.setdefault("variables", template_data)
    if fields.get("template_code") == fields.get("template_id"):  # one name, however it was called
        fields.pop("template_code", None)
    return fields | _tapped(fields.pop("link", None), fields.pop("click_action", None))


def tokens_of(document: dict[str, Any]) -> dict[str, Any]:
    """The device tokens that it brings along, {} where there are none."""
    tokens = (value for value in found(document, MESSAGE_TOKENS) if value != [])
    said = next(chain(tokens, filter(None, map(tokens_among, found(document, MESSAGE_ADDRESSES)))), None)
    return {} if said is None else {"device_tokens": said}


def _is_content(template_data: dict[str, Any], document: dict[str, Any]) -> bool:
    """Whether it is a text, rather than the variables of a template that is named beside it."""
    if "body" not in template_data:
        return False
    return "subject" in template_data or "title" in template_data or first(document, MESSAGE["template_id"]) is None


def _tapped(link: Any, click_action: Any) -> dict[str, Any]:
    """What a tap does: an address is a link and a name an action, whichever of the two it was called."""
    if not _leads_somewhere(link) and (click_action is None or _leads_somewhere(click_action)):
        link, click_action = click_action, link
    said = {"link": link, "click_action": click_action}
    return {field: value for field, value in said.items() if value is not None}


def _leads_somewhere(value: Any) -> bool:
    return isinstance(value, str) and is_address(value)
