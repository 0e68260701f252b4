"""HTML as the text of a push: a template service may have nothing else to give."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape

#: A tag with its name, or what stands between tags. Nothing that was read is given back: one pass for any input.
PIECE = re.compile(r"<(/?)([A-Za-z][A-Za-z0-9]*+|!--)[^<>]*+>|[^<]+|<")
SILENT = frozenset({"script", "style", "head", "title"})
INLINE = frozenset(
    {"a", "abbr", "b", "code", "em", "font", "i", "mark", "s", "small", "span", "strong", "sub", "sup", "u"}
)


def text_of(html: str) -> str:
    """What a reader sees of it: no tags, no scripts, characters instead of their names, single spaces."""
    return " ".join(unescape("".join(_seen(html))).split())


def _seen(html: str) -> Iterator[str]:
    silenced_by = ""
    for piece in PIECE.finditer(html):
        closing, name = piece[1], (piece[2] or "").lower()
        if silenced_by:
            silenced_by = "" if closing and name == silenced_by else silenced_by
        elif name in SILENT and not closing:
            silenced_by = name
        elif not name:
            yield piece[0]
        elif name not in INLINE:
            yield " "
