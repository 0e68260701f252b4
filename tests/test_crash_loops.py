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
    sandbox.control("fcm", "none", latency_ms=1000)
    for kill in range(3):
        for number in range(200):
            producer.publish(message(f"n{kill}-{number}"))
        running = worker(**LEASE)
        eventually(lambda: counted("notifications", "status").get("sending", 0) > 100, what="hundreds in flight")
        if kill:
            eventually(suspects_in_work, what="a group of suspects in flight")
        running.kill()
    sandbox.control("fcm", "none", latency_ms=0)
    worker(**LEASE)
    eventually(rows(600), within=60, what="all of them ended and reported")
    assert counted("notifications", "status", "crashes") == {("sent", 0): 600}
    check_invariants(sandbox, answers_lost=True)


def outlives(running: WorkerProcess, done) -> bool:
    """Whether that is done while the worker still runs; a supervisor starts another one where it does not."""
    eventually(lambda: done() or not running.running, within=60, what="all ended and reported, or a death")
    return running.running


def suspects_in_work() -> bool:
    return bool(query("SELECT 1 FROM notifications WHERE crashes > 0 AND worker_id IS NOT NULL AND status = 'sending'"))
