"""The traffic of the sample is like that of a day: a quiet night, a busy noon, and two things that go wrong."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from random import Random

from deliveries.ledger.samples import SEED, classes
from deliveries.models import Tally
from deliveries.samples.traffic import DAY, OUTAGE_MINUTES, STORM_MINUTES, Row, tallies

NOW = datetime(2026, 11, 22, 17, 4, 5, tzinfo=UTC)
ROWS: list[Row] = list(tallies(NOW, Random(SEED), classes()))
CALM = range(700, 800)


def ago(begins_at: datetime) -> int:
    return int((NOW.replace(second=0) - begins_at) / timedelta(minutes=1))


#: By the minute, counted back from now, and by kind: how many of each name.
MINUTES: defaultdict[tuple[int, str], Counter[str]] = defaultdict(Counter)
for _span, _begins_at, _kind, _name, _, _count in ROWS:
    if _span == Tally.Span.MINUTE:
        MINUTES[ago(_begins_at), _kind][_name] = _count


def total(kind: str, *names: str, within: range = range(DAY + 1)) -> int:
    """The sum of these minutes' tallies."""
    found = [MINUTES[minute, kind] for minute in within]
    return sum(sum(counts[name] for name in names) if names else counts.total() for counts in found)


def percentile(part: int, within: range) -> int:
    """Milliseconds within which that part of the sends went, by the names of their classes."""
    counts = {name: total("latency", name, within=within) for name, _ in classes()}
    wanted = sum(counts.values()) * part / 100
    sofar = 0
    for name, count in counts.items():
        sofar += count
        if sofar >= wanted:
            return int(name)
    raise AssertionError("there is no send")


def after(minutes: range) -> range:
    """As many minutes of the calm before a trouble as it lasted."""
    return range(minutes.stop + 5, minutes.stop + 5 + len(minutes))


def test_noon_is_busier_than_night():
    assert total("ended", within=range(600, 660)) > 5 * total("ended", within=range(1300, 1360))


def test_in_the_storm_more_expires_and_all_takes_longer():
    before = after(STORM_MINUTES)
    assert total("ended", "expired", within=STORM_MINUTES) > 20 * total("ended", "expired", within=before)
    assert percentile(95, STORM_MINUTES) > 5 * percentile(95, before)


def test_in_the_outage_less_is_sent_and_some_is_given_up():
    before = after(OUTAGE_MINUTES)
    assert 2 * total("ended", "sent", within=OUTAGE_MINUTES) < total("ended", "sent", within=before)
    assert total("code", "exhausted", within=OUTAGE_MINUTES) > 20
    assert total("code", "exhausted", within=before) == 0


def test_half_of_the_sends_took_80_ms_and_95_of_100_took_300():
    assert 70 <= percentile(50, CALM) <= 95
    assert 250 <= percentile(95, CALM) <= 340


def test_some_have_opted_out_and_some_have_removed_the_app():
    ended = total("ended")
    assert 0.02 < total("code", "opted_out") / ended < 0.05
    assert 0.005 < total("code", "UNREGISTERED") / ended < 0.02


def test_every_delivery_that_was_accepted_has_a_latency():
    assert total("device", "sent") == total("latency")


def test_the_hours_are_the_sums_of_their_minutes_and_go_back_a_week():
    hours = [row for row in ROWS if row[0] == Tally.Span.HOUR]
    assert min(row[1] for row in hours) <= NOW - timedelta(days=6, hours=23)
    begins_at = NOW.replace(minute=0, second=0) - timedelta(hours=5)
    [hour] = [row[-1] for row in hours if row[1:4] == (begins_at, "ended", "sent")]
    within = range(ago(begins_at) - 59, ago(begins_at) + 1)
    assert hour == total("ended", "sent", within=within)


def test_it_is_the_same_day_for_everybody():
    assert list(tallies(NOW, Random(SEED), classes())) == ROWS
