"""Charts are SVG that tells its figures in words too, and draws what it is given."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from deliveries.console.charts import Bar, Chart, Series, bars, layers, lines, moment, rounded_up

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def chart(*series: Series, **more) -> Chart:
    times = [NOON + timedelta(minutes=place) for place in range(len(series[0].values))]
    return Chart("pushes", "Pushes, each minute", "12 in 3 min.", times, series, **more)


def of(*values: float | None, name: str = "sent", look: str = "sent") -> Series:
    return Series(name, look, values)


def path(drawn) -> str:
    [(_, path)] = drawn
    return path


# What is drawn


def test_bars_stand_on_each_other():
    below, above = dict(layers([of(1, 0), of(3, 2, look="failed")], top=4)).items()
    assert below == ("sent", "M30 200v-50h440v50z")
    assert above == ("failed", "M30 150v-150h440v150zM530 200v-100h440v100z")


def test_a_line_goes_from_value_to_value_and_not_through_a_gap():
    assert path(lines([of(0, 5, None, 10, 10)], top=10)) == "M100 200L300 100M700 0L900 0"


def test_a_value_on_its_own_is_seen():
    assert path(lines([of(None, 5, None)], top=10)) == "M333.3 100h333.3"


def test_nothing_stands_out_of_the_chart():
    assert path(lines([of(150, 50)], top=100)) == "M250 0L750 100"


@pytest.mark.parametrize(
    ("value", "top"), [(0, 1), (1, 2), (3, 4), (10, 10), (11, 12), (211, 240), (5001, 6000), (0.31, 0.4), (9.5, 10)]
)
def test_the_scale_ends_at_a_round_number(value, top):
    assert rounded_up(value) == pytest.approx(top)


def test_every_step_tells_its_figures_to_who_points_at_it():
    drawing = chart(of(1, None), of(2, 4, name="failed")).drawing
    assert re.findall(r"<title>(.*?)</title>", drawing, re.DOTALL) == [
        "02 Jan 12:00 UTC\nsent 1\nfailed 2",
        "02 Jan 12:01 UTC\nsent -\nfailed 4",
    ]


def test_a_drawing_has_a_name_and_a_summary_for_who_does_not_see_it():
    drawing = chart(of(1, 2)).drawing
    assert 'role="img" aria-labelledby="pushes-title pushes-summary"' in drawing
    assert '<title id="pushes-title">Pushes, each minute</title>' in drawing
    assert '<desc id="pushes-summary">12 in 3 min.</desc>' in drawing


def test_the_scale_stands_beside_it_in_the_charts_own_words():
    drawing = chart(of(50.0, 70.0), show="{:.0f} %".format, top=100.0).drawing
    assert re.findall(r"<span>(.*?)</span>", drawing) == ["100 %", "50 %", "0 %", "12:00", "12:01", "12:01"]


def test_times_of_several_days_have_their_day():
    assert moment(NOON, [NOON, NOON + timedelta(days=1)]) == "02 Jan 12:00"
    assert moment(NOON, [NOON, NOON + timedelta(hours=1)]) == "12:00"


@pytest.mark.parametrize(("values", "stacked"), [((None, None), False), ((0, 0), True), ((None, 0), True)])
def test_where_there_is_nothing_nothing_is_drawn(values, stacked):
    assert chart(of(*values), stacked=stacked).drawing == ""


def test_a_line_of_noughts_is_something():
    assert "M250 200L750 200" in chart(of(0.0, 0.0)).drawing


def test_the_figures_are_a_table_the_latest_first_without_the_steps_of_which_there_are_none():
    drawn = chart(of(1, None, 1234), of(0, None, None))
    assert drawn.rows.splitlines() == [
        '<tr><th scope="row">2026-01-02 12:02</th><td>1,234</td><td>-</td></tr>',
        '<tr><th scope="row">2026-01-02 12:00</th><td>1</td><td>0</td></tr>',
    ]


def test_what_others_named_is_escaped():
    assert "<b>" not in chart(of(1, name="<b>")).drawing
    assert "<b>" not in bars([Bar("<b>", 1, '"><b>')])


# Bars


def test_the_longest_bar_is_as_wide_as_there_is_room():
    drawn = bars([Bar("UNREGISTERED", 4000, "/there"), Bar("opted_out", 1000, "/here")])
    assert re.findall(r'width="([\d.]+)"', drawn) == ["100", "25"]
    assert 'href="/there">UNREGISTERED</a>' in drawn
    assert "4,000" in drawn
    assert 'href="/here">opted_out</a>' in drawn
