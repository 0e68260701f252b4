"""What a change to the ledger is, for the writer that applies it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self
from uuid import UUID

import orjson
from psycopg import Cursor


@dataclass(frozen=True, slots=True)
class Hand:
    """In whose name changes are applied: a worker, and how old its heartbeat may be in seconds.

    The doors (API, console, commands) have none: what they leave behind is due at once, for any worker.
    """

    worker_id: UUID | None
    lease: float

    def parameters(self) -> dict[str, Any]:
        return {"worker": self.worker_id, "lease": self.lease}


#: What is written in this name is in nobody's work, and so due at once for any worker.
NOBODY = Hand(worker_id=None, lease=0)


class Change(Protocol):
    """One change. `rank` orders the kinds within a transaction."""

    rank: ClassVar[int]

    @classmethod
    def apply(cls, cursor: Cursor[Any], changes: Sequence[Self], hand: Hand) -> list[Any]:
        """Applies all of them and returns one result for each, in order. Raises psycopg.Error."""
        ...


def token() -> int:
    """A name for one operation, by which a repeat recognises what it has itself already done."""
    return random.getrandbits(63)


def rows(items: Sequence[Any]) -> dict[str, str]:
    """Dataclasses or dicts as the one parameter `rows`, a JSON array for `json_to_recordset`.

    orjson writes it at 1 µs a row; psycopg's list dumper is Python and took a fifth of a worker's time. Fields that the
    statement does not name are left aside.
    """
    return {"rows": orjson.dumps(items).decode()}


#: True while the worker's own heartbeat is good: a worker that others may call dead starts nothing.
ALIVE = """EXISTS (
    SELECT FROM workers w
    WHERE w.id = %(worker)s AND w.heartbeat_at > now() - make_interval(secs => %(lease)s))"""
