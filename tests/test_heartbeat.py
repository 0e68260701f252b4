"""The heartbeat: a worker cut off from the database says so, once; a connection that falls silent cuts nobody off."""

import asyncio
import os
import signal
import threading
from uuid import uuid4

import pytest
from django.db import connection

from deliveries.heartbeat import Heartbeat
from deliveries.ledger.change import Hand
from deliveries.ledger.connection import conninfo
from tests.test_engine import insert_due
from tests.world import all_ended, eventually, message, query

LEASE = 5.0


def test_a_worker_that_is_cut_off_says_so_once_and_when_it_no_longer_is(engine, postgres, caplog):
    running = engine(delivery_lease=2.0)
    heartbeat: Heartbeat = running.engine._heartbeat
    with postgres.frozen():
        eventually(lambda: "Cut off from the database since" in caplog.text)
        assert not heartbeat.alive()
    eventually(lambda: "The database answers again after" in caplog.text)
    running.accept(message("n1"))
    eventually(all_ended)
    for words in ("Cut off from the database since", "The database answers again after"):
        assert caplog.text.count(words) == 1


@pytest.mark.django_db(transaction=True)
def test_a_connection_that_falls_silent_is_hung_up_and_the_next_beat_comes_in_time(postgres):
    """psycopg would cancel what it waits for, and wait for that: 10 s, and the lease would be gone."""

    async def live() -> float:
        heartbeat = Heartbeat(conninfo(), Hand(uuid4(), LEASE), lambda: (0, {}, (1, 1)))
        await heartbeat.start()
        [[backend]] = await asyncio.to_thread(_backends)
        beating = asyncio.create_task(heartbeat.run())
        os.kill(backend, signal.SIGSTOP)
        try:
            before = heartbeat.last
            async with asyncio.timeout(30):
                while heartbeat.last == before:  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
            return heartbeat.last - before
        finally:
            os.kill(backend, signal.SIGCONT)
            beating.cancel()
            await heartbeat.stop()

    assert asyncio.run(live()) < LEASE + 1


def test_rows_of_a_worker_that_is_not_on_record_are_taken_over(engine, sandbox):
    """Such as were left when silent workers were forgotten after a day, whatever was still in their name."""
    insert_due("stranded", "silent")
    query("UPDATE notifications SET worker_id = gen_random_uuid(), next_attempt_at = NULL")
    query(
        "INSERT INTO workers (id, host, pid, heartbeat_at) SELECT worker_id, 'test', 1, now() - interval '2 days'"
        " FROM notifications WHERE notification_id = 'silent'"
    )
    engine()
    eventually(all_ended)
    assert query("SELECT DISTINCT status FROM notifications") == [("sent",)]


def _backends() -> list[tuple[int]]:
    try:
        return query("SELECT pid FROM pg_stat_activity WHERE application_name = 'push-heartbeat'")
    finally:
        connection.close()  # this thread's own


def test_it_tells_how_many_of_its_threads_are_alive(engine):
    running = engine().engine
    told = "SELECT threads_alive, threads_expected FROM workers"
    eventually(lambda: query(told) == [(2, 2)], what="the engine and the writer")
    running.worker_threads = lambda: [threading.current_thread(), threading.Thread()]
    eventually(lambda: query(told) == [(3, 4)], what="one that runs, and one that does not")
