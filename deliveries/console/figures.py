"""Figures: what the tallies say of a stretch of time, and of the last quarter of an hour."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from django.db import connection

from deliveries.ledger.tallying import PER_DOUBLING
from deliveries.models import Status, Tally

#: What counts as tried and lost. Who opted out, or was cancelled, is no failure of a push.
LOST = (Status.FAILED, Status.EXPIRED)
#: Minutes of which the tiles speak.
RECENT = 15


@dataclass(frozen=True, slots=True)
class Range:
    """A stretch of time up to now: so many steps of so many seconds, made from minutes or from hours."""

    name: str
    title: str
    steps: int
    step: int
    every: str
    span: Tally.Span = Tally.Span.MINUTE

    def begins(self, now: float) -> list[int]:
        """When each step begins, by Unix time; the last is not over yet."""
        last = int(now) // self.step * self.step
        return list(range(last - (self.steps - 1) * self.step, last + 1, self.step))


RANGES = {
    one.name: one
    for one in (
        Range("15m", "15 min", 15, 60, "minute"),
        Range("1h", "1 h", 60, 60, "minute"),
        Range("24h", "24 h", 48, 1800, "30 minutes"),
        Range("7d", "7 d", 84, 7200, "2 hours", Tally.Span.HOUR),
    )
}
DEFAULT = RANGES["1h"]

# One statement for the charts and the tiles. Of a code it says whether a delivery bears it, or only a notification:
# the first in the index that is not before it is it, whatever the planner believes to know of codes.
SUMS = """
SELECT recent, kind, name, count, extract(epoch FROM begins)::bigint, sampled, kind = 'code' AND name = (
    SELECT d.error_code FROM push_deliveries d WHERE d.error_code >= name AND d.error_code <> ''
    ORDER BY d.error_code LIMIT 1)
FROM (
    SELECT false AS recent, kind, name, sum(count)::bigint AS count, bool_or(is_sample) AS sampled,
           CASE WHEN kind <> 'code' THEN
               date_bin(%(step)s * interval '1 s', begins_at, 'epoch'::timestamptz) END AS begins
    FROM tallies WHERE span = %(span)s AND begins_at >= to_timestamp(%(since)s)
    GROUP BY kind, name, begins
    UNION ALL
    SELECT true, kind, name, count, is_sample, begins_at
    FROM tallies WHERE span = 60 AND begins_at >= to_timestamp(%(recently)s) AND kind IN ('ended', 'latency')
) AS sums
"""


@dataclass(slots=True)
class Period:
    """Counts by kind and name for each step of a stretch of time. A step that nobody has counted yet has none."""

    begins: list[int]
    counts: dict[tuple[str, str], Counter[int]] = field(default_factory=lambda: defaultdict(Counter))

    @property
    def counted(self) -> set[int]:
        """The steps that were counted: of each of their minutes there is a number of notifications sent."""
        return set(self.counts["ended", Status.SENT])

    def times(self) -> list[datetime]:
        return [datetime.fromtimestamp(begin, UTC) for begin in self.begins]

    def of(self, kind: str, name: str) -> list[int | None]:
        counts, counted = self.counts[kind, name], self.counted
        return [counts[begin] if begin in counted else None for begin in self.begins]

    def total(self, kind: str, *names: str) -> int:
        return sum(self.counts[kind, name].total() for name in names)

    def success(self) -> list[float | None]:
        """Notifications sent, of those that were to be (%), in each step."""
        sent = self.counts["ended", Status.SENT]
        lost = [self.counts["ended", status] for status in LOST]
        return [share(sent[begin], sum(counts[begin] for counts in lost)) for begin in self.begins]

    def latencies(self, part: float) -> list[float | None]:
        """The percentile in each step, in seconds."""
        classes = self._classes()
        return [percentile([(bound, counts[begin]) for bound, counts in classes], part) for begin in self.begins]

    def latency(self, part: float) -> float | None:
        """The percentile of all steps together, in seconds."""
        return percentile([(bound, counts.total()) for bound, counts in self._classes()], part)

    def _classes(self) -> list[tuple[int, Counter[int]]]:
        """The classes of latency by their bounds (ms), the lowest first."""
        latencies = [(int(name), counts) for (kind, name), counts in self.counts.items() if kind == Tally.Kind.LATENCY]
        return sorted(latencies, key=lambda one: one[0])


@dataclass(frozen=True, slots=True)
class Code:
    """An error code and how often it ended a delivery, or a notification without any."""

    name: str
    count: int
    of_deliveries: bool


@dataclass(frozen=True, slots=True)
class Figures:
    """What the dashboard draws."""

    charted: Period
    recent: Period
    codes: list[Code]
    sampled: bool


def read(chosen: Range, now: float) -> Figures:
    """The figures of a stretch of time that ends now (Unix time)."""
    begins = chosen.begins(now)
    minutes = Range("", "", RECENT + 1, 60, "minute").begins(now)
    with connection.cursor() as cursor:
        cursor.execute(SUMS, {"span": chosen.span, "since": begins[0], "step": chosen.step, "recently": minutes[0]})
        rows = cursor.fetchall()
    charted, recent = Period(begins), Period(minutes)
    for is_recent, kind, name, count, begin, _, _ in rows:
        if kind != Tally.Kind.CODE:
            (recent if is_recent else charted).counts[kind, name][begin] += count
    codes = [Code(name, count, borne) for _, kind, name, count, _, _, borne in rows if kind == Tally.Kind.CODE]
    return Figures(charted, recent, sorted(codes, key=_most_first), any(row[5] for row in rows))


def _most_first(code: Code) -> tuple[int, str]:
    return -code.count, code.name


def share(sent: int, lost: int) -> float | None:
    """Of what was to be sent, in per cent; None where there was nothing."""
    return 100 * sent / (sent + lost) if sent + lost else None


def percentile(classes: Sequence[tuple[int, int]], part: float) -> float | None:
    """Where that part of all lies (s), read out of classes in their order: bound (ms) and count. None of nothing."""
    rank = part * sum(count for _, count in classes)
    for bound, count in classes:
        if count and rank <= count:
            return bound / 1000 * 2 ** ((rank / count - 1) / PER_DOUBLING)
        rank -= count
    return None


def highest(values: Iterable[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)
