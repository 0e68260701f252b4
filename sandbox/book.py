"""The book of what the sandbox accepted, on disk so that a restart or kill -9 forgets nothing."""

from __future__ import annotations

import fcntl
import os
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

Entry = dict[str, Any]


class BookError(Exception):
    """The book cannot be opened: another sandbox has it, or it is damaged."""


class Book:
    """Append-only JSON lines in a file and in memory.

    A line is handed to the kernel before the answer leaves, which survives the death of the process
    (not of the machine). Lines stay bytes, so that showing 100,000 of them is one join.
    """

    def __init__(self, path: Path, show: Callable[[Entry], None]) -> None:
        self._show = show
        self._forget()
        self._file = path.open("a+b", buffering=0)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.close()
            raise BookError(f"another sandbox is using {path.parent}; give another --dir") from None
        self._load()

    def called(self) -> None:
        """Somebody called FCM's `messages:send`, whatever came of it."""
        self._write("call", {})

    def accepted(self, entry: Entry) -> None:
        """FCM took a message; `token`, `tag` and `name` are what later questions are about."""
        self._write("accepted", entry)

    def reported(self, correlation_id: str | None, notification_id: str, body: Entry) -> None:
        """The gateway took a report; whose it is may stand in its address alone."""
        entry = {"correlation_id": correlation_id, "notification_id": notification_id, "status": body["status"]}
        self._write("report", entry | {"body": body})

    def buried(self, correlation_id: str | None, body: Entry) -> None:
        """The user service was told of a dead token."""
        self._write("dead_token", {"correlation_id": correlation_id, "body": body})

    def refused(self, code: str, whose: Entry | None = None) -> None:
        """FCM or a fault refused a message, or the token endpoint a key; `whose`: its token and tag, if known."""
        self._write("refused", {"code": code, "token": None, "tag": None, **(whose or {})})

    def counted(self, what: str) -> None:
        """Something happened of which only the number matters."""
        self._write("counted", {"what": what})

    def clear(self) -> None:
        self._file.truncate(0)
        self._forget()

    def as_json(self, full: bool) -> bytes:
        """The whole book, or only its figures, as one JSON object."""
        figures = {
            "calls": self._calls,
            "accepted_count": len(self._accepted),
            "report_count": len(self._reports),
            "repeats": len(self._accepted) - self._untagged - len(self._shown),
            "untagged": self._untagged,
            "repeated_reports": len(self._reports) - len(self._told),
            "dead_token_count": len(self._dead_tokens),
            "counts": self._counts,
            "refusals": self._refusals,
        }
        if full:
            figures["accepted"] = [orjson.Fragment(line) for line in self._accepted]
            figures["reports"] = [orjson.Fragment(line) for line in self._reports]
            figures["dead_tokens"] = [orjson.Fragment(line) for line in self._dead_tokens]
            figures["refused"] = [orjson.Fragment(line) for line in self._refused]
        return orjson.dumps(figures)

    def close(self) -> None:
        self._file.close()

    def _write(self, kind: str, fields: Entry) -> None:
        entry = {"kind": kind, "at": datetime.now(UTC).isoformat(timespec="milliseconds"), **fields}
        line = orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE)
        self._file.write(line)
        self._take(entry, line[:-1])  # a copy: orjson's own bytes keep a far larger buffer

    def _take(self, entry: Entry, line: bytes) -> None:
        match entry["kind"]:
            case "call":
                self._calls += 1
            case "accepted":
                self._take_accepted(entry, line)
            case "report":
                self._reports.append(line)
                self._told.add((entry["notification_id"], entry["status"]))
            case "dead_token":
                self._dead_tokens.append(line)
            case "refused":
                self._refusals[entry["code"]] += 1
                self._refused.append(line)
            case "counted":
                self._counts[entry["what"]] += 1

    def _take_accepted(self, entry: Entry, line: bytes) -> None:
        self._accepted.append(line)
        if entry["tag"] is None:
            self._untagged += 1
        else:
            self._shown.add((entry["tag"], entry["token"]))
        self._show(entry)

    def _take_again(self, line: bytes) -> None:
        try:
            self._take(orjson.loads(line), line)
        except (ValueError, LookupError):
            text = f"{self._file.name} has a damaged line: {line[:60]!r}; remove the file"
            raise BookError(text) from None

    def _forget(self) -> None:
        self._calls = 0
        self._accepted: list[bytes] = []
        self._reports: list[bytes] = []
        self._dead_tokens: list[bytes] = []
        self._shown: set[tuple[str, str]] = set()
        self._told: set[tuple[str, str]] = set()
        self._untagged = 0
        self._counts: Counter[str] = Counter(lookups=0, renders=0, tokens=0, validated=0)
        self._refusals: Counter[str] = Counter()
        self._refused: list[bytes] = []

    def _load(self) -> None:
        self._file.seek(0)
        whole = 0
        for line in self._file.readall().splitlines(keepends=True):
            if not line.endswith(b"\n"):
                break  # a write that a full disk cut short
            self._take_again(line[:-1])
            whole += len(line)
        self._file.truncate(whole)
        self._file.seek(0, os.SEEK_END)
