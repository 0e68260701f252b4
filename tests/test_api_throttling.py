"""How much each key may ask of a process."""

import pytest

from deliveries.api import throttling
from tests.api_client import DELIVERIES, Api, a_key, fault
from tests.clocks import Clock
from tests.world import message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def rate(settings):
    """Sets how many requests a minute a key may make."""

    def at(per_minute: int) -> None:
        settings.PUSH = settings.PUSH.model_copy(update={"api_rate": per_minute})

    return at


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(throttling, "monotonic", clock.monotonic)
    return clock


def let_in(api, times=1000):
    return sum(api.get(DELIVERIES).status_code == 200 for _ in range(times))


def test_who_asks_too_much_is_told_how_long_to_wait(api, rate, clock):
    rate(4)
    assert let_in(api, 10) == 4
    refused = api.get(DELIVERIES)
    assert (refused.status_code, fault(refused)["code"]) == (429, "throttled")
    assert refused["Retry-After"] == "15"
    assert "available in" not in fault(refused)["message"]
    clock.now += 15
    assert let_in(api, 10) == 1


def test_one_key_does_not_use_up_what_another_has(api, rate, clock):
    rate(1)
    assert let_in(api, 2) == 1
    assert let_in(Api(a_key("other")), 2) == 1


@pytest.mark.parametrize(("per_minute", "at_once"), [(1, 1), (30, 30), (60, 60), (600, 60), (6000, 100)])
def test_a_burst_is_a_second_or_sixty_requests_but_never_more_than_a_minute_brings(
    api, rate, clock, per_minute, at_once
):
    rate(per_minute)
    assert let_in(api, at_once + 5) == at_once


def test_a_list_counts_as_many_requests_as_it_has_items(api, rate, clock):
    rate(60)
    assert api.post([message(f"n-{n}") for n in range(90)]).status_code == 202
    assert let_in(api, 1) == 0
    clock.now += 30  # what it took beyond the bucket is paid for first
    assert let_in(api, 1) == 0
    clock.now += 2
    assert let_in(api, 5) == 2


def test_the_log_names_the_key_that_asks_too_much_once_a_minute(api, rate, clock, caplog):
    rate(1)
    with caplog.at_level("WARNING", "deliveries"):
        let_in(api, 5)
        assert ["tests" in line.getMessage() for line in caplog.records if line.name.startswith("deliveries")] == [True]
        clock.now += 61
        let_in(api, 5)
    assert len([line for line in caplog.records if line.name.startswith("deliveries")]) == 2


def test_who_has_no_key_is_not_counted(api, rate, clock):
    rate(1)
    assert {Api("wrong").get(DELIVERIES).status_code for _ in range(5)} == {401}
    assert let_in(api, 1) == 1
