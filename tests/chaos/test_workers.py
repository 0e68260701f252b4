"""Workers that are killed, replaced, or in each other's way."""

import pytest

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
