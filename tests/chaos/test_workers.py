"""Workers that are killed, replaced, or in each other's way."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.chaos.traffic import traffic
from tests.world import eventually


@pytest.mark.fault("worker killed")
def test_a_killed_worker_costs_one_resend_of_what_was_in_the_air(slow_scene):
    scene = slow_scene
    first = scene.worker().wait_until_ready()
    scene.publish(f"n{number}" for number in range(400))
    eventually(lambda: scene.accepted() > 50, what="some of them sent")
    scene.kill(first)
    second = scene.worker().wait_until_ready()
    scene.drained()
    assert scene.statuses() == {"sent": 400}
    assert scene.repeats() <= scene.unknowns()
    assert second.running
    scene.check()


@pytest.mark.fault("rolling deploy")
def test_workers_that_are_replaced_one_after_the_other_repeat_and_lose_nothing(slow_scene):
    scene = slow_scene
    patient = {"DELIVERY_LEASE": "6"}
    running = [scene.worker(**patient), scene.worker(**patient)]
    for worker in running:
        worker.wait_until_ready()
    leaving = []
    with ThreadPoolExecutor() as pool, traffic(scene.rabbit.url, scene.confirmed, "n", pause=0.01):
        eventually(lambda: scene.accepted() > 20, what="some of them sent")
        for _ in range(3):
            running.append(scene.worker(**patient).wait_until_ready())
            leaving.append(pool.submit(running.pop(0).terminate))
    assert [left.result() for left in leaving] == [0, 0, 0], "in good order"
    scene.drained()
    assert scene.statuses() == {"sent": len(scene.confirmed)}
    assert scene.unknowns() == 0
    assert scene.accepted() == len(scene.confirmed)
    scene.check()
