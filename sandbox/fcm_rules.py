"""What FCM demands of a message beyond its JSON: one target, its syntax, keys, times, links, size.

Source: https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from sandbox.devices import is_well_formed
from sandbox.google_errors import RefusedError, invalid, malformed, unparsable

Message = dict[str, Any]
TARGETS = ("token", "fid", "topic", "condition")
MAX_BYTES = 4096
#: What Google documents, and what FCM was last seen to take.
MAX_TOPIC_BYTES = {"documented": 2048, "observed": 4096}
MAX_TTL = 2_419_200  # seconds: four weeks
_TOPIC = re.compile(r"[a-zA-Z0-9-_.~%]{1,900}")
_LABEL = re.compile(r"[a-zA-Z0-9-_.~%]{1,50}")
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")
_IN_TOPIC = re.compile(r"\s*'[a-zA-Z0-9-_.~%]+'\s+in\s+topics\s*")
_WEB_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,32}")  # RFC 8030, section 5.4
_LINK = re.compile(r"https://([^\s/?#@]*@)?[^\s/?#:@][^\s/?#@]*([/?#].*)?", re.DOTALL)
_URGENCY = {"very-low", "low", "normal", "high"}


def check_one_target(message: Message | None) -> Message:
    """The message, when it has exactly one target and at most one Android part; else raises RefusedError."""
    if message is None:
        raise invalid("message", "The message is not set.")
    targets = [name for name in TARGETS if name in message]
    if len(targets) > 1:
        text = f"Invalid value at 'message' (oneof), oneof field 'target' is already set. Cannot set '{targets[1]}'"
        raise unparsable([("message", text)])
    if not targets or not message[targets[0]]:
        raise invalid("message", "Recipient of the message is not set.")
    if "android" in message and "android_v2" in message:
        raise invalid("message.android_v2", "Only one of android and android_v2 can be set.")
    return message


def check_content(message: Message, sizes: str) -> None:
    """Raises RefusedError for the first rule that the message breaks; `sizes` is a key of MAX_TOPIC_BYTES."""
    _check_target(message)
    _check_data_keys(message)
    _check_android(message, "android")
    _check_android(message, "android_v2")
    _check_badge(message.get("apns", {}))
    _check_webpush(message.get("webpush", {}))
    _check_labels(message)
    _check_size(message, MAX_TOPIC_BYTES[sizes])


def _check_target(message: Message) -> None:
    for kind in ("token", "fid"):
        if kind in message and not is_well_formed(message[kind]):
            raise malformed(f"message.{kind}")
    if "topic" in message and not _TOPIC.fullmatch(message["topic"]):
        raise invalid("message.topic", "Topic name contains invalid characters.")
    if "condition" in message and not _is_condition(message["condition"]):
        raise RefusedError(400, "INVALID_ARGUMENT", "Invalid condition expression provided.")


def _is_condition(text: str) -> bool:
    """Up to five `'name' in topics` joined by && || ! and parentheses."""
    rest, topics = _IN_TOPIC.subn("T", text)
    rest, before = rest.replace(" ", ""), ""
    while rest != before:
        rest, before = re.sub(r"\(T\)|!T|T(&&|\|\|)T", "T", rest), rest
    return rest == "T" and topics <= 5


def _check_data_keys(message: Message) -> None:
    for part in ("", "android", "android_v2", "webpush"):
        owner = message.get(part, {}) if part else message
        for key in owner.get("data", {}):
            if is_reserved(key):
                path = f"message.{part}.data" if part else "message.data"
                raise invalid(path, f"Invalid data payload key: {key}")


def is_reserved(key: str) -> bool:
    """Whether FCM keeps a key of the data for itself."""
    return key in ("from", "message_type", "gcm") or key.startswith(("google", "gcm."))


def _check_android(message: Message, part: str) -> None:
    android = message.get(part, {})
    path = f"message.{part}"
    if android.get("ttl", 0) < 0:
        raise invalid(f"{path}.ttl", "TTL must be a non-negative integer.")
    if android.get("ttl", 0) > MAX_TTL:
        raise invalid(f"{path}.ttl", f"TTL must not be greater than {MAX_TTL} seconds.")
    if part == "android_v2":
        android, path = android.get("remote_notification", {}), f"{path}.remote_notification"
    _check_looks(android.get("notification", {}), f"{path}.notification")


def _check_looks(notification: Message, path: str) -> None:
    if "color" in notification and not _COLOR.fullmatch(notification["color"]):
        raise invalid(f"{path}.color", "Invalid color, must be in the form #rrggbb.")
    if (light := notification.get("light_settings")) is None:
        return
    for name in ("color", "light_on_duration", "light_off_duration"):
        if name not in light:
            raise invalid(f"{path}.light_settings.{name}", f"light_settings.{name} is required.")
    if not all(0 <= part <= 1 for part in light["color"].values()):
        raise invalid(f"{path}.light_settings.color", "Color components must be between 0 and 1.")


def _check_badge(apns: Message) -> None:
    aps = apns.get("payload", {}).get("aps")
    if isinstance(aps, dict) and type(aps.get("badge", 0)) is not int:  # True is an int to `isinstance`
        raise invalid("message.apns.payload.aps.badge", "Invalid APNs badge, must be an integer.")


def _check_webpush(webpush: Message) -> None:
    headers = {name.lower(): value for name, value in webpush.get("headers", {}).items()}
    ttl = headers.get("ttl", "0")
    if not (ttl.isascii() and ttl.isdigit() and int(ttl[:12]) <= MAX_TTL):
        raise invalid("message.webpush.headers", "TTL must be a non-negative integer.")
    if headers.get("urgency", "normal") not in _URGENCY:
        raise invalid("message.webpush.headers", "Invalid Urgency header.")
    if not _WEB_TOPIC.fullmatch(headers.get("topic", "none")):
        raise invalid("message.webpush.headers", "Invalid Topic header.")
    link = webpush.get("fcm_options", {}).get("link")
    if link is not None and not _LINK.fullmatch(link):
        raise invalid("message.webpush.fcm_options.link", "Link must be an HTTPS URL.")


def _check_labels(message: Message) -> None:
    for part in ("", "android", "android_v2", "apns", "webpush"):
        owner = message.get(part, {}) if part else message
        label = owner.get("fcm_options", {}).get("analytics_label")
        if label is not None and not _LABEL.fullmatch(label):
            path = f"message.{part}.fcm_options" if part else "message.fcm_options"
            raise invalid(f"{path}.analytics_label", "Invalid analytics label.")


def _check_size(message: Message, max_topic_bytes: int) -> None:
    """Keys and values in UTF-8 of what one device would get, the largest of its platforms."""
    to_topic = "topic" in message or "condition" in message
    limit = max_topic_bytes if to_topic else MAX_BYTES
    if max(_sizes(message)) > limit:
        text = f"Message is too large. The maximum is {limit // 1024}K ({limit} bytes)."
        raise invalid("message", text)


def _sizes(message: Message) -> Iterator[int]:
    data, shown = message.get("data", {}), message.get("notification", {})
    webpush, android = message.get("webpush", {}), message.get("android", {})
    remote = message.get("android_v2", {})
    v2 = remote.get("remote_notification", {}).get("notification", {})
    yield size_of(android.get("data", data)) + size_of({**shown, **android.get("notification", {})})
    yield size_of(remote.get("data", data)) + size_of({**shown, **v2})
    yield size_of(webpush.get("data", data)) + size_of({**shown, **webpush.get("notification", {})})
    yield size_of(data) + size_of(shown) + size_of(message.get("apns", {}).get("payload", {}))


def size_of(value: Any) -> int:
    """Bytes of all keys and values in UTF-8."""
    if isinstance(value, dict):
        return sum(len(key.encode()) + size_of(inner) for key, inner in value.items())
    if isinstance(value, list):
        return sum(map(size_of, value))
    return len(str(value).encode())
