"""Four crashes in a row, and twenty rolling restarts, under load."""

import time

import pytest

from tests.chaos.load import Load
from tests.world import eventually, message, query

P99_LIMIT = 3.0  # seconds


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.fault("worker killed")
def test_six_thousand_survive_four_crashes(slow_scene, tell):
    scene, few = slow_scene, {"MAX_IN_FLIGHT": "150"}  # or all would be over before the second crash

    def workers() -> None:
        for worker in [scene.worker(**few), scene.worker(**few)]:
            worker.wait_until_ready()

    def more_sent(count: int) -> None:
        goal = scene.accepted() + count
        eventually(lambda: scene.accepted() >= goal, within=120, what=f"{count} more sent")

    scene.publish(f"n{number}" for number in range(6000))
    workers()
    more_sent(300)
    scene.kill()
    workers()
    more_sent(300)
    scene.rabbit.kill()
    scene.rabbit.start()
    more_sent(300)
    scene.postgres.restart()
    more_sent(300)
    scene.kill()
    workers()
    scene.drained(within=240)
    tell(f"unknown outcomes {scene.unknowns()}, repeats at FCM {scene.repeats()}, {scene.statuses()}")
    assert scene.statuses() == {"sent": 6000}
    assert len(scene.sandbox.reports()) == 6000
    assert scene.repeats() <= scene.unknowns()
    scene.check()


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.fault("rolling deploy")
def test_twenty_rolling_restarts_cost_nothing_but_a_moment(brisk_scene, tell):
    scene, patient = brisk_scene, {"DELIVERY_LEASE": "6"}
    workers = [scene.worker(**patient).wait_until_ready(), scene.worker(**patient).wait_until_ready()]
    load = Load(scene, (message(f"n{number}") for number in range(10**6)), 300)
    for turn in range(20):
        time.sleep(2)
        assert workers[turn % 2].terminate() == 0
        workers[turn % 2] = scene.worker(**patient).wait_until_ready()
    load.stop()
    scene.drained()
    [[count, accepted_to_sent]] = query(
        "SELECT count(*), percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM d.sent_at - n.created_at))"
        " FROM push_deliveries d JOIN notifications n USING (notification_id)"
    )
    sent_at = dict(query("SELECT notification_id, extract(epoch FROM sent_at)::float8 FROM push_deliveries"))
    waits = sorted(sent_at[id] - at for id, at in load.published_at.items() if id in sent_at)
    published_to_sent = waits[int(len(waits) * 0.99)]
    tell(f"{count} sent; p99: {accepted_to_sent:.3f} s from accept, {published_to_sent:.3f} s from publish to sent")
    assert set(scene.statuses()) == {"sent"}
    assert scene.unknowns() == 0
    assert scene.repeats() == 0
    assert accepted_to_sent < P99_LIMIT
    scene.check()
