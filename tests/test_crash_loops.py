"""Crash loops, with the worker that operators start: the guilty one is found and ended, and nobody else with it."""

from tests.saboteur import killing
from tests.test_end_to_end import declare_as_dns_core, rows
from tests.world import WorkerProcess, check_invariants, counted, eventually, message, query

LEASE = {"DELIVERY_LEASE": "2"}


def test_what_kills_three_workers_is_failed_and_all_others_are_sent(worker, producer, sandbox):
    declare_as_dns_core(producer.channel)
    for number in range(100):
        producer.publish(message("killer-1" if number == 50 else f"n{number}"))
    deaths = 0
    while not outlives(running := worker(**LEASE, **killing.VARIABLES), rows(100)):
        deaths += 1
    assert deaths == 3
    assert counted("notifications", "status", "error_code") == {("sent", ""): 99, ("failed", "crash_loop"): 1}
    [report] = sandbox.reports()["killer-1"]
    assert (report["status"], "Its worker stopped 3 times" in report["error"]) == ("failed", True)
    assert counted("push_attempts", "notification_id", "error_code")["killer-1", "worker_stopped"] == 3
    producer.publish(message("after"))
    eventually(rows(101), what="one more, by the fourth worker")
    assert running.running
    check_invariants(sandbox, answers_lost=True)


def test_three_kills_in_a_row_fail_nothing_that_was_only_in_work_with_them(worker, producer, sandbox):
    declare_as_dns_core(producer.channel)
    sandbox.control("fcm", "slow", latency_ms=2000)
    for kill in range(3):
        killed_with_hundreds_in_flight(worker, producer, kill)
    sandbox.control("fcm", "none")
    worker(**LEASE)
    eventually(rows(450), within=60, what="all of them ended and reported")
    assert counted("notifications", "status", "crashes") == {("sent", 0): 450}
    check_invariants(sandbox, answers_lost=True)


def outlives(running: WorkerProcess, done) -> bool:
    """Whether that is done while the worker still runs; a supervisor starts another one where it does not."""
    eventually(lambda: done() or not running.running, within=60, what="all ended and reported, or a death")
    return running.running


def killed_with_hundreds_in_flight(worker, producer, before: int) -> None:
    """A worker's life: it takes up what those before it left, and is killed when it has suspects and others in work."""
    running = worker(**LEASE)
    eventually(lambda: query("SELECT count(*) FROM workers") == [(before + 1,)], what="its first heartbeat")
    if before:
        eventually(lambda: before in counted("notifications", "crashes"), what="the crash before it counted")
        landed = sent()
        eventually(lambda: sent() > landed and sending("crashes > 0"), what="the next group of suspects in flight")
    for number in range(150):
        producer.publish(message(f"n{before}-{number}"))
    eventually(lambda: sending() > 100, what="hundreds in flight")
    running.kill()


def sent() -> int:
    return counted("notifications", "status").get("sent", 0)


def sending(which: str = "true") -> int:
    """How many of those the latest worker has in flight."""
    [[count]] = query(
        f"SELECT count(*) FROM notifications WHERE status = 'sending' AND {which}"
        " AND worker_id = (SELECT id FROM workers ORDER BY started_at DESC LIMIT 1)"
    )
    return count
