"""Crash loops, with the worker that operators start: the guilty one is found and ended, and nobody else with it."""

import pytest

from tests.saboteur import killing
from tests.world import all_ended, counted, eventually, query

LEASE = {"DELIVERY_LEASE": "2"}


@pytest.mark.fault("crash loop")
def test_what_kills_three_workers_is_failed_and_all_others_are_sent(scene):
    ids = [f"n{number}" for number in range(99)]
    scene.publish([*ids[:50], "killer-1", *ids[50:]])
    deaths = 0
    while not outlives(running := scene.worker(**LEASE, **killing.VARIABLES), 100):
        deaths += 1
    assert deaths == 3
    assert scene.statuses() == {"sent": 99, "failed/crash_loop": 1}
    [report] = scene.sandbox.reports()["killer-1"]
    assert (report["status"], "Its worker stopped 3 times" in report["error"]) == ("failed", True)
    assert counted("push_attempts", "notification_id", "error_code")["killer-1", "worker_stopped"] == 3
    scene.publish(["after"])
    scene.forgive_lost_answers()
    scene.drained()
    assert running.running
    scene.check()


@pytest.mark.fault("crash loop")
def test_three_kills_in_a_row_fail_nothing_that_was_only_in_work_with_them(scene):
    scene.sandbox.control("fcm", "slow", latency_ms=2000)
    for kill in range(3):
        killed_with_hundreds_in_flight(scene, kill)
    scene.sandbox.control("fcm", "none")
    scene.worker(**LEASE)
    scene.drained()
    assert counted("notifications", "status", "crashes") == {("sent", 0): 450}
    scene.check()


def outlives(running, count: int) -> bool:
    """Whether all are reported while the worker still runs; a supervisor starts another one where it does not."""

    def done() -> bool:
        return query("SELECT count(*) FROM notifications") == [(count,)] and all_ended()

    eventually(lambda: done() or not running.running, within=60, what="all ended and reported, or a death")
    return running.running


def killed_with_hundreds_in_flight(scene, before: int) -> None:
    """A worker's life: it takes up what those before it left, and is killed when it has suspects and others in work."""
    running = scene.worker(**LEASE)
    eventually(lambda: query("SELECT count(*) FROM workers") == [(before + 1,)], what="its first heartbeat")
    if before:
        eventually(lambda: before in counted("notifications", "crashes"), what="the crash before it counted")
        landed = sent()
        eventually(lambda: sent() > landed and sending("crashes > 0"), what="the next group of suspects in flight")
    scene.publish(f"n{before}-{number}" for number in range(150))
    eventually(lambda: sending() > 100, what="hundreds in flight")
    scene.kill(running)


def sent() -> int:
    return counted("notifications", "status").get("sent", 0)


def sending(which: str = "true") -> int:
    """How many of those the latest worker has in flight."""
    [[count]] = query(
        f"SELECT count(*) FROM notifications WHERE status = 'sending' AND {which}"
        " AND worker_id = (SELECT id FROM workers ORDER BY started_at DESC LIMIT 1)"
    )
    return count
