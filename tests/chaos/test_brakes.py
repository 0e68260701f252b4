"""Quotas: after a 429 nobody asks before its time, nothing is burnt or lost, and no stampede follows."""

import json
from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pytest

from deliveries.ramp import Ramp
from tests.chaos.chart import BOOK
from tests.chaos.scene import Scene, at_work
from tests.world import counted, eventually, query

RETRY_AFTER = 10  # seconds: the least that is obeyed
#: Seconds after a refusal in which calls may come that were in the air: FCM's answer, its commit, and a busy machine.
MOMENT = 1.5
#: Seconds by which clocks and a place on the ramp are exact.
EXACT = 0.05


@dataclass(frozen=True)
class Story:
    """Every call to FCM after a moment, in seconds since 1970, and the brake as it was in the end."""

    accepted: list[float]
    refused: list[float]
    until: float
    pace: float
    full: float

    @classmethod
    def since(cls, scene: Scene, begin: float) -> "Story":
        book = scene.sandbox.book()
        [[until, pace, full]] = query("SELECT extract(epoch FROM until)::float, pace, full_pace FROM brakes")
        return cls(_times(book["accepted"], begin), _times(book["refused"], begin), until, pace, full)

    def check_nothing_is_asked_too_early(self) -> None:
        calls = sorted(self.accepted + self.refused)
        for refusal in self.refused:
            asked = calls[bisect_right(calls, refusal + MOMENT) : bisect_right(calls, refusal + RETRY_AFTER - EXACT)]
            assert not asked, f"{len(asked)} calls too early, {asked[0] - refusal:.2f} s after a refusal"

    def check_no_stampede_follows(self) -> None:
        """Never more than the ramp allows until then. A dispatcher looks once a second, so in one there may be two."""
        ramp = Ramp(self.pace, self.full)
        climbing = [time - self.until for time in sorted(self.accepted) if time > self.until - 1]
        for number, time in enumerate(climbing, 1):
            allowed = ramp.sends_until(max(time, 0.0) + EXACT)
            assert number <= allowed + 1, (
                f"{number} calls {time:.2f} s after the pause, where {allowed:.0f} are allowed"
            )
        for second in range(int(climbing[-1]) + 1):
            asked = sum(second <= time < second + 1 for time in climbing)
            most = ramp.sends_until(second + 1) - ramp.sends_until(max(second - 2, 0))
            assert asked <= most + 1, f"{asked} calls in second {second}"


def _times(entries: list[dict[str, Any]], begin: float) -> list[float]:
    times = [datetime.fromisoformat(entry["at"]).timestamp() for entry in entries]
    return [time for time in times if time > begin]


def now() -> float:
    [[seconds]] = query("SELECT extract(epoch FROM now())::float")
    return float(seconds)


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def all_sent_at_once(scene: Scene) -> None:
    """All that was confirmed is sent, with the one attempt that succeeded of each, and once."""
    assert scene.statuses() == {"sent": len(scene.confirmed)}
    assert set(counted("push_deliveries", "attempts")) == {1}
    assert set(counted("push_attempts", "outcome")) <= {"waiting"}
    assert scene.repeats() == 0
    scene.check()


@pytest.mark.fault("FCM quota")
def test_a_projects_quota_stops_all_workers_until_it_is_over(scene):
    workers = [scene.worker(), scene.worker()]
    at_work(scene, *workers)
    begin, sizes = now(), [scene.size(worker) for worker in workers]
    scene.sandbox.control("fcm", "quota", retry_after=RETRY_AFTER, seconds=5)
    scene.publish(ids("n", 100))
    eventually(lambda: counted("push_deliveries", "status").get("pending", 0) == 100, what="all put down")
    scene.drained()
    story = Story.since(scene, begin)
    story.check_nothing_is_asked_too_early()
    story.check_no_stampede_follows()
    all_sent_at_once(scene)
    for worker, size in zip(workers, sizes, strict=True):
        scene.check_size(worker, size)
        assert worker.words().count("Nothing is sent through fcm for") <= 1, "one line for a pause, in each process"


@pytest.mark.fault("FCM quota")
def test_a_devices_quota_holds_up_its_own_pushes_alone(scene):
    workers = [scene.worker(), scene.worker()]
    at_work(scene, *workers)
    begin = now()
    scene.publish(["first"], user_id="ok-busy")
    scene.drained()
    scene.sandbox.control("fcm", "quota", retry_after=None, scope="device", times=1)
    scene.publish(["second"], user_id="ok-busy")
    eventually(lambda: counted("brakes", "scope") == {"device": 1}, what="a brake")
    scene.publish(ids("busy", 10), user_id="ok-busy")
    scene.publish(ids("other", 50))
    eventually(lambda: scene.sent(*ids("other", 50)), within=15, what="the others, meanwhile")
    eventually(lambda: counted("push_deliveries", "status").get("pending", 0) == 11, what="its own, held")
    assert len(_times(scene.sandbox.book()["refused"], begin)) == 1, "one was refused, for all of them"
    [[shortest]] = query("SELECT min(extract(epoch FROM next_attempt_at - created_at)) FROM push_deliveries"
                         " WHERE status = 'pending'")  # fmt: skip
    assert shortest > 30, "Google says a minute where FCM does not say how long"
    scene.hurry()
    scene.drained()
    all_sent_at_once(scene)


@pytest.mark.long
@pytest.mark.fault("FCM quota")
def test_in_a_storm_of_429_nothing_is_asked_too_early_and_no_stampede_follows(scene, tell: Callable[[str], None]):
    workers = [scene.worker(FCM_QUOTA="24000"), scene.worker(FCM_QUOTA="24000")]
    at_work(scene, *workers)
    begin, sizes = now(), [scene.size(worker) for worker in workers]
    scene.sandbox.control("fcm", "quota", retry_after=RETRY_AFTER, seconds=30)
    scene.publish(ids("n", 2000))
    scene.drained(within=300)
    story = Story.since(scene, begin)
    BOOK.parent.mkdir(exist_ok=True)
    BOOK.write_text(json.dumps(vars(story) | {"begin": begin}))
    ends, last = story.until - begin, max(story.accepted) - begin
    tell(f"{len(story.refused)} refused; paused until {ends:.1f} s, pace {story.pace:.0f}/s; last sent at {last:.1f} s")
    story.check_nothing_is_asked_too_early()
    story.check_no_stampede_follows()
    all_sent_at_once(scene)
    for worker, size in zip(workers, sizes, strict=True):
        scene.check_size(worker, size)
        assert "breaker fcm" not in worker.words(), "a quota opens no breaker"
