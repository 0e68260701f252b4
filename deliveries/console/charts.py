"""Charts: drawn on the server as SVG, so that they need no script, and follow dark and light by their classes.

The drawing is stretched to whatever width there is; words stand beside it as text, so that they are not stretched too.
Each chart has a table of its figures: for who does not see it, and to copy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby

from django.template.loader import render_to_string
from django.utils.html import format_html_join
from django.utils.safestring import SafeString

WIDTH, HEIGHT = 1000, 200  # of the drawing's own coordinates
GAP = 0.12  # of a bar's width
NOTHING = "-"

Values = Sequence[float | None]


@dataclass(frozen=True, slots=True)
class Series:
    """One line, or one layer of the bars; `look` is a class of the style sheet: chart-<look>."""

    name: str
    look: str
    values: Values


@dataclass(frozen=True, slots=True)
class Chart:
    """What is drawn over the steps of a stretch of time. `show` puts a value into words."""

    key: str
    title: str
    summary: str
    times: Sequence[datetime]
    series: Sequence[Series]
    show: Callable[[float], str] = "{:,.0f}".format
    top: float | None = None
    stacked: bool = False

    @property
    def drawing(self) -> SafeString:
        """The SVG with its scale; empty where there is nothing to draw."""
        values = [value for series in self.series for value in series.values if value is not None]
        if not values or (self.stacked and not any(values)):
            return SafeString()
        top = self.top or rounded_up(self._highest())
        shapes = layers(self.series, top) if self.stacked else lines(self.series, top)
        context = {
            "chart": self,
            "shapes": format_html_join("", '<path class="chart-{}" d="{}"/>', shapes),
            "steps": self._steps(),
            "scale": [self.show(top), self.show(top / 2), self.show(0)],
            "moments": [moment(self.times[place], self.times) for place in (0, len(self.times) // 2, -1)],
        }
        return render_to_string("deliveries/drawing.html", context)

    @property
    def rows(self) -> SafeString:
        """The figures as rows of a table, the latest first; without the steps of which there are none."""
        steps = zip(self.times, *(series.values for series in self.series), strict=True)
        told = [(time, values) for time, *values in steps if any(value is not None for value in values)]
        return format_html_join(
            "\n",
            '<tr><th scope="row">{}</th>{}</tr>',
            (
                (f"{time:%Y-%m-%d %H:%M}", format_html_join("", "<td>{}</td>", ((self._word(v),) for v in values)))
                for time, values in reversed(told)
            ),
        )

    def _word(self, value: float | None) -> str:
        return NOTHING if value is None else self.show(value)

    def _highest(self) -> float:
        columns = [[value or 0 for value in values] for values in zip(*(s.values for s in self.series), strict=True)]
        return max(sum(column) if self.stacked else max(column) for column in columns)

    def _steps(self) -> SafeString:
        """An invisible bar for each step, which tells its figures to who points at it."""
        width = WIDTH / len(self.times)
        return format_html_join(
            "",
            '<rect class="chart-step" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>',
            (
                (number(place * width), number(width), HEIGHT, self._told(place, time))
                for place, time in enumerate(self.times)
            ),
        )

    def _told(self, place: int, time: datetime) -> str:
        values = [f"{series.name} {self._word(series.values[place])}" for series in self.series]
        return "\n".join([f"{time:%d %b %H:%M} UTC", *values])


@dataclass(frozen=True, slots=True)
class Bar:
    """One of several things that are compared; `address` leads to what it counts."""

    name: str
    value: int
    address: str


def bars(items: Sequence[Bar]) -> SafeString:
    """A list with a bar for each, the longest as wide as there is room: words and links stay words and links."""
    most = max((bar.value for bar in items), default=1)
    context = {"bars": [(bar, f"{bar.value:,}", number(100 * bar.value / most)) for bar in items]}
    return render_to_string("deliveries/bars.html", context)


def layers(series: Sequence[Series], top: float) -> Iterator[tuple[str, str]]:
    """A path for each series: bars that stand on those of the series before it."""
    width = WIDTH / max(1, len(series[0].values))
    feet = [0.0] * len(series[0].values)
    for one in series:
        path = []
        for place, value in enumerate(one.values):
            if value:
                left, height = (place + GAP / 2) * width, value / top * HEIGHT
                bottom, bar = HEIGHT - feet[place] / top * HEIGHT, width * (1 - GAP)
                path.append(f"M{number(left)} {number(bottom)}v{number(-height)}h{number(bar)}v{number(height)}z")
                feet[place] += value
        yield one.look, "".join(path)


def lines(series: Sequence[Series], top: float) -> Iterator[tuple[str, str]]:
    """A path for each series: from value to value, interrupted where there is none. One on its own is a dash."""
    for one in series:
        width = WIDTH / max(1, len(one.values))
        path = []
        for has_values, run in groupby(enumerate(one.values), lambda step: step[1] is not None):
            if has_values:
                points = [((place + 0.5) * width, HEIGHT - min(value or 0, top) / top * HEIGHT) for place, value in run]
                path.append(_run(points, width))
        yield f"{one.look} chart-line", "".join(path)


def _run(points: list[tuple[float, float]], width: float) -> str:
    if len(points) == 1:
        [(x, y)] = points
        return f"M{number(x - width / 2)} {number(y)}h{number(width)}"
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)


def rounded_up(value: float) -> float:
    """The next of 1, 2, 5, 10, 20, … and of some between, out of which nothing stands; 1 where there is nothing.

    Half of it is a round number too.
    """
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    factors = (2, 4, 6, 8, 10) if unit == 1 else (1, 1.2, 1.6, 2, 2.4, 3, 4, 5, 6, 8, 10)
    return next(factor * unit for factor in factors if factor * unit >= value * (1 - 1e-9))


def moment(time: datetime, times: Sequence[datetime]) -> str:
    """A time on the scale: with its day where there are several."""
    return f"{time:%d %b %H:%M}" if times[-1].date() != times[0].date() else f"{time:%H:%M}"


def number(value: float) -> str:
    """With as many digits as can be seen."""
    return f"{value:.1f}".removesuffix(".0")
