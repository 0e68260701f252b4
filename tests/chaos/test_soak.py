"""The soak: 20,000 notifications in ten minutes, a random fault every 5 to 15 seconds, from one printed seed.

`SOAK_SEED` makes the same faults again; `SOAK_SECONDS` and `SOAK_NOTIFICATIONS` make it shorter.
"""

import json
import os
import random
import time
from contextlib import suppress

import pytest

from tests.chaos.load import Client, Load
from tests.chaos.mischief import Mischief
from tests.chaos.scene import Scene, at_work
from tests.chaos.test_watchdog import BARKED
from tests.world import WorkerProcess, eventually, message, query

SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))
NOTIFICATIONS = int(os.environ.get("SOAK_NOTIFICATIONS", "20000"))
SEEDS = [int(seed) for seed in os.environ.get("SOAK_SEED", str(random.randrange(10**6))).split()]

#: Of a hundred users: what becomes of them when nothing is broken.
USERS = (
    ("ok",) * 88
    + ("dead", "dead", "optout", "optout", "nodevice", "unknown", "multi", "multi", "multi", "malformed")
    + ("ok",) * 2
)


def some(dice: random.Random, prefix: str, count: int):
    """Messages as they come: most of them plain, some at most once, some sent twice by their producers."""
    for number in range(count):
        user = f"{dice.choice(USERS)}-{prefix}{number}"
        more = {"guarantee": "at_most_once"} if dice.random() < 0.1 else {}
        body = message(f"{prefix}{number}", user, ttl=3600, **more)
        yield body
        if dice.random() < 0.02:
            yield body


def all_are_alike(scene: Scene, survivors: list[WorkerProcess]) -> None:
    """I6: who lived through some of it has what a fresh worker has.

    Besides, if any copy of a dead letter was due: its thread, and its connection to RabbitMQ unless lost since.
    """
    fresh = scene.worker()
    at_work(scene, *survivors, fresh)
    threads, databases, brokers = scene.size(fresh)
    alike = {(threads, databases, brokers), *((threads + 1, databases, brokers + more) for more in (0, 1))}
    for worker in survivors:
        with suppress(pytest.fail.Exception):
            eventually(lambda one=worker: scene.size(one) in alike)
        assert scene.size(worker) in alike, f"I6: {worker.log.name} has not the size of {alike}"


@pytest.mark.long
@pytest.mark.timeout(SECONDS + 600)
@pytest.mark.fault("everything at random")
@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_lost_stuck_or_unreported(seed, brisk_scene, tell):
    scene = brisk_scene
    dice = random.Random(seed)
    mischief = Mischief(scene, random.Random(dice.random()), workers=2)
    mischief.start()
    scene.serve()
    share = NOTIFICATIONS // 5
    load = Load(
        scene, some(random.Random(dice.random()), "q", NOTIFICATIONS - share), (NOTIFICATIONS - share) / SECONDS
    )
    client = Client(scene.post_message, some(random.Random(dice.random()), "a", share), share / SECONDS)
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        mischief.tick()
        time.sleep(0.1)
    mischief.end()
    load.finish(within=300)
    client.finish()
    scene.forgive_lost_answers()
    eventually(mischief.all_run, what="workers that run")
    scene.drained(within=240)
    figures = {
        "accepted": len(scene.confirmed),
        "rows": query("SELECT count(*) FROM notifications")[0][0],
        "statuses": scene.statuses(),
        "unknown outcomes": scene.unknowns(),
        "repeats at FCM": scene.repeats(),
        "API answers": client.answers,
        "faults": dict(mischief.made),
        "died by themselves": mischief.died,
    }
    tell(json.dumps(figures))
    assert sum(mischief.made.values()) > 0
    assert mischief.died == [], "nobody dies that was not killed or told to stop"
    assert not [worker.log for worker in scene.workers if BARKED in worker.words()]
    assert client.answers.keys() <= {0, 202, 503}, "0 is no answer at all"
    assert len(load.published_at) == NOTIFICATIONS - share
    assert scene.confirmed >= load.published_at.keys()
    all_are_alike(scene, mischief.alive)
    scene.check()
    assert scene.repeats() <= scene.unknowns()
    assert not any("crash_loop" in status for status in figures["statuses"])
