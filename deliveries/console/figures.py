"""Figures: what the tallies say of a stretch of time, and of the last quarter of an hour."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
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
        Range("24h", "24 h", 96, 900, "15 minutes"),
        Range("7d", "7 d", 168, 3600, "hour", Tally.Span.HOUR),
    )
}
DEFAULT = RANGES["1h"]

# One statement for the charts and the tiles. Of a code it says whether a delivery bears it, or only a notification.
SUMS = """
SELECT sums.*, kind = 'code' AND EXISTS (
    SELECT FROM push_deliveries d WHERE d.error_code = sums.name AND d.error_code <> '')
FROM (
    SELECT wanted.recent, kind, name, sum(count)::bigint AS count, bool_or(is_sample) AS sampled,
           CASE WHEN kind <> 'code' THEN extract(epoch FROM
               date_bin(make_interval(secs => wanted.step), begins_at, 'epoch'::timestamptz))::bigint END AS begins
    FROM (VALUES (false, %(span)s, to_timestamp(%(since)s), %(step)s), (true, 60, to_timestamp(%(recently)s), 60))
             AS wanted(recent, span, since, step)
    JOIN tallies t ON t.span = wanted.span AND t.begins_at >= wanted.since
                  AND NOT (wanted.recent AND t.kind IN ('code', 'device'))
    GROUP BY wanted.recent, kind, name, begins
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
        return [percentile({name: counts[begin] for name, counts in classes.items()}, part) for begin in self.begins]

    def latency(self, part: float) -> float | None:
        """The percentile of all steps together, in seconds."""
        return percentile({name: counts.total() for name, counts in self._classes().items()}, part)

    def _classes(self) -> dict[str, Counter[int]]:
        return {name: counts for (kind, name), counts in self.counts.items() if kind == Tally.Kind.LATENCY}


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
    for is_recent, kind, name, count, _, begin, _ in rows:
        if kind != Tally.Kind.CODE:
            (recent if is_recent else charted).counts[kind, name][begin] = count
    codes = [Code(name, count, borne) for _, kind, name, count, _, _, borne in rows if kind == Tally.Kind.CODE]
    return Figures(charted, recent, sorted(codes, key=_most_first), any(row[4] for row in rows))


def _most_first(code: Code) -> tuple[int, str]:
    return -code.count, code.name


def share(sent: int, lost: int) -> float | None:
    """Of what was to be sent, in per cent; None where there was nothing."""
    return 100 * sent / (sent + lost) if sent + lost else None


def percentile(classes: Mapping[str, int], part: float) -> float | None:
    """Where that part of all lies (s), read out of the classes of latency; None where there is nothing."""
    bounds = sorted((int(name), count) for name, count in classes.items() if count)
    rank = part * sum(count for _, count in bounds)
    for bound, count in bounds:
        if rank <= count:
            return bound / 1000 * 2 ** ((rank / count - 1) / PER_DOUBLING)
        rank -= count
    return None


def highest(values: Iterable[float | None]) -> float:
    return max((value for value in values if value is not None), default=0.0)
