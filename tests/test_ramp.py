"""The ramp: places are in order, never closer than it allows, and none is given twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.ramp import RAMP, Ramp

RAMPS = st.builds(lambda full, share: Ramp(full * share, full), st.floats(0.5, 20_000), st.floats(1 / 64, 1))
TIMES = st.floats(0, 1000)


@given(TIMES, st.integers(0, 300), RAMPS)
def test_places_are_in_order_and_none_is_given_away_already(taken: float, count: int, ramp: Ramp) -> None:
    times, end = ramp.places(taken, count)
    assert len(times) == count
    assert times == sorted(times)
    assert all(taken == pytest.approx(times[0]) or time > taken for time in times)
    assert end >= max(times, default=taken) - 1e-9


@given(TIMES, st.integers(1, 300), RAMPS, st.floats(0, 1), st.floats(0, 1))
def test_no_window_has_more_places_than_the_ramp_allows_in_it(
    taken: float, count: int, ramp: Ramp, begin: float, end: float
) -> None:
    times, last = ramp.places(taken, count)
    begin, end = sorted(taken + share * (last - taken) for share in (begin, end))
    allowed = ramp.sends_until(end) - ramp.sends_until(begin)
    assert sum(begin <= time < end for time in times) <= allowed + 1.001


@given(st.integers(1, 300), RAMPS)
def test_the_time_of_a_place_is_when_the_ramp_has_allowed_so_many(count: int, ramp: Ramp) -> None:
    times, _ = ramp.places(0.0, count)
    assert [ramp.sends_until(time) for time in times] == pytest.approx(range(count), abs=1e-6)


@given(TIMES, st.lists(st.integers(0, 50), max_size=5), RAMPS)
def test_places_that_are_given_in_parts_are_the_same(taken: float, parts: list[int], ramp: Ramp) -> None:
    whole, end = ramp.places(taken, sum(parts))
    given_away: list[float] = []
    for count in parts:
        times, taken = ramp.places(taken, count)
        given_away += times
    assert given_away == pytest.approx(whole, abs=1e-6)
    assert taken == pytest.approx(end, abs=1e-6)


@given(RAMPS, TIMES, st.floats(0, 10))
def test_it_never_sends_faster_than_at_its_full_pace(ramp: Ramp, time: float, more: float) -> None:
    sent = ramp.sends_until(time + more) - ramp.sends_until(time)
    assert 0 <= sent <= ramp.full * more * 1.000001 + 1e-6
    assert sent <= ramp.pace / RAMP * (time + more) * more * 1.000001 + 1e-6


def test_it_climbs_evenly_to_its_full_pace_in_a_minute_and_stays_there() -> None:
    ramp = Ramp(600, 600)
    per_second = [ramp.sends_until(second + 1) - ramp.sends_until(second) for second in range(120)]
    assert per_second[0] == pytest.approx(5), "half a second of the first second's rate"
    assert per_second[29] + per_second[30] == pytest.approx(600), "half the pace in the middle"
    assert per_second[60:] == pytest.approx([600] * 60)


def test_a_ramp_of_half_the_pace_climbs_for_two_minutes() -> None:
    ramp = Ramp(300, 600)
    per_second = [ramp.sends_until(second + 1) - ramp.sends_until(second) for second in range(180)]
    assert per_second[59] + per_second[60] == pytest.approx(600), "half the pace after a minute"
    assert per_second[119] < 600
    assert per_second[120:] == pytest.approx([600] * 60)
