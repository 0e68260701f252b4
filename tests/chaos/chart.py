"""Draws the storm of 429, from what its test has written down: `python -m tests.chaos.chart`."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
BOOK = ROOT / "var" / "brake.json"
CHART = ROOT / "docs" / "brake.svg"

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 960, 320, 48, 40, 36
ACCEPTED, REFUSED, RAMP, PAUSE = "#2e7d52", "#c0392b", "#345995", "#f4ead5"


def chart(book: dict[str, Any]) -> str:
    """An SVG: a bar for each second, the pauses behind it, and the ramp's rate as a line."""
    begin = min(book["accepted"] + book["refused"])
    accepted, refused = (Counter(int(time - begin) for time in book[kind]) for kind in ("accepted", "refused"))
    seconds = max(accepted | refused) + 2
    most = max(accepted.values())
    over = book["until"] - begin
    climbs = 60 * book["full"] / book["pace"]  # seconds until the full pace
    turn = min(over + climbs, seconds)
    top = book["full"] * (turn - over) / climbs
    draw = _Plot(seconds, max(most, top) * 1.1)
    parts = [
        draw.rect(0, over, draw.most, PAUSE, "the pauses"),
        *(draw.bar(second, count, ACCEPTED, "sent") for second, count in sorted(accepted.items())),
        *(draw.bar(second, min(count, draw.most), REFUSED, "refused") for second, count in sorted(refused.items())),
        draw.line(over, 0, turn, top),
        draw.line(turn, top, seconds, top),
        *draw.axes(),
        *_legend(len(book["refused"]), len(book["accepted"])),
    ]
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12" fill="#333"'
    white = '<rect width="100%" height="100%" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>', white, *parts, "</svg>\n"])


class _Plot:
    """Seconds and calls per second as places on the picture."""

    def __init__(self, seconds: int, most: float) -> None:
        self.seconds, self.most = seconds, most

    def x(self, second: float) -> float:
        return LEFT + second / self.seconds * (WIDTH - LEFT - 12)

    def y(self, calls: float) -> float:
        return HEIGHT - BOTTOM - calls / self.most * (HEIGHT - TOP - BOTTOM)

    def rect(self, begin: float, end: float, calls: float, colour: str, title: str) -> str:
        size = f'width="{self.x(end) - self.x(begin):.1f}" height="{self.y(0) - self.y(calls):.1f}"'
        place = f'x="{self.x(begin):.1f}" y="{self.y(calls):.1f}"'
        return f'<rect {place} {size} fill="{colour}"><title>{title}</title></rect>'

    def bar(self, second: int, calls: float, colour: str, what: str) -> str:
        return self.rect(second + 0.1, second + 0.9, calls, colour, f"second {second}: {calls:.0f} {what}")

    def line(self, begin: float, low: float, end: float, high: float) -> str:
        return (
            f'<line x1="{self.x(begin):.1f}" y1="{self.y(low):.1f}" x2="{self.x(end):.1f}" y2="{self.y(high):.1f}" '
            f'stroke="{RAMP}" stroke-width="2" stroke-dasharray="6 4"/>'
        )

    def axes(self) -> Iterator[str]:
        step = next(step for step in (5, 10, 25, 50, 100, 250, 1000) if self.most / step <= 6)
        for calls in range(0, int(self.most) + 1, step):
            yield f'<text x="{LEFT - 6}" y="{self.y(calls) + 4:.1f}" text-anchor="end">{calls}</text>'
            yield f'<path d="M{LEFT} {self.y(calls):.1f}H{WIDTH - 12}" stroke="#ddd" stroke-width="0.5"/>'
        for second in range(0, self.seconds, 10):
            yield f'<text x="{self.x(second):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{second} s</text>'


def _legend(refused: int, accepted: int) -> Iterator[str]:
    """What the colours are."""
    texts = ((REFUSED, f"refused ({refused})"), (ACCEPTED, f"sent ({accepted})"), (RAMP, "the ramp"), (PAUSE, "pauses"))
    for place, (colour, text) in enumerate(texts):
        x = LEFT + 150 * place
        yield f'<rect x="{x}" y="12" width="12" height="12" fill="{colour}"/><text x="{x + 18}" y="22">{text}</text>'
    yield f'<text x="{WIDTH - 12}" y="22" text-anchor="end">calls to FCM per second</text>'


if __name__ == "__main__":
    CHART.write_text(chart(json.loads(BOOK.read_text())))
