"""JSON that strangers wrote: what would break the ledger or a reader is found before it does."""

from __future__ import annotations

from typing import Any

#: Levels of objects and lists in each other. Nobody means more.
MAX_DEPTH = 32


def is_too_deep(document: Any, raw: bytes) -> bool:
    """Whether it is nested deeper than `MAX_DEPTH`. It is walked only when its bytes make it suspicious."""
    return raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and _depth(document) > MAX_DEPTH


def has_nul(document: Any, raw: bytes) -> bool:
    """Whether a text in it contains the NUL character, which PostgreSQL cannot store. Walked only when suspicious."""
    return b"\\u0000" in raw and _has_nul(document)


def _depth(document: Any) -> int:
    level, depth = [document], 0
    while level:
        depth += 1
        level = [child for node in level for child in _children(node)]
    return depth


def _has_nul(node: Any) -> bool:
    if isinstance(node, str):
        return "\0" in node
    return any(_has_nul(child) for child in _children(node, keys=True))


def _children(node: Any, *, keys: bool = False) -> list[Any]:
    if isinstance(node, dict):
        return [*node, *node.values()] if keys else list(node.values())
    return node if isinstance(node, list) else []
