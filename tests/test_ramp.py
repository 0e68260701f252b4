"""The ramp: places are in order, never closer than it allows, and none is given twice."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.ramp import RAMP, places, sends_until

PACES = st.floats(0.5, 20_000)
TIMES = st.floats(0, 1000)


@given(TIMES, st.integers(0, 300), PACES)
def test_places_are_in_order_and_none_is_given_away_already(taken: float, count: int, pace: float) -> None:
    times, end = places(taken, count, pace)
    assert len(times) == count
    assert times == sorted(times)
    assert all(taken == pytest.approx(times[0]) or time > taken for time in times)
    assert end >= max(times, default=taken) - 1e-9


@given(TIMES, st.integers(1, 300), PACES, st.floats(0, 1), st.floats(0, 1))
def test_no_window_has_more_places_than_the_ramp_allows_in_it(
    taken: float, count: int, pace: float, begin: float, end: float
) -> None:
    times, last = places(taken, count, pace)
    begin, end = sorted(taken + share * (last - taken) for share in (begin, end))
    allowed = sends_until(end, pace) - sends_until(begin, pace)
    assert sum(begin <= time < end for time in times) <= allowed + 1.001


@given(st.integers(1, 300), PACES)
def test_the_time_of_a_place_is_when_the_ramp_has_allowed_so_many(count: int, pace: float) -> None:
    times, _ = places(0.0, count, pace)
    assert [sends_until(time, pace) for time in times] == pytest.approx(range(count), abs=1e-6)


@given(TIMES, st.lists(st.integers(0, 50), max_size=5), PACES)
def test_places_that_are_given_in_parts_are_the_same(taken: float, parts: list[int], pace: float) -> None:
    whole, end = places(taken, sum(parts), pace)
    given_away: list[float] = []
    for count in parts:
        times, taken = places(taken, count, pace)
        given_away += times
    assert given_away == pytest.approx(whole, abs=1e-6)
    assert taken == pytest.approx(end, abs=1e-6)


def test_it_climbs_evenly_to_its_pace_in_a_minute_and_as_evenly_beyond() -> None:
    per_second = [sends_until(second + 1, 600) - sends_until(second, 600) for second in range(120)]
    assert per_second[0] == pytest.approx(5), "half a second of the first second's rate"
    assert per_second[29] + per_second[30] == pytest.approx(600), "half the pace in the middle"
    assert per_second[59] + per_second[60] == pytest.approx(1200), "the pace after RAMP seconds"
    assert sends_until(2 * RAMP, 600) == 4 * sends_until(RAMP, 600)
