"""Where the services around us put things: the first place that has something wins, in a message and in an answer."""

from __future__ import annotations

from itertools import groupby
from typing import Any

#: What is found where there is no object.
NO_OBJECT: dict[str, Any] = {}

#: For each object, the keys that lead to it and the names to look for in it: it is gone to once for all of them.
Places = tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]


def spelled(text: str) -> Places:
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
    "notification_id": spelled("notification_id request_id message_id id"),
    "request_id": spelled("request_id"),
    "topic": spelled("topic"),
    "user_id": spelled("user_id user.id recipient_id metadata.user_id"),
    "template_id": spelled("template_id template_code template.slug template_name"),
    "template_code": spelled("template_code template.slug template_name"),
    "title": spelled(
        "title template.subject template.title template_data.subject template_data.title template_subject"
    ),
    "body": spelled("body template.body template_data.body template_content"),
    "variables": spelled("variables context"),
    "priority": spelled("priority"),
    "metadata": spelled("metadata data"),
    "image": spelled("image image_url"),
    "link": spelled("link"),
    "click_action": spelled("click_action"),
    "badge": spelled("badge"),
    "sound": spelled("sound"),
    "channel_id": spelled("channel_id android_channel_id"),
    "collapse_key": spelled("collapse_key"),
    "analytics_label": spelled("analytics_label"),
    "data_only": spelled("data_only"),
    "dry_run": spelled("dry_run validate_only"),
    "ttl": spelled("ttl"),
    "expires_at": spelled("expires_at"),
    "language": spelled("language locale"),
    "correlation_id": spelled("correlation_id"),
    "guarantee": spelled("guarantee"),
}

_TOKENS = (
    "device_tokens push_tokens push_token device_token user_push_token fcm_token "
    "deviceTokens pushTokens pushToken deviceToken"
)

#: Device tokens that a message brings along, one or a list; and where there may be one, or any other address.
MESSAGE_TOKENS = spelled(_within(". delivery user user_data", _TOKENS))
MESSAGE_ADDRESSES = spelled("recipient to")

#: Device tokens in an answer of the user service, one or a list. `token` alone says least, and so comes last.
ANSWER_TOKENS = spelled(_within(". user devices", _TOKENS))
ANSWER_DEVICES = spelled("devices user.devices")
ANSWER_BARE_TOKENS = spelled(_within(". user devices", "tokens token"))

#: Whether a user wants pushes.
PUSH_FLAGS = spelled(
    _within(
        "preferences preference . user.preferences user.preference user",
        "push push_enabled push_notifications allow_push pushEnabled",
    )
)

#: One of these is in every answer about a user; one without any is about something else.
USER = spelled(_within(". user", "id user_id email devices") + " user preferences preference")
USER += PUSH_FLAGS + ANSWER_TOKENS + ANSWER_BARE_TOKENS

#: The text of a rendered template; `NAMES` are read where an answer has no place for a title, `HTML_BODIES` where none
#: of `BODIES` has a text.
TITLES = spelled("title subject content.title")
NAMES = spelled("name")
BODIES = spelled("body body_text content.body content")
HTML_BODIES = spelled("body_html html")


def found(document: Any, places: Places) -> list[Any]:
    """Every value that is there and not blank, in the order of the places."""
    return [
        value
        for keys, names in places
        if (node := _object(document, keys))
        for name in names
        if (value := node.get(name)) is not None and not is_blank(value)
    ]


def first(document: Any, places: Places) -> Any:
    """The first of these values, None where there is none. It looks no further."""
    for keys, names in places:
        if node := _object(document, keys):
            for name in names:
                if (value := node.get(name)) is not None and not is_blank(value):
                    return value
    return None


def has_place(document: Any, places: Places) -> bool:
    """Whether any of these places is there, blank or not."""
    return any(not _object(document, keys).keys().isdisjoint(names) for keys, names in places)


def within_reach(places: Places, keys: frozenset[str]) -> Places:
    """Those of the places that an object with just these keys can have."""
    own = ((path, tuple(name for name in names if path or name in keys)) for path, names in places)
    return tuple((path, names) for path, names in own if names and (not path or path[0] in keys))


def is_blank(value: object) -> bool:
    """Blank texts are how some people leave a field out."""
    return value is None or (isinstance(value, str) and not value.strip())


def _object(document: Any, keys: tuple[str, ...]) -> dict[str, Any]:
    """The object to which these keys lead, an empty one where they do not."""
    for key in keys:
        if not isinstance(document, dict):
            return NO_OBJECT
        document = document.get(key)
    return document if isinstance(document, dict) else NO_OBJECT
