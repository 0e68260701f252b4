"""Badges: how something stands, as a word with a colour and a sign of its own, so that nobody needs to see colours."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from deliveries.models import Status


@dataclass(frozen=True, slots=True)
class Look:
    """One of the theme's variants (`success`, `danger`, `warning`, `info`, `default`), and a Material symbol."""

    variant: str
    icon: str


GOOD, BAD, WARNING, BUSY, QUIET = (
    Look("success", "check_circle"),
    Look("danger", "error"),
    Look("warning", "warning"),
    Look("info", "sync"),
    Look("default", "remove_circle"),
)

STATUS = {
    Status.PENDING: Look("info", "schedule"),
    Status.SENDING: Look("info", "send"),
    Status.SENT: GOOD,
    Status.FAILED: BAD,
    Status.SKIPPED: QUIET,
    Status.EXPIRED: Look("warning", "timer_off"),
    Status.CANCELLED: Look("default", "cancel"),
}


@lru_cache(maxsize=512)  # a list has a few of them many times
def badge(text: str, look: Look, title: str = "") -> SafeString:
    """The word, coloured; `title` is shown when somebody points at it."""
    context = {"text": text, "variant": look.variant, "icon": look.icon, "label_title": title}
    return render_to_string("deliveries/badge.html", context)


def status_badge(status: str) -> SafeString:
    """Of a notification or a delivery."""
    return badge(status, STATUS[Status(status)])
