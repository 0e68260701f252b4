"""What a body of `messages:send` asks for, checked as far as the body alone decides; and what a device would show."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from sandbox.apns_rules import check_headers
from sandbox.book import Entry
from sandbox.fcm_json import Violations
from sandbox.fcm_rules import TARGETS, Message, check_content, check_one_target
from sandbox.fcm_schema import SEND_MESSAGE_REQUEST
from sandbox.google_errors import RefusedError, not_json, unparsable


@dataclass(frozen=True, slots=True)
class Asked:
    """A message with snake_case names, its one target and of which kind that is."""

    message: Message
    kind: str
    target: str
    dry_run: bool


def understood(body: bytes, sizes: str) -> Asked:
    """The body's message when all of it is right, by these `sizes` of fcm_rules; raises RefusedError."""
    request = _parsed(body)
    message = check_one_target(request.get("message"))
    check_content(message, sizes)
    dry_run = request.get("validate_only", False)
    if not dry_run:  # whoever it is for, so that it shows on an Android phone too
        check_headers(message.get("apns", {}))
    kind = next(name for name in TARGETS if name in message)
    return Asked(message, kind, message[kind], dry_run)


def whose(body: bytes) -> Entry:
    """The target and the tag of a message, right or wrong; nothing of one that cannot be parsed."""
    try:
        message = _parsed(body).get("message") or {}
    except RefusedError:
        return {}
    target = next((message[name] for name in TARGETS if name in message), None)
    return {"token": target, "tag": seen(message)["tag"]}


def seen(message: Message) -> Entry:
    """What a device would show, and by which tag it would replace an earlier one."""
    android, v2 = message.get("android", {}), message.get("android_v2", {})
    apns, web_push = message.get("apns", {}), message.get("webpush", {})
    v2_shown = v2.get("remote_notification", {}).get("notification", {})
    own = {**v2_shown, **android.get("notification", {})}
    shown = {**web_push.get("notification", {}), **message.get("notification", {}), **own}
    tags = (
        own.get("tag"),
        android.get("collapse_key") or v2.get("collapse_key"),
        apns.get("headers", {}).get("apns-collapse-id"),
        web_push.get("notification", {}).get("tag"),
    )
    return {
        "tag": next((str(tag) for tag in tags if tag), None),
        "title": _text(shown.get("title")),
        "body": _text(shown.get("body")),
        "image": _text(shown.get("image") or apns.get("fcm_options", {}).get("image")),
        "link": _text(web_push.get("fcm_options", {}).get("link") or shown.get("click_action")),
        "priority": android.get("priority"),
        "data": android.get("data", message.get("data", {})),
    }


def _parsed(body: bytes) -> Message:
    """The request with snake_case names; raises RefusedError in the words of Google's JSON parser."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise not_json(str(fault)) from None
    if not isinstance(content, dict):
        raise not_json("Root element must be a message.")
    found = Violations()
    request: Message = SEND_MESSAGE_REQUEST(content, "", found)
    if found:
        raise unparsable(found)
    return request


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
