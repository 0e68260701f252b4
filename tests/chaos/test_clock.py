"""Workers whose clocks are ten minutes off: leases and due times go by the database's, durations by no clock of day."""

import re
from datetime import UTC, datetime

import pytest

from tests.chaos.scene import Scene, wait
from tests.world import ROOT, WorkerProcess, counted, eventually, query

MINUTES = 60


def skewed(scene: Scene, seconds: int) -> WorkerProcess:
    """A worker whose clock of day is so much ahead."""
    return scene.worker(PYTHONPATH=str(ROOT / "tests" / "saboteur" / "skewed"), SKEW=str(seconds))


@pytest.mark.fault("clock skew")
def test_a_worker_whose_clock_is_behind_works_beside_one_whose_clock_is_right(slow_scene):
    scene = slow_scene
    behind, right = skewed(scene, -10 * MINUTES), scene.worker()
    for worker in (behind, right):
        worker.wait_until_ready()
    for turn in range(7):  # longer than a lease
        scene.publish(f"n{turn}-{number}" for number in range(50))
        wait(0.5)
    scene.drained()
    assert scene.statuses() == {"sent": 350}
    assert (scene.unknowns(), scene.repeats()) == (0, 0), "nobody is robbed"
    assert re.search(r"clock is (59|60)\d\.\d s behind the database's", behind.words())
    assert "clock is" not in right.words()
    reported = [datetime.fromisoformat(body["timestamp"]) for [body] in scene.sandbox.reports().values()]
    now = datetime.now(UTC)
    assert all(abs((now - at).total_seconds()) < 60 for at in reported), "the gateway is told the database's time"
    scene.check()


@pytest.mark.fault("clock skew")
def test_a_worker_whose_clock_is_ahead_is_let_in_nowhere_burns_nothing_and_robs_nobody(scene):
    """Google takes no assertion that was issued in ten minutes. Beside it, sends are in the air for over a lease."""
    ahead = skewed(scene, 10 * MINUTES).wait_until_ready()
    scene.publish(f"n{number}" for number in range(50))
    eventually(lambda: scene.statuses() == {"pending/invalid_grant": 50}, what="all wait for credentials")
    [[reason]] = query("SELECT DISTINCT error_message FROM notifications")
    assert "Check the clock" in reason
    assert query("SELECT max(attempts) FROM push_deliveries") == [(0,)]
    assert query("SELECT max(attempts) FROM notifications") == [(0,)]
    assert re.search(r"clock is (59|60)\d\.\d s ahead of the database's", ahead.words())
    scene.worker().wait_until_ready()
    scene.sandbox.control("fcm", "slow", latency_ms=5000)
    scene.publish(f"m{number}" for number in range(100))  # some to each
    eventually(lambda: query(SENDING) > [(10,)], what="sends of the right one's in the air")
    eventually(lambda: query(SENDING) == [(0,)], what="their landing")
    assert ahead.running
    assert ahead.terminate() == 0
    scene.sandbox.control("fcm", "none", latency_ms=0)
    scene.hurry()  # a minute passes
    scene.drained()
    assert scene.statuses() == {"sent": 150}
    assert (scene.unknowns(), scene.repeats()) == (0, 0), "nobody is robbed"
    assert set(counted("push_attempts", "error_code")) == {"invalid_grant"}
    assert query(HANDS) == [(1,)], "what was sent when it was first claimed never changed hands"
    scene.check()


SENDING = "SELECT count(*) FROM push_deliveries WHERE status = 'sending'"
HANDS = """
SELECT DISTINCT n.fence FROM notifications n JOIN push_deliveries d USING (notification_id)
WHERE d.attempts = 1 AND d.sending_at = d.created_at
"""
