"""Workers that all want the same rows at the same moment."""

import random

import pika
import pytest

from deliveries.broker import Topology
from deliveries.broker.waking import Waker
from deliveries.contract import read_document
from deliveries.ledger import Accept, direct
from tests.chaos.scene import Scene
from tests.world import message, query


@pytest.mark.fault("two workers, one row")
def test_three_workers_that_are_woken_for_the_same_thousand_rows_send_each_once(scene):
    for worker in [scene.worker(DELIVERY_LEASE="6") for _ in range(3)]:
        worker.wait_until_ready()
    ids = [f"n{number}" for number in range(1000)]
    direct.write([Accept(read_document(message(id)), "api", False, 3600.0) for id in ids])
    scene.confirmed.update(ids)
    wake(scene, ids)
    scene.drained()
    assert scene.statuses() == {"sent": 1000}
    assert (scene.unknowns(), scene.accepted()) == (0, 1000)
    assert query("SELECT DISTINCT fence FROM notifications") == [(1,)], "each was claimed once"
    scene.check()


def wake(scene: Scene, ids: list[str]) -> None:
    """Wakes all workers for all of them, several times and each time in another order."""
    waker = Waker([pika.URLParameters(scene.rabbit.url)], Topology().wake_queue)
    for _ in range(6):
        assert waker.wake(random.sample(ids, len(ids)))
    waker.close()
