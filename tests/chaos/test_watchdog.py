"""What a supervisor is to see: a process that ends when a part of it hangs or dies, and one that outlasts outages."""

import os
import time
from collections.abc import Callable

import pytest

from pushproject.processes import is_alive
from tests.chaos.test_rabbitmq import away
from tests.world import ROOT, counted, eventually, query

SABOTEUR = ROOT / "tests" / "saboteur" / "hanging"
LIMIT = 3  # seconds
WATCHED = {"WATCHDOG_TIMEOUT": str(LIMIT)}
BARKED = "ending the process"

#: What each sabotage makes the process say, and its exit status.
ENDS = {
    "hang_the_loop": ("The event loop has not moved for", 70),
    "hang_the_writer": ("The writer has not moved for", 70),
    "hang_a_thread": ("One of the worker's threads has not moved for", 70),
    "hang_a_consumer": ("The consumer of push.queue", 70),
    "kill_a_thread": ("One of the worker's threads has died", 70),
    "kill_a_consumer": ("has died", 70),
}


@pytest.fixture
def sabotaged(scene, tmp_path) -> Callable[..., tuple]:
    """Starts a worker with a saboteur in it; gives both it and a way to give orders."""

    def start(name: str) -> tuple:
        orders = tmp_path / name
        orders.mkdir()
        saboteur = {"PYTHONPATH": os.pathsep.join([str(SABOTEUR), os.environ.get("PYTHONPATH", "")])}
        running = scene.worker(**WATCHED, **saboteur, SABOTEUR_ORDERS=str(orders))
        return running, lambda order: (orders / order).touch()

    return start


#: The same of who holds the interpreter, and with it the watchdog: ten times as long.
HELD = {"hold_the_interpreter": ("Timeout (0:00:30)!", 1)}


@pytest.mark.fault("worker hangs")
@pytest.mark.parametrize("ends", [ENDS, pytest.param(HELD, marks=pytest.mark.long)], ids=["seen", "held"])
def test_whatever_hangs_or_dies_ends_its_process_and_nothing_is_lost(sabotaged, scene, ends):
    workers = {name: sabotaged(name) for name in ends}
    for running, _ in workers.values():
        running.wait_until_ready()
    eventually(lambda: scene.consumers() == len(ends), what="all consumers")
    for name, (_, order) in workers.items():
        order(name)
    for number in range(100):
        scene.publish([f"hang-{number}"], user=f"ok-{number}")
    for name, (words, status) in ends.items():
        running, _ = workers[name]
        eventually(lambda running=running: running.status is not None, within=60, what=f"the end after {name}")
        assert running.status == status, running.words()
        assert words in running.words()
        assert (BARKED in running.words()) == (status == 70)
        assert "most recent call first" in running.words(), "where every thread was"
    scene.forgive_lost_answers()
    scene.worker(**WATCHED)
    scene.drained()
    assert scene.statuses() == {"sent": 100}
    scene.check()


@pytest.mark.fault("worker hangs")
def test_what_others_hold_up_is_no_stall(scene):
    """All places taken by a slow FCM; PostgreSQL and RabbitMQ away: each for longer than a part may hang."""
    scene.sandbox.control("fcm", "slow", latency_ms=1000)
    running = scene.worker(**WATCHED, MAX_IN_FLIGHT="5").wait_until_ready()
    eventually(scene.consumers, what="a consumer")
    scene.publish(f"n{number}" for number in range(30))
    eventually(lambda: counted("notifications", "status").get("sent", 0) >= 20, what="four rounds of five")
    before = scene.size(running)
    with away(scene.rabbit, "stop"), scene.postgres.frozen():
        time.sleep(LIMIT + 2)
    scene.drained()
    assert scene.statuses() == {"sent": 30}
    assert BARKED not in running.words()
    scene.check_size(running, before)
    with scene.rabbit.frozen():
        assert running.terminate(within=30) == 0
    scene.check()


@pytest.mark.fault("worker killed")
def test_a_worker_whose_master_was_killed_finishes_what_it_has_begun_and_leaves(scene):
    scene.sandbox.control("fcm", "slow", latency_ms=3000)
    running = scene.worker(**WATCHED).wait_until_ready()
    eventually(scene.consumers, what="a consumer")
    scene.publish(["n1"])
    eventually(lambda: counted("notifications", "status") == {"sending": 1})
    [[pid]] = query("SELECT pid FROM workers")
    running.orphan()
    eventually(lambda: not is_alive(pid), what="the end of the worker")
    assert query("SELECT status, unknown_count FROM push_deliveries") == [("sent", 0)]
    scene.drained()
    scene.check()
