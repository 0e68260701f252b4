"""How values are shown: times in UTC with their age, tokens masked, JSON indented. Everything escaped."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from django.contrib import admin
from django.db.models import Model
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries.masking import conceal, fingerprint, mask
from deliveries.models import DeadToken, PushDelivery

NOTHING = "-"


def when(field: str, label: str | None = None) -> Callable[[Model], str]:
    """Shows the time in `field`: `2026-11-22 17:04:05 UTC (3 min ago)`."""

    @admin.display(description=label or _label(field))
    def show(row: Model) -> str:
        time = getattr(row, field)
        return f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}"[:-3] + f" UTC ({age(time)})" if time else NOTHING

    show.__name__ = f"when_{field}"
    return show


def when_short(field: str, label: str | None = None) -> Callable[[Model], str]:
    """The same for a column of a list: in two lines, without milliseconds."""

    @admin.display(description=f"{label or _label(field)} (UTC)")
    def show(row: Model) -> str:
        time = getattr(row, field)
        if time is None:
            return NOTHING
        stamp = f"{time.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
        return format_html('<span><span class="nowrap">{}</span><br>{}</span>', stamp, age(time))

    return show


def _label(field: str) -> str:
    return field.removesuffix("_at").replace("_", " ")


def age(time: datetime) -> str:
    """`3 min ago`, or `in 3 min`."""
    seconds = (timezone.now() - time).total_seconds()
    long = brief(abs(seconds))
    return f"{long} ago" if seconds >= 0 else f"in {long}"


def brief(seconds: float) -> str:
    """A span of time in its largest unit: `53 ms`, `4.2 s`, `3 min`, `5 h`, `12 d`."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.1f} s"
    for unit, length in (("d", 86400), ("h", 3600)):
        if seconds >= length:
            return f"{seconds // length:.0f} {unit}"
    return f"{seconds // 60:.0f} min"


@admin.display(description="device")
def device(row: PushDelivery | DeadToken) -> str:
    """The masked token, and the fingerprint by which the same device is recognised elsewhere; a topic as it is."""
    token = row.device_token
    if isinstance(row, PushDelivery) and row.target == "topic":
        return f"topic {token}"
    shown = f"{mask(token)} #{fingerprint(token)}"
    return f"{row.platform} {shown}".strip()


def visible(text: str) -> str:
    """A text that can be seen, to be clicked on: one that consists of blanks is spelt out."""
    return text if any(sign.isprintable() and not sign.isspace() for sign in text) else ascii(text)


def long(text: str) -> SafeString:
    """Somebody else's word, of up to 255 characters without a blank: it is broken where it must be."""
    return format_html('<span class="long">{}</span>', visible(text))


def indented(document: Any) -> SafeString:
    """A JSON document with device tokens and secrets masked."""
    return preformatted(json.dumps(conceal(document), indent=2, ensure_ascii=False))


def preformatted(text: str) -> SafeString:
    return format_html('<pre class="text">{}</pre>', text)
