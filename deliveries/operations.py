"""What operators do, once for every door (API, console, commands): resend, cancel, redrive, discard."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Who:
    """Who does it and why; both are kept. `actor` is `user ada`, `key gateway` or `shell root@host`."""

    actor: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Target:
    """What to resend: a notification, or only the deliveries named.

    `seen` is the notification's count of resends as the asker saw it: another one now means that somebody was faster.
    """

    notification_id: str
    delivery_ids: tuple[int, ...] | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it for one subject (a notification's id, or a dead letter's): a code, and a sentence for people."""

    subject: str
    done: bool
    code: str
    sentence: str
    warning: str = ""


def resend(targets: Sequence[Target], who: Who, *, force: bool = False) -> list[Outcome]:
    """Makes them due again, at once; one outcome for each target, in order."""
    raise NotImplementedError


def cancel(notification_ids: Sequence[str], who: Who) -> list[Outcome]:
    """Ends them before their next send; one outcome for each, in order."""
    raise NotImplementedError


def redrive(letter_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Puts dead letters back; one outcome for each, in order."""
    raise NotImplementedError


def discard(letter_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Closes dead letters for good; raises ValueError without a reason."""
    raise NotImplementedError
