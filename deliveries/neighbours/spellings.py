"""Where the services around us put things: the first place that has something wins, in a message and in an answer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Path = tuple[str, ...]


def _paths(text: str) -> tuple[Path, ...]:
    """Places separated by spaces. A dot leads into an object."""
    return tuple(tuple(place.split(".")) for place in text.split())


def _within(objects: str, names: str) -> str:
    """Each name in each of the objects, by object; `.` is the document itself."""
    return " ".join(f"{place}.{name}".lstrip(".") for place in objects.split() for name in names.split())


#: The fields of a message.
MESSAGE = {
    "notification_id": _paths("notification_id request_id message_id id"),
    "request_id": _paths("request_id"),
    "user_id": _paths("user_id user.id recipient_id metadata.user_id"),
    "template_id": _paths("template_id template_code template.slug template_name"),
    "title": _paths("title template.subject template.title template_data.subject template_subject"),
    "body": _paths("body template.body template_data.body template_content"),
    "variables": _paths("variables context"),
    "priority": _paths("priority"),
    "metadata": _paths("metadata data"),
    "image": _paths("image image_url"),
    "link": _paths("link click_action"),
    "ttl": _paths("ttl"),
    "expires_at": _paths("expires_at"),
    "language": _paths("language locale"),
    "correlation_id": _paths("correlation_id"),
    "guarantee": _paths("guarantee"),
}

_TOKENS = "device_tokens push_tokens push_token device_token user_push_token fcm_token"

#: Device tokens that a message brings along, one or a list.
MESSAGE_TOKENS = _paths(f"{_within('. delivery user user_data', _TOKENS)} recipient to")

#: Device tokens in an answer of the user service, one or a list. `token` alone says least, and so comes last.
ANSWER_TOKENS = _paths(_within(". user devices", _TOKENS))
ANSWER_DEVICES = _paths("devices user.devices")
ANSWER_BARE_TOKENS = _paths(_within(". user devices", "tokens token"))

#: Whether a user wants pushes.
PUSH_FLAGS = _paths(_within("preferences preference .", "push push_enabled push_notifications allow_push pushEnabled"))

#: The text of a rendered template; `HTML_BODIES` are read where none of `BODIES` has a text.
TITLES = _paths("title subject content.title name")
BODIES = _paths("body body_text content content.body")
HTML_BODIES = _paths("body_html")


def found(document: Any, paths: tuple[Path, ...]) -> Iterator[Any]:
    """Every value that is there and not blank, in the order of the paths."""
    for path in paths:
        value = document
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if not is_blank(value):
            yield value


def first(document: Any, paths: tuple[Path, ...]) -> Any:
    """The first of these values, None where there is none."""
    return next(found(document, paths), None)


def is_blank(value: object) -> bool:
    """Blank texts are how some people leave a field out."""
    return value is None or (isinstance(value, str) and not value.strip())
