"""Times as operators write them: `2h` for two hours ago, `30d` for an age, or a date and time."""

from __future__ import annotations

import math
import re
from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta

UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
PERIOD = re.compile(r"(?:\d+[smhdw])+")


def period(text: str) -> timedelta:
    """A length of time: `90s`, `30m`, `1h30m`, `30d`, `2w`. Raises ArgumentTypeError."""
    if not PERIOD.fullmatch(text):
        raise ArgumentTypeError(f"{text!r} is no length of time: write 90s, 30m, 2h, 1h30m, 30d or 2w")
    try:
        return sum((timedelta(**{UNITS[part[-1]]: int(part[:-1])}) for part in _parts(text)), timedelta())
    except OverflowError:
        raise ArgumentTypeError(f"{text} is longer than anything lasts") from None


def moment(text: str) -> datetime:
    """A time: so long ago (`2h`), or ISO 8601 (`2026-11-22T14:00`), in UTC unless it names a zone.

    Raises ArgumentTypeError.
    """
    if PERIOD.fullmatch(text):
        return ago(period(text))
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no time: write 2h for two hours ago, or 2026-11-22T14:00") from None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def past(text: str) -> datetime:
    """A `moment` that has been. Raises ArgumentTypeError."""
    told = moment(text)
    if told > datetime.now(UTC):
        raise ArgumentTypeError(f"{text} is still to come")
    return told


def seconds(text: str) -> float:
    """A pause in seconds, 0 or longer. Raises ArgumentTypeError."""
    try:
        told = float(text)
    except ValueError:
        told = math.nan
    if not 0 <= told < math.inf:
        raise ArgumentTypeError(f"{text!r} is no number of seconds: write 0, 0.1 or 5")
    return told


def ago(period: timedelta) -> datetime:
    """When that was, from now. Raises ArgumentTypeError where no calendar reaches."""
    try:
        return datetime.now(UTC) - period
    except OverflowError:
        raise ArgumentTypeError(f"{period.days} days ago there was no calendar") from None


def _parts(text: str) -> list[str]:
    return re.findall(r"\d+[smhdw]", text)
