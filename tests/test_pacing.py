"""Pacing: as fast as allowed and no faster, and Ctrl-C between two batches."""

import io
import signal

import pytest
from django.core.management.base import OutputWrapper

from deliveries.management import pacing
from deliveries.management.pacing import Interruption, Progress, paced
from tests.clocks import clock_of
from tests.terminals import Terminal


@pytest.fixture
def clock(monkeypatch):
    return clock_of(pacing, monkeypatch)


def test_batches_are_small_where_the_rate_is_and_bounded_where_it_is_not(clock):
    sizes = [len(batch) for batch in paced(range(4), 3, Interruption())]
    assert sizes == [3, 1]
    assert [len(batch) for batch in paced(range(250), 1_000_000, Interruption())] == [100, 100, 50]


def test_a_stall_is_not_made_up_for_by_a_burst(clock):
    start, begun = clock.now, []
    for _ in paced(range(4), 10, Interruption(), most=1):
        begun.append(clock.now - start)
        clock.now += 0.3 if len(begun) == 1 else 0
    assert begun == pytest.approx([0, 0.3, 0.4, 0.5])


def test_an_interruption_ends_a_pause_and_what_comes_after_it(clock, monkeypatch):
    """Of the 60 s until the next batch, one blink is slept."""
    sleep = clock.sleep
    monkeypatch.setattr(clock, "sleep", lambda seconds: (sleep(seconds), signal.raise_signal(signal.SIGTERM)))
    with Interruption() as interruption:
        batches = paced(range(100), 1 / 60, interruption)
        next(batches)
        begun = clock.now
        assert list(batches) == []
    assert clock.now - begun == pytest.approx(pacing.BLINK)


def test_a_second_ctrl_c_ends_it_at_once():
    with Interruption(), pytest.raises(KeyboardInterrupt):  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)


def test_progress_overwrites_its_line_and_leaves_none():
    terminal = Terminal()
    progress = Progress(OutputWrapper(terminal), "done", 4000)
    progress.show(1000)
    progress.clear()
    _, shown, left = terminal.getvalue().split("\r\x1b[K")
    assert shown.startswith("1,000/4,000 (25%) done, ")
    assert left == ""


def test_the_time_that_is_left_reckons_with_the_rate():
    terminal = Terminal()
    Progress(OutputWrapper(terminal), "done", 1000, 10).show(10)
    assert terminal.getvalue().endswith("10/s, 99 s left")


def test_without_a_terminal_there_is_no_progress():
    nobody = io.StringIO()
    Progress(OutputWrapper(nobody), "done", 10).show(5)
    assert nobody.getvalue() == ""
