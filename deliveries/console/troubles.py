"""Troubles: faults in progress, each as a sentence for the top of the dashboard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault in progress; `address` is the page where something can be done about it, or empty."""

    level: Literal["error", "warning"]
    sentence: str
    address: str = ""


def troubles() -> list[Trouble]:
    """The minimum until the merge: none is known here."""
    return []
