"""What a supervisor is to see: a process that ends when a part of it hangs or dies, and one that outlasts outages."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deliveries.broker.inspection import look_at
from tests.world import all_ended, check_invariants, counted, eventually, message

SABOTEUR = Path(__file__).parent / "saboteur" / "hanging"
LIMIT = 3  # seconds
WATCHED = {"WATCHDOG_TIMEOUT": str(LIMIT)}
BARKED = "ending the process"

#: What each sabotage makes the process say, and its exit status.
ENDS = {
    "hang_the_loop": ("The event loop has not moved for", 70),
    "hang_the_writer": ("The writer has not moved for", 70),
    "hang_a_thread": ("One of the worker's threads has not moved for", 70),
    "hang_a_consumer": ("The consumer of push.queue", 70),
    "hold_the_interpreter": ("Timeout (0:00:06)!", 1),
    "kill_a_thread": ("One of the worker's threads has died", 70),
    "kill_a_consumer": ("has died", 70),
}


@pytest.fixture
def sabotaged(worker, tmp_path) -> Callable[..., tuple]:
    """Starts a worker with a saboteur in it; gives both it and a way to give orders."""

    def start(name: str) -> tuple:
        orders = tmp_path / name
        orders.mkdir()
        saboteur = {"PYTHONPATH": os.pathsep.join([str(SABOTEUR), os.environ.get("PYTHONPATH", "")])}
        running = worker(**WATCHED, **saboteur, SABOTEUR_ORDERS=str(orders))
        return running, lambda order: (orders / order).touch()

    return start


def test_whatever_hangs_or_dies_ends_its_process_and_nothing_is_lost(sabotaged, worker, producer, sandbox):
    workers = {name: sabotaged(name) for name in ENDS}
    for running, _ in workers.values():
        running.wait_until_ready()
    eventually(lambda: look_at(producer.channel.connection, "push.queue").consumers == len(ENDS), what="all consumers")
    for name, (_, order) in workers.items():
        order(name)
    for number in range(100):
        producer.publish(message(f"hang-{number}", f"ok-{number}"))
    for name, (words, status) in ENDS.items():
        running, _ = workers[name]
        eventually(lambda running=running: running.status is not None, within=30, what=f"the end after {name}")
        assert running.status == status, running.words()
        assert words in running.words()
        assert (BARKED in running.words()) == (status == 70)
        assert "most recent call first" in running.words(), "where every thread was"
    worker(**WATCHED)
    eventually(lambda: counted("notifications", "status") == {"sent": 100} and all_ended(), within=60)
    check_invariants(sandbox, answers_lost=True)


def test_what_others_hold_up_is_no_stall(worker, producer, postgres, rabbitmq, sandbox):
    """All places taken by a slow FCM; PostgreSQL and RabbitMQ away: each for longer than a part may hang."""
    sandbox.control("fcm", "slow", latency_ms=1500)
    running = worker(**WATCHED, MAX_IN_FLIGHT="5").wait_until_ready()
    eventually(lambda: look_at(producer.channel.connection, "push.queue").consumers, what="a consumer")
    for number in range(30):
        producer.publish(message(f"n{number}"))
    producer.close()
    eventually(lambda: counted("notifications", "status").get("sent", 0) >= 20, what="four rounds of five")
    with postgres.frozen():
        rabbitmq.stop()
        time.sleep(LIMIT + 2)
    rabbitmq.start()
    eventually(lambda: counted("notifications", "status") == {"sent": 30} and all_ended(), within=60)
    assert BARKED not in running.words()
    assert running.terminate() == 0
    check_invariants(sandbox)
