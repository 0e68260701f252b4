"""What an examination finds: one line for a person, and what to do where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is, the worst last."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Finding:
    """`name` is what was looked at, `what` how it is, in plain words. Neither holds a password, a key or a token."""

    name: str
    level: Level
    what: str
    fix: str = ""


#: A function that looks at one thing after the other. It changes nothing, and asks with a time limit.
Examination = Callable[[], Iterator[Finding]]


def ok(name: str, what: str) -> Finding:
    return Finding(name, Level.OK, what)


def warning(name: str, what: str, fix: str) -> Finding:
    """It works, but not well, or not for long."""
    return Finding(name, Level.WARNING, what, fix)


def failed(name: str, what: str, fix: str) -> Finding:
    """Notifications cannot get through like this."""
    return Finding(name, Level.FAILED, what, fix)


def advised(name: str, level: Level, advice: str) -> Finding:
    """A finding from a sentence or two of which the last says what to do, as all advice of providers does."""
    what, _, fix = advice.rpartition(". ")
    return Finding(name, level, f"{what}.", fix) if what else Finding(name, level, advice)
