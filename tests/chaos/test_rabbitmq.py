"""RabbitMQ goes away, hangs, is full or refuses: nothing is acked wrongly, and the work goes on from the ledger."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.chaos.scene import Scene, wait, with_copies
from tests.chaos.traffic import traffic
from tests.rabbit import RabbitNode
from tests.world import WorkerProcess, eventually, query

NOTHING = json.dumps({"max-length": 0, "overflow": "reject-publish"})
SOON = 5.0  # seconds for a request on a busy machine; one that waited for RabbitMQ would take longer


def both(scene: Scene, **more: str) -> WorkerProcess:
    """A worker and a web process, as many connections as they will ever need in use."""
    worker = scene.worker(**more)
    scene.serve(WEB_THREADS="1")
    worker.wait_until_ready()
    assert scene.post("first") == 202
    eventually(lambda: scene.sent("first"), what="the first sent")
    return worker


def posted(scene: Scene, prefix: str) -> None:
    """Without RabbitMQ: ten are accepted, none of the requests hangs, and the workers send them."""
    ids = [f"{prefix}-{number}" for number in range(10)]
    for id in ids:
        began = time.monotonic()
        assert scene.post(id) == 202
        assert time.monotonic() - began < SOON
    eventually(lambda: scene.sent(*ids), what="sent by the dispatcher's round")


def published(scene: Scene, id: str) -> None:
    """With RabbitMQ again: what it takes is consumed and sent."""
    scene.publish([id])
    eventually(lambda: scene.sent(id), what=f"{id} sent")


def copies_paid(scene: Scene) -> None:
    """The time comes for the copies that are owed, until all are paid."""

    def paid() -> bool:
        query("UPDATE dead_letters SET copy_due_at = now() WHERE copy_due_at IS NOT NULL")
        return query("SELECT count(*) FROM dead_letters WHERE copy_due_at IS NOT NULL") == [(0,)]

    eventually(paid, what="all copies paid")


@pytest.mark.fault("RabbitMQ restarted")
@pytest.mark.parametrize("end", ["kill", pytest.param("stop", marks=pytest.mark.long)])
def test_without_rabbitmq_the_api_accepts_and_the_workers_send_and_both_come_back(scene, end):
    worker = both(scene)
    before, process = scene.size(worker), worker.children()
    with traffic(scene.rabbit.url, scene.confirmed, "n"):
        eventually(lambda: len(scene.confirmed) > 10, what="some traffic")
        with away(scene.rabbit, end):
            posted(scene, "away")
            assert scene.post("given-up", user="baduser-1") == 202
            eventually(lambda: scene.statuses().get("failed/exhausted"), what="a dead letter")
            eventually(lambda: "could not be copied" in worker.words(), what="a copy that is owed")
        published(scene, "after")
    copies_paid(scene)
    assert scene.depth("failed.queue") == 1
    scene.drained()
    assert worker.children() == process, "it was not started anew"
    scene.check_size(worker, with_copies(before))
    scene.check()


@contextmanager
def away(rabbit: RabbitNode, end: str) -> Iterator[None]:
    try:
        getattr(rabbit, end)()
        yield
    finally:
        rabbit.start()


@pytest.mark.fault("RabbitMQ restarted")
def test_connections_that_are_cut_or_refused_are_made_anew(scene):
    worker = both(scene)
    before, process = scene.size(worker), worker.children()
    with traffic(scene.rabbit.url, scene.confirmed, "n"):
        scene.database.slow_down(0.15)  # batches are being committed when their connection dies
        for _ in range(4):
            scene.broker.cut()
            wait(0.7)
        scene.database.slow_down(0)
        eventually(lambda: "over a connection that is gone" in worker.words(), what="a batch that outlived its way in")
        scene.broker.go_away()
        posted(scene, "away")
        scene.broker.come_back()
        published(scene, "came-back")
    scene.drained()
    assert worker.children() == process, "it was not started anew"
    scene.check_size(worker, before)
    scene.check()


@pytest.mark.long
@pytest.mark.fault("RabbitMQ restarted")
def test_a_link_that_hangs_is_made_anew_as_soon_as_heartbeats_are_missed(scene):
    worker = both(scene, RABBITMQ_URL=scene.variables["RABBITMQ_URL"] + "?heartbeat=5")
    before, process = scene.size(worker), worker.children()
    with traffic(scene.rabbit.url, scene.confirmed, "n"):
        scene.broker.freeze()
        posted(scene, "frozen")
        eventually(lambda: "heartbeat" in worker.words(), what="a link that is found to be dead")
        scene.broker.thaw()
        published(scene, "thawed")
    scene.drained()
    assert worker.children() == process, "it was not started anew"
    scene.check_size(worker, before)
    scene.check()


@pytest.mark.fault("RabbitMQ restarted")
def test_a_worker_stops_in_good_order_while_its_link_hangs(scene):
    worker = scene.worker().wait_until_ready()
    published(scene, "n")
    scene.broker.freeze()
    assert worker.terminate() == 0
    assert query("SELECT count(*) FROM workers") == [(0,)]
    scene.broker.thaw()
    scene.drained()
    scene.check()


@pytest.mark.long
@pytest.mark.fault("RabbitMQ restarted")
def test_connections_that_are_closed_every_three_seconds_lose_and_repeat_nothing(scene):
    worker = both(scene)
    before = scene.size(worker)
    scene.database.slow_down(0.05)
    with traffic(scene.rabbit.url, scene.confirmed, "n", pause=0.005):
        for _ in range(8):
            wait(3)
            scene.rabbit.close_all_connections()
    scene.database.slow_down(0)
    scene.drained()
    scene.check_size(worker, before)
    scene.check()
    assert scene.accepted() == len(scene.confirmed), "sent once each, although many came twice"


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.fault("RabbitMQ restarted")
def test_a_link_that_hangs_for_longer_than_the_heartbeats_is_made_anew(scene):
    worker = both(scene)
    before, process = scene.size(worker), worker.children()
    scene.broker.freeze()
    posted(scene, "frozen")
    assert scene.post("given-up", user="baduser-1") == 202
    eventually(lambda: "heartbeat" in worker.words(), within=150, what="a link that is found to be dead")
    eventually(lambda: "could not be copied" in worker.words(), what="a copy that is owed")
    wait(30)  # connecting hangs as well, again and again
    assert "Traceback" not in worker.words()
    posted(scene, "still-frozen")
    scene.broker.thaw()
    published(scene, "thawed")
    copies_paid(scene)
    assert scene.depth("failed.queue") == 1
    scene.drained()
    assert worker.children() == process, "it was not started anew"
    scene.check_size(worker, with_copies(before))
    scene.check()


@pytest.mark.fault("RabbitMQ alarm")
@pytest.mark.parametrize("of", ["memory", pytest.param("disk", marks=pytest.mark.long)])
def test_under_an_alarm_the_api_accepts_and_the_workers_send(scene, of):
    worker = both(scene, RABBITMQ_URL=scene.variables["RABBITMQ_URL"] + "?blocked_connection_timeout=2")
    before, process = scene.size(worker), worker.children()
    eventually(lambda: scene.health()["status"] == "ok", what="health that is ok")
    with alarm(scene.rabbit, of):
        posted(scene, "blocked")
        assert scene.post("given-up", user="baduser-1") == 202
        eventually(lambda: scene.health()["rabbitmq"].get("blocked"), what="health that sees it")
        assert scene.health()["status"] == "degraded"
        eventually(lambda: "could not be copied" in worker.words(), what="a publisher that gave up")
    published(scene, "after")
    copies_paid(scene)
    assert scene.depth("failed.queue") >= 1, "what was sent into the alarm may arrive after it as well"
    eventually(lambda: scene.health()["status"] == "ok", what="health that is ok again")
    scene.drained()
    assert worker.children() == process, "it was not started anew"
    scene.check_size(worker, with_copies(before))
    scene.check()


#: What makes RabbitMQ believe that it is short of something, and what is the usual.
LIMITS = {
    "memory": ("set_vm_memory_high_watermark", "0.0001", "0.4"),
    "disk": ("set_disk_free_limit", "1000000GB", "50MB"),
}


@contextmanager
def alarm(rabbit: RabbitNode, of: str) -> Iterator[None]:
    """RabbitMQ has next to no memory or disk left, and takes no message from anybody."""
    command, alarming, usual = LIMITS[of]
    try:
        rabbit.ctl(command, alarming)
        yield
    finally:
        rabbit.ctl(command, usual)


@pytest.mark.fault("publish refused")
def test_refused_wake_ups_and_copies_hold_nothing_up(scene):
    """Twenty at a time are prefetched, and the poison before the good one is more than that."""
    worker = both(scene, RABBITMQ_PREFETCH_COUNT="20")
    with refusing(scene.rabbit, "push.queue.resume|failed.queue"):
        posted(scene, "unheard")
        scene.publish_raw(b"poison %d" % number for number in range(30))
        published(scene, "behind-the-poison")
        scene.publish_raw([b"too large for the ledger to keep whole " * 2000])
        eventually(lambda: query("SELECT count(*) FROM dead_letters WHERE copy_due_at IS NOT NULL") == [(30,)])
        eventually(lambda: query("SELECT size > 70000 FROM dead_letters WHERE count > 1") == [(True,)])
        assert scene.depth("failed.queue") == 0
    copies_paid(scene)
    eventually(lambda: scene.depth("failed.queue") == 31, what="a copy of each, and of the large one from its message")
    scene.drained()
    assert query("SELECT count(*) FROM dead_letters WHERE count = 1") == [(30,)], "none of them came twice"
    assert worker.running
    scene.check()


@contextmanager
def refusing(rabbit: RabbitNode, queues: str) -> Iterator[None]:
    """Queues that take no message: RabbitMQ nacks each."""
    try:
        rabbit.ctl("set_policy", "--apply-to", "queues", "full", f"^({queues})$", NOTHING)
        yield
    finally:
        rabbit.ctl("clear_policy", "full")
