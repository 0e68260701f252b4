"""The traffic of the sample: how many notifications ended how, a day of minutes and a week of hours."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from random import Random
from statistics import NormalDist

from deliveries.models import Status, Tally

DAY = 24 * 60  # minutes
WEEK = 7 * DAY

#: By kind and name, as a tally has them.
Counts = Counter[tuple[str, str]]
#: A tally: span, its beginning, kind, name, that it is a sample, and the count.
Row = tuple[int, datetime, str, str, bool, int]
#: Of latencies: the name of each and the seconds up to which it goes, the shortest first.
Classes = Sequence[tuple[str, float]]


#: The codes with which deliveries end; with the others, a notification does that has none.
OF_DEVICES = ("UNREGISTERED", "expired")


@dataclass(frozen=True, slots=True)
class Weather:
    """What a minute is like: how much ends in it, how, and how fast. Shares are of the notifications that end."""

    pace: float = 1.0
    #: By error code: how such a notification ends, and the share.
    ends: tuple[tuple[str, Status, float], ...] = (
        ("opted_out", Status.SKIPPED, 0.036),
        ("UNREGISTERED", Status.FAILED, 0.013),
        ("no_device", Status.SKIPPED, 0.011),
        ("template_missing", Status.FAILED, 0.0012),
        ("unknown_user", Status.FAILED, 0.0008),
        ("expired", Status.EXPIRED, 0.0006),
        ("cancelled", Status.CANCELLED, 0.0003),
    )
    #: The share that has to wait, and the seconds that half of it waits for at least.
    held: float = 0.0
    wait: float = 1.0


FINE = Weather()
STORM = replace(FINE, pace=0.72, held=0.35, wait=1.6, ends=(("expired", Status.EXPIRED, 0.03), *FINE.ends[:-2]))
OUTAGE = replace(FINE, pace=0.3, held=0.3, wait=2.4, ends=(("exhausted", Status.FAILED, 0.16), *FINE.ends))
CATCHING_UP = replace(FINE, pace=1.45, held=0.12, wait=1.2)

#: The minutes of the storm of 429s and of the failing user service, counted back from now.
STORM_MINUTES = range(481, 516)
OUTAGE_MINUTES = range(241, 251)
EPISODES = (
    (STORM_MINUTES, STORM),
    (range(461, 481), CATCHING_UP),
    (OUTAGE_MINUTES, OUTAGE),
    (range(229, 241), CATCHING_UP),
    (range(3 * DAY + 300, 3 * DAY + 420), STORM),
)

#: Of the sends that did not have to wait, as providers answer: half within 80 ms, 95 of 100 within 300 ms.
USUAL = NormalDist(math.log(0.080), math.log(0.300 / 0.080) / NormalDist().inv_cdf(0.95))


def pace_at(ago: int) -> float:
    """Notifications a minute, so many minutes ago: quiet by night, most at noon, some more in the evening."""
    within = ago % DAY
    noon = 540 * math.exp(-(((within - 620) / 270) ** 2))
    evening = 230 * math.exp(-(((within - 300) / 130) ** 2))
    weekend = 0.7 if ago // DAY in (2, 3) else 1.0
    return weekend * (48 + noon + evening)


def weather_at(ago: int) -> Weather:
    return next((weather for minutes, weather in EPISODES if ago in minutes), FINE)


def tallies(now: datetime, random: Random, classes: Classes) -> Iterator[Row]:
    """Minutes of a day and hours of a week, with the minute that is not over yet."""
    this_minute = now.replace(second=0, microsecond=0)
    hours: defaultdict[datetime, Counts] = defaultdict(Counter)
    for ago in range(WEEK, DAY, -60):
        begins_at = this_minute - timedelta(minutes=ago)
        counts = minute(ago, random, classes)
        hours[begins_at.replace(minute=0)].update({key: 60 * count for key, count in counts.items()})
    for ago in range(DAY, -1, -1):
        begins_at = this_minute - timedelta(minutes=ago)
        counts = minute(ago, random, classes)
        yield from _rows(Tally.Span.MINUTE, begins_at, counts)
        hours[begins_at.replace(minute=0)].update(counts)
    for begins_at, counts in hours.items():
        yield from _rows(Tally.Span.HOUR, begins_at, counts)


def _rows(span: Tally.Span, begins_at: datetime, counts: Counts) -> Iterator[Row]:
    for (kind, name), count in counts.items():
        yield span.value, begins_at, kind, name, True, count


def minute(ago: int, random: Random, classes: Classes) -> Counts:
    """What ended in one minute."""
    weather = weather_at(ago)
    ended = _some(random, pace_at(ago) * weather.pace * random.uniform(0.92, 1.08))
    counts: Counts = Counter()
    sent = ended
    for code, status, share in weather.ends:
        count = min(_some(random, ended * share), sent)
        sent -= count
        counts[Tally.Kind.CODE.value, code] += count
        counts[Tally.Kind.ENDED.value, status.value] += count
        if code in OF_DEVICES:
            counts[Tally.Kind.DEVICE.value, status.value] += count
    devices = _some(random, sent * 1.22)
    counts[Tally.Kind.ENDED.value, Status.SENT.value] += sent
    counts[Tally.Kind.DEVICE.value, Status.SENT.value] += devices
    counts.update(_latencies(devices, weather, random, classes))
    return +counts


def _latencies(devices: int, weather: Weather, random: Random, classes: Classes) -> Counts:
    """How many of the deliveries took how long: the difference of two rounded sums, so that none is lost."""
    slower = random.gauss(0, 0.06)
    usual = NormalDist(USUAL.mean + slower, USUAL.stdev)
    held = NormalDist(math.log(weather.wait) + slower, 0.6)
    counts: Counts = Counter()
    below = 0
    for name, bound in classes:
        logarithm = math.log(bound)
        share = (1 - weather.held) * usual.cdf(logarithm) + weather.held * held.cdf(logarithm)
        upto = round(devices * share)
        counts[Tally.Kind.LATENCY.value, name] = upto - below
        below = upto
    return counts


def _some(random: Random, count: float) -> int:
    """A whole number that is on average this one."""
    return int(count + random.random())
