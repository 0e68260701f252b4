"""Where the services around us put things: the first place that has something wins, in a message and in an answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from typing import Any

#: For each object, the keys that lead to it and the names to look for in it: it is gone to once for all of them.
Places = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def _places(text: str) -> Places:
    """Places separated by spaces. A dot leads into an object."""
    split = [place.rpartition(".") for place in text.split()]
    return tuple(
        (tuple(keys.split(".")) if keys else (), tuple(name for _, _, name in together))
        for keys, together in groupby(split, key=lambda place: place[0])
    )


def _within(objects: str, names: str) -> str:
    """Each name in each of the objects, by object; `.` is the document itself."""
    return " ".join(f"{place}.{name}".lstrip(".") for place in objects.split() for name in names.split())


#: The fields of a message.
MESSAGE = {
    "notification_id": _places("notification_id request_id message_id id"),
    "request_id": _places("request_id"),
    "topic": _places("topic"),
    "user_id": _places("user_id user.id recipient_id metadata.user_id"),
    "template_id": _places("template_id template_code template.slug template_name"),
    "template_code": _places("template_code template.slug template_name"),
    "title": _places(
        "title template.subject template.title template_data.subject template_data.title template_subject"
    ),
    "body": _places("body template.body template_data.body template_content"),
    "variables": _places("variables context"),
    "priority": _places("priority"),
    "metadata": _places("metadata data"),
    "image": _places("image image_url"),
    "link": _places("link"),
    "click_action": _places("click_action"),
    "badge": _places("badge"),
    "sound": _places("sound"),
    "channel_id": _places("channel_id android_channel_id"),
    "collapse_key": _places("collapse_key"),
    "analytics_label": _places("analytics_label"),
    "data_only": _places("data_only"),
    "dry_run": _places("dry_run validate_only"),
    "ttl": _places("ttl"),
    "expires_at": _places("expires_at"),
    "language": _places("language locale"),
    "correlation_id": _places("correlation_id"),
    "guarantee": _places("guarantee"),
}

_TOKENS = (
    "device_tokens push_tokens push_token device_token user_push_token fcm_token "
    "deviceTokens pushTokens pushToken deviceToken"
)

#: Device tokens that a message brings along, one or a list; and where there may be one, or any other address.
MESSAGE_TOKENS = _places(_within(". delivery user user_data", _TOKENS))
MESSAGE_ADDRESSES = _places("recipient to")

#: Device tokens in an answer of the user service, one or a list. `token` alone says least, and so comes last.
ANSWER_TOKENS = _places(_within(". user devices", _TOKENS))
ANSWER_DEVICES = _places("devices user.devices")
ANSWER_BARE_TOKENS = _places(_within(". user devices", "tokens token"))

#: Whether a user wants pushes.
PUSH_FLAGS = _places(
    _within(
        "preferences preference . user.preferences user.preference user",
        "push push_enabled push_notifications allow_push pushEnabled",
    )
)

#: One of these is in every answer about a user; one without any is about something else.
USER = _places(_within(". user", "id user_id email devices") + " user preferences preference")
USER += PUSH_FLAGS + ANSWER_TOKENS + ANSWER_BARE_TOKENS

#: The text of a rendered template; `NAMES` are read where an answer has no place for a title, `HTML_BODIES` where none
#: of `BODIES` has a text.
TITLES = _places("title subject content.title")
NAMES = _places("name")
BODIES = _places("body body_text content.body content")
HTML_BODIES = _places("body_html html")


def found(document: Any, places: Places) -> Iterator[Any]:
    """Every value that is there and not blank, in the order of the places."""
    for node, names in _objects(document, places):
        for name in names:
            if not is_blank(value := node.get(name)):
                yield value


def first(document: Any, places: Places) -> Any:
    """The first of these values, None where there is none. Without a generator: 26 times for every message."""
    for keys, names in places:
        node = document
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            for name in names:
                if not is_blank(value := node.get(name)):
                    return value
    return None


def has_place(document: Any, places: Places) -> bool:
    """Whether any of these places is there, blank or not."""
    return any(name in node for node, names in _objects(document, places) for name in names)


def _objects(document: Any, places: Places) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The objects that are there, each with the names to look for in it."""
    for keys, names in places:
        node = document
        for key in keys:
            node = node.get(key) if isinstance(node, dict) else None
        if isinstance(node, dict):
            yield node, names


def is_blank(value: object) -> bool:
    """Blank texts are how some people leave a field out."""
    return value is None or (isinstance(value, str) and not value.strip())
