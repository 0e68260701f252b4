"""The clock: a round that fails does not stop it."""

import asyncio

import pytest

from deliveries import clock
from tests.peer import in_loop


@in_loop
async def _three_rounds(rounds):
    async def go_round():
        rounds.append(len(rounds))
        if len(rounds) == 1:
            raise RuntimeError("a bad day")
        if len(rounds) == 3:
            raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await clock.every_tick(go_round, "The night watchman")


def test_a_round_that_fails_is_logged_and_the_next_one_comes(monkeypatch, caplog):
    monkeypatch.setattr(clock, "TICK", 0.001)
    rounds = []
    _three_rounds(rounds)
    assert rounds == [0, 1, 2]
    assert caplog.messages == ["The night watchman could not do its round: RuntimeError: a bad day"]
