"""Times as operators write them."""

from argparse import ArgumentTypeError
from datetime import UTC, datetime, timedelta, timezone

import pytest

from deliveries.management.periods import moment, period


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("30m", timedelta(minutes=30)),
        ("2h", timedelta(hours=2)),
        ("1h30m", timedelta(minutes=90)),
        ("30d", timedelta(days=30)),
        ("2w", timedelta(weeks=2)),
    ],
)
def test_a_length_of_time_is_read(text, length):
    assert period(text) == length
    assert abs(datetime.now(UTC) - length - moment(text)) < timedelta(seconds=5)


def test_a_moment_is_in_utc_unless_it_names_a_zone():
    assert moment("2026-11-22T14:00") == datetime(2026, 11, 22, 14, tzinfo=UTC)
    assert moment("2026-11-22") == datetime(2026, 11, 22, tzinfo=UTC)
    assert moment("2026-11-22T14:00Z") == datetime(2026, 11, 22, 14, tzinfo=UTC)
    assert moment("2026-11-22T14:00+02:00") == datetime(2026, 11, 22, 14, tzinfo=timezone(timedelta(hours=2)))


@pytest.mark.parametrize("text", ["", "h", "2", "2x", "-2h", "2.5h", "2 h", "99999999999999d", "9999999d"])
def test_what_is_no_time_is_refused_with_an_example(text):
    with pytest.raises(ArgumentTypeError, match=r"write|longer than|no calendar"):
        moment(text)
