"""A PostgreSQL that crashes, moves, reads only, dawdles, falls silent, or does not say that it has committed."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from django.db import connection

from tests.chaos.load import Client, Load
from tests.chaos.scene import Scene, at_work, wait
from tests.postgres import PostgresServer
from tests.processes import free_port
from tests.world import WorkerProcess, counted, database_url, eventually, message, query

#: A lease that no busy machine runs out of, for those whom nobody may call dead.
PATIENT = {"DELIVERY_LEASE": "6"}


@contextmanager
def publishing(scene: Scene, rate: float, **more: Any) -> Iterator[None]:
    """Push requests keep coming through RabbitMQ until the block ends, so many a second."""
    load = Load(scene, (message(f"published-{number}", **more) for number in count()), rate)
    try:
        yield
    finally:
        load.stop()


@contextmanager
def under_load(scene: Scene) -> Iterator[Client]:
    """Push requests keep coming over both doors until the block ends."""
    client = Client(scene.post_message, (message(f"posted-{number}") for number in count()), 10)
    try:
        with publishing(scene, 50):
            yield client
    finally:
        client.stop()


@pytest.mark.fault("PostgreSQL restarted")
def test_a_postgresql_that_crashes_under_load_loses_and_repeats_nothing(slow_scene):
    """Twice for a moment, and once for longer than a lease."""
    scene = slow_scene
    worker, other = scene.worker(**PATIENT), scene.worker(**PATIENT)
    scene.serve()
    at_work(scene, worker, other)
    processes, size = [one.children() for one in (worker, other)], scene.size(worker)
    with under_load(scene) as client:
        sends(scene, 50)
        for _ in range(2):
            scene.postgres.restart()
            sends(scene, 20)
        with crashed(scene.postgres):
            _nothing_is_done_without_the_ledger(scene, 6.5)
        sends(scene, 20)
    scene.drained()
    assert set(client.answers) == {202, 503}
    assert (scene.unknowns(), scene.repeats()) == (0, 0), "all were away alike, and nobody was called dead"
    assert [one.children() for one in (worker, other)] == processes, "workers live on and come back by themselves"
    scene.check_size(worker, size)
    scene.check()


@contextmanager
def crashed(postgres: PostgresServer) -> Iterator[None]:
    try:
        postgres.crash()
        yield
    finally:
        postgres.start()


def sends(scene: Scene, more: int) -> None:
    """Returns once so many more have been sent."""
    before = scene.accepted()
    eventually(lambda: scene.accepted() >= before + more, what=f"{more} more of them sent")


def _nothing_is_done_without_the_ledger(scene: Scene, seconds: float) -> None:
    wait(0.5)  # what was in the air lands
    sent = scene.accepted()
    scene.publish(f"meanwhile-{number}" for number in range(50))
    assert scene.post("refused") == 503
    assert scene.health()["status"] == "down"
    wait(seconds)
    assert scene.rabbit.list_queues()["push.queue"] >= 50, "nothing is acked"
    assert scene.accepted() == sent, "nothing is sent that is not claimed"


@contextmanager
def moved(scene: Scene) -> Iterator[None]:
    """The server has failed over to another address; at the end it fails back."""
    home, elsewhere = scene.postgres, PostgresServer(scene.postgres.directory, free_port())
    try:
        _move(scene, home, elsewhere)
        yield
    finally:
        _move(scene, elsewhere, home)


def _move(scene: Scene, here: PostgresServer, there: PostgresServer) -> None:
    connection.close()
    here.stop()
    there.start()
    scene.redirect_database(there.port)
    connection.settings_dict["PORT"] = str(there.port)


@pytest.mark.fault("PostgreSQL failed over")
def test_workers_follow_a_failover_and_the_way_back(slow_scene):
    scene = slow_scene
    worker = scene.worker(**PATIENT)
    scene.serve()
    at_work(scene, worker)
    processes, size = worker.children(), scene.size(worker)
    with under_load(scene) as client:
        sends(scene, 50)
        with moved(scene):
            sends(scene, 50)
        sends(scene, 50)
    scene.drained()
    assert set(client.answers) <= {202, 503}
    assert (scene.unknowns(), scene.repeats()) == (0, 0)
    assert worker.children() == processes, "no restart is needed"
    scene.check_size(worker, size)
    scene.check()


@contextmanager
def read_only(postgres: PostgresServer) -> Iterator[None]:
    """The server takes no changes, as a standby that was not promoted yet."""
    with psycopg.connect(postgres.url, autocommit=True) as operator:
        operator.execute("ALTER SYSTEM SET default_transaction_read_only = on")
        operator.execute("SELECT pg_reload_conf()")
        try:
            yield
        finally:
            operator.execute("ALTER SYSTEM RESET default_transaction_read_only")
            operator.execute("SELECT pg_reload_conf()")


@pytest.mark.long
@pytest.mark.fault("PostgreSQL failed over")
def test_a_server_that_only_reads_is_waited_for_and_no_change_is_refused_for_good(slow_scene):
    scene = slow_scene
    worker = scene.worker(**PATIENT)
    scene.serve()
    at_work(scene, worker)
    size = scene.size(worker)
    with under_load(scene) as client:
        sends(scene, 50)
        with read_only(scene.postgres):
            eventually(lambda: scene.post("refused") == 503, what="an API that promises nothing")
            _nothing_is_done_without_the_ledger(scene, 6.5)
    scene.drained()
    assert set(client.answers) == {202, 503}
    assert (scene.unknowns(), scene.repeats()) == (0, 0)
    assert "A change was refused" not in worker.words()
    scene.check_size(worker, size)
    scene.check()


@pytest.mark.fault("PostgreSQL slow")
def test_a_slow_postgresql_slows_down_and_harms_nobody(slow_scene):
    scene = slow_scene
    workers = [scene.worker(DELIVERY_LEASE="10") for _ in range(2)]
    at_work(scene, *workers)
    sizes = [scene.size(worker) for worker in workers]
    before = scene.accepted()
    scene.database.slow_down(0.15)
    scene.publish(f"n{number}" for number in range(100))
    eventually(lambda: scene.accepted() == before + 100, what="all of them sent")
    scene.database.slow_down(0)
    scene.drained()
    assert scene.statuses() == {"sent": before + 100}
    assert (scene.unknowns(), scene.repeats()) == (0, 0), "nobody is called dead"
    for worker, size in zip(workers, sizes, strict=True):
        scene.check_size(worker, size)
    scene.check()


@pytest.mark.fault("PostgreSQL cut off")
@pytest.mark.parametrize("guarantee", ["at_most_once", pytest.param("at_least_once", marks=pytest.mark.long)])
def test_a_worker_that_is_cut_off_sends_nothing_more_until_it_is_back(slow_scene, guarantee):
    scene = slow_scene
    way = scene.way_to_database()
    lonely = scene.worker(database=way)
    at_work(scene, lonely)
    processes, size = lonely.children(), scene.size(lonely)
    with publishing(scene, 200, guarantee=guarantee):
        sends(scene, 50)
        way.freeze()
        _it_notices(scene, lonely)
    other = scene.worker().wait_until_ready()
    scene.publish((f"m{number}" for number in range(100)), guarantee=guarantee)
    eventually(lambda: scene.unknowns() > 0, what="rows that are taken over")
    eventually(lambda: query("SELECT 1 FROM notifications WHERE notification_id = 'm99' AND status = 'sent'"))
    scene.forgive_lost_answers()  # a report that was taken, but could not be written down, is made again by the other
    way.thaw()
    scene.drained()
    unknowns = scene.unknowns()
    if guarantee == "at_most_once":
        assert scene.repeats() == 0
        assert scene.statuses() == {"sent": len(scene.confirmed) - unknowns, "failed/unknown_outcome": unknowns}
    else:
        assert scene.repeats() <= unknowns
        assert scene.statuses() == {"sent": len(scene.confirmed)}
    _it_works_again(scene, lonely, other)
    assert lonely.children() == processes, "no restart was needed"
    scene.check_size(lonely, size)
    scene.check()


@pytest.mark.fault("PostgreSQL cut off")
def test_a_worker_whose_heartbeat_alone_hangs_starts_no_sends_either(slow_scene):
    """It could: its writer reaches the ledger, and it is given messages. But others may call it dead any moment."""
    scene = slow_scene
    worker = scene.worker()
    at_work(scene, worker)
    size = scene.size(worker)
    with publishing(scene, 100, guarantee="at_most_once"):
        sends(scene, 50)
        with no_heartbeats():
            _it_notices(scene, worker)
            assert query("SELECT count(*) FROM push_deliveries WHERE sending_at > " + DEAD) == [(0,)], "claims no send"
            assert query("SELECT count(*) FROM notifications WHERE created_at > " + DEAD) > [(0,)], "its writer writes"
        sends(scene, 50)
    scene.drained()
    assert scene.statuses() == {"sent": len(scene.confirmed)}
    assert (scene.unknowns(), scene.repeats()) == (0, 0)
    scene.check_size(worker, size)
    scene.check()


#: When others may call the worker dead, by the lease of these scenes; and a moment, for its last transaction.
DEAD = "(SELECT heartbeat_at + interval '3.2 s' FROM workers)"


@contextmanager
def no_heartbeats() -> Iterator[None]:
    """All beats wait for a lock, over whichever connection they come; nobody else needs it."""
    with psycopg.connect(database_url()) as other:
        assert other.execute("SELECT id FROM workers FOR UPDATE").fetchall()
        yield


def _it_notices(scene: Scene, lonely: WorkerProcess) -> None:
    eventually(lambda: "starts no sends" in lonely.words(), what="a worker that says that it starts no sends")
    wait(0.5)  # what was in the air lands
    sent = scene.accepted()
    wait(1.5)
    assert scene.accepted() == sent, "it starts no sends"


def _it_works_again(scene: Scene, lonely: WorkerProcess, other: WorkerProcess) -> None:
    # The other may have done everything before this one has its way back.
    eventually(lambda: "sends and takes up again" in lonely.words(), what="a worker that says that it sends again")
    assert other.terminate() == 0
    scene.publish(f"l{number}" for number in range(20))
    scene.drained()


@pytest.mark.fault("COMMIT's answer lost")
def test_commits_whose_answers_are_lost_are_recognised_when_they_are_made_again(slow_scene):
    scene = slow_scene
    workers = [scene.worker(**PATIENT), scene.worker(**PATIENT)]
    at_work(scene, *workers)
    sizes = [scene.size(worker) for worker in workers]
    for turn in range(4):
        scene.publish(f"n{turn}-{number}" for number in range(100))
        scene.database.cut_after_commits(4)
        eventually(lambda: scene.database.commits_to_cut == 0, what="answers that are lost")
    scene.drained()
    assert set(scene.statuses()) == {"sent"}
    assert (scene.unknowns(), scene.repeats()) == (0, 0), "everything is sent exactly once"
    assert counted("notifications", "fence") == {1: len(scene.confirmed)}, "nothing changed hands"
    assert query("SELECT * FROM push_attempts") == [], "nothing was tried twice"
    for worker, size in zip(workers, sizes, strict=True):
        scene.check_size(worker, size)
    scene.check()
