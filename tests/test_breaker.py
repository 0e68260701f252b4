"""The breaker: who is admitted when, which outcomes count, and what it leans on in pybreaker."""

from __future__ import annotations

import asyncio
import inspect
import logging
from importlib.metadata import version

import pybreaker
import pytest

import providers.breaker
from providers.breaker import Breaker, BreakerOpen, Ticket
from tests.clocks import Clock, clock_of


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clock_of(providers.breaker, monkeypatch)


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker("fcm", fail_max=3, reset_timeout=60)


def fail(breaker: Breaker, times: int = 1) -> None:
    for _ in range(times):
        breaker.admit().failure("500")


def admitted(breaker: Breaker) -> bool:
    try:
        breaker.admit()
    except BreakerOpen:
        return False
    return True


def probe(breaker: Breaker, clock: Clock) -> Ticket:
    """The first ticket after an outage."""
    fail(breaker, 3)
    clock.now += 60
    return breaker.admit()


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 2)
    assert breaker.state == "closed"
    assert breaker.retry_after == 0
    fail(breaker)
    assert breaker.state == "open"
    clock.now += 20
    with pytest.raises(BreakerOpen) as held:
        breaker.admit()
    assert held.value.retry_after == 40


def test_a_success_starts_the_count_again(breaker: Breaker) -> None:
    for _ in range(5):
        fail(breaker, 2)
        breaker.admit().success()
    assert breaker.state == "closed"


def leave(ticket: Ticket) -> None:
    """A call that ends without an outcome."""
    with ticket:
        pass


def test_a_call_without_an_outcome_neither_counts_nor_starts_the_count_again(breaker: Breaker) -> None:
    for _ in range(50):
        leave(breaker.admit())
    fail(breaker, 2)
    leave(breaker.admit())
    assert breaker.state == "closed"
    fail(breaker)
    assert breaker.state == "open"


def test_half_open_admits_one_of_a_hundred(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 59.9
    assert not admitted(breaker)
    clock.now += 0.1
    assert [admitted(breaker) for _ in range(100)] == [True] + [False] * 99
    assert breaker.state == "half-open"
    assert breaker.retry_after == 6, "the others ask again when the probe may have ended"


def test_a_probe_that_succeeds_closes_it(breaker: Breaker, clock: Clock) -> None:
    probe(breaker, clock).success()
    assert breaker.state == "closed"
    assert all(admitted(breaker) for _ in range(100))
    fail(breaker, 2)
    assert breaker.state == "closed", "and the failures of before are forgotten"


def test_a_probe_that_fails_opens_it_for_the_whole_time_again(breaker: Breaker, clock: Clock) -> None:
    probe(breaker, clock).failure("500")
    assert breaker.state == "open"
    assert breaker.retry_after == 60


@pytest.mark.parametrize("how", ["leave", "raise", "cancel"])
def test_a_probe_without_an_outcome_gives_its_place_back(breaker: Breaker, clock: Clock, how: str) -> None:
    ticket = probe(breaker, clock)
    if how == "leave":
        leave(ticket)
    elif how == "raise":
        with pytest.raises(ZeroDivisionError), ticket:
            _ = 1 / 0
    else:
        asyncio.run(cancelled_within(ticket))
    assert breaker.state == "half-open"
    assert [admitted(breaker) for _ in range(10)] == [True] + [False] * 9


async def cancelled_within(ticket: Ticket) -> None:
    inside = asyncio.Event()

    async def call() -> None:
        with ticket:
            inside.set()
            await asyncio.sleep(3600)

    task = asyncio.create_task(call())
    await inside.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_leaving_does_not_undo_a_reported_outcome(breaker: Breaker) -> None:
    for _ in range(3):
        with breaker.admit() as ticket:
            ticket.failure("500")
    assert breaker.state == "open"


def test_only_the_first_report_of_a_call_counts(breaker: Breaker) -> None:
    ticket = breaker.admit()
    for _ in range(10):
        ticket.failure("500")
    ticket.success()
    assert breaker.snapshot()["failures"] == 1


def test_late_failures_do_not_keep_an_open_breaker_open(breaker: Breaker, clock: Clock) -> None:
    in_flight = [breaker.admit() for _ in range(100)]
    fail(breaker, 3)
    for ticket in in_flight:
        clock.now += 0.5
        ticket.failure("500")
    assert breaker.retry_after == 10


def test_late_outcomes_do_not_touch_a_half_open_breaker(breaker: Breaker, clock: Clock) -> None:
    early_success, early_failure = breaker.admit(), breaker.admit()
    the_probe = probe(breaker, clock)
    early_success.success()
    assert breaker.state == "half-open"
    early_failure.failure("500")
    assert breaker.state == "half-open"
    assert not admitted(breaker), "nor do they give the probe's place away"
    the_probe.success()
    assert breaker.state == "closed"


def test_stale_failures_do_not_open_a_breaker_that_closed_again(breaker: Breaker, clock: Clock) -> None:
    in_flight = [breaker.admit() for _ in range(100)]
    probe(breaker, clock).success()
    for ticket in in_flight:
        ticket.failure("500")
    assert breaker.state == "closed"
    assert breaker.snapshot()["failures"] == 0


def test_hundreds_of_calls_in_flight_share_one_probe() -> None:
    """As in life: coroutines that wait, an outage, a recovery; no wall clock, no lock held while waiting."""

    async def scenario() -> tuple[int, int]:
        breaker, healthy, calls = Breaker("peer", fail_max=5, reset_timeout=0.05), False, 0

        async def call() -> None:
            nonlocal calls
            try:
                ticket = breaker.admit()
            except BreakerOpen:
                return
            with ticket:
                calls += 1
                await asyncio.sleep(0.001)
                ticket.success() if healthy else ticket.failure("500")

        await asyncio.gather(*(call() for _ in range(300)))
        in_outage, calls = calls, 0
        await asyncio.sleep(0.06)
        healthy = True
        await asyncio.gather(*(call() for _ in range(300)))
        assert breaker.state == "closed"
        return in_outage, calls

    assert asyncio.run(scenario()) == (300, 1)


def test_a_change_of_state_is_one_line_in_the_log(
    breaker: Breaker, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="providers.breaker"):
        probe(breaker, clock).success()
    assert caplog.messages == [
        "breaker fcm: closed -> open",
        "breaker fcm: open -> half-open",
        "breaker fcm: half-open -> closed",
    ]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO", "INFO"]


def test_the_snapshot_says_what_an_operator_asks(breaker: Breaker, clock: Clock) -> None:
    well = {"failing_for": None, "last_error": "", "p95": None}
    assert breaker.snapshot() == {"name": "fcm", "state": "closed", "failures": 0, "retry_after": 0.0} | well
    fail(breaker, 3)
    clock.now += 1.23
    failing = {"failing_for": 1.2, "last_error": "500", "p95": 0.0}
    assert breaker.snapshot() == {"name": "fcm", "state": "open", "failures": 3, "retry_after": 58.8} | failing


def test_it_fails_since_the_first_failure_until_a_success_and_tells_of_the_last(breaker: Breaker, clock: Clock) -> None:
    breaker.admit().failure("500")
    clock.now += 5
    breaker.admit().failure("timed out")
    breaker.admit().failure("503")
    clock.now += 60
    trial = breaker.admit()
    assert (breaker.snapshot()["failing_for"], breaker.snapshot()["last_error"]) == (65.0, "503")
    trial.success()
    assert (breaker.snapshot()["failing_for"], breaker.snapshot()["last_error"]) == (None, "503")
    clock.now += 60
    breaker.admit().failure("500")
    assert breaker.snapshot()["failing_for"] == 0.0, "of this trouble, not of that which is over"


def test_the_p95_is_that_of_the_last_calls_whatever_came_of_them(breaker: Breaker, clock: Clock) -> None:
    for milliseconds in range(1, 101):
        with breaker.admit():
            clock.now += milliseconds / 1000
    assert breaker.snapshot()["p95"] == pytest.approx(0.095)
    for _ in range(providers.breaker.CALLS):
        with breaker.admit() as ticket:
            clock.now += 2.0
            ticket.success()
    assert breaker.snapshot()["p95"] == pytest.approx(2.0), "what was before them is forgotten"


def test_pybreaker_is_what_this_was_written_for() -> None:
    """A new version is looked at before it is taken: these are the names and habits that we lean on."""
    assert version("pybreaker") == "1.4.1"
    options = inspect.signature(pybreaker.CircuitBreaker).parameters
    assert {"fail_max", "reset_timeout", "name", "listeners", "throw_new_error_on_trip"} <= options.keys()
    listener = inspect.signature(pybreaker.CircuitBreakerListener.state_change).parameters
    assert list(listener) == ["self", "cb", "old_state", "new_state"]
    states = pybreaker.STATE_CLOSED, pybreaker.STATE_OPEN, pybreaker.STATE_HALF_OPEN
    assert states == ("closed", "open", "half-open")


def test_pybreaker_reraises_what_tripped_it_and_obeys_half_open() -> None:
    circuit = pybreaker.CircuitBreaker(fail_max=1, throw_new_error_on_trip=False)
    for state in ("closed", "half-open"):
        assert circuit.current_state == state
        with pytest.raises(ZeroDivisionError):
            circuit.call(lambda: 1 // 0)
        assert (circuit.current_state, circuit.fail_counter > 0) == ("open", True)
        circuit.half_open()
    circuit.call(lambda: None)
    assert (circuit.current_state, circuit.fail_counter) == ("closed", 0)
