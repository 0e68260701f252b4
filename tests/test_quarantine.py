"""The quarantine: suspects are carried a few at a time and pass, what stops its workers ends, nobody else waits."""

import asyncio
import threading
import time

import pytest
from django.db import transaction

from deliveries.quarantine import FEW, MANY
from tests.test_engine import insert_due
from tests.world import all_ended, check_invariants, counted, eventually, message, query


def suspects(*ids: str, crashes: int = 1) -> None:
    """Rows as a stopped worker left them: due, in nobody's work."""
    with transaction.atomic():
        insert_due(*ids)
        query("UPDATE notifications SET crashes = %s WHERE notification_id = ANY(%s)", crashes, list(ids))


def ending(id: str) -> tuple:
    [[status, code, crashes]] = query(
        "SELECT status, error_code, crashes FROM notifications WHERE notification_id = %s", id
    )
    return status, code, crashes


class Gate:
    """Counts the notifications whose user is being looked up, and holds those of some ids up until it is opened."""

    def __init__(self, running, monkeypatch, *held: str) -> None:
        self._recipients = running.engine._assembly.pipeline._recipients
        self._devices_of = self._recipients.devices_of
        self._held = held
        self._open = threading.Event()
        self.inside: set[str] = set()
        self.most = 0
        monkeypatch.setattr(self._recipients, "devices_of", self._pass)

    def open(self) -> None:
        self._open.set()

    async def _pass(self, request):
        self.inside.add(request.notification_id)
        self.most = max(self.most, len(self.inside))
        try:
            while request.notification_id in self._held and not self._open.is_set():  # noqa: ASYNC110
                await asyncio.sleep(0.01)
            return await self._devices_of(request)
        finally:
            self.inside.discard(request.notification_id)


def test_innocent_suspects_pass_few_at_first_then_more_and_are_suspects_no_more(engine, sandbox, monkeypatch):
    running = engine()
    gate = Gate(running, monkeypatch, *(ids := [f"n{number}" for number in range(150)]))
    suspects(*ids)
    eventually(lambda: gate.most == FEW, what="the first few")
    sandbox.control("users", "slow", latency_ms=500)
    gate.open()
    eventually(all_ended, what="all of them")
    assert counted("notifications", "status", "crashes") == {("sent", 0): 150}
    assert FEW < gate.most <= MANY
    check_invariants(sandbox)


def test_those_with_which_two_workers_stopped_are_carried_one_by_one(engine, sandbox, monkeypatch):
    running = engine()
    gate = Gate(running, monkeypatch)
    suspects("n1", "n2", "n3", crashes=2)
    eventually(all_ended)
    assert counted("notifications", "status", "crashes") == {("sent", 0): 3}
    assert gate.most == 1


def test_a_slow_one_holds_nobody_up_but_those_that_go_alone(engine, sandbox, monkeypatch):
    running = engine()
    gate = Gate(running, monkeypatch, "slow")
    suspects("slow", *(f"n{number}" for number in range(40)))
    suspects("alone", crashes=2)
    running.accept(message("usual"))
    others = "SELECT count(*) FROM notifications WHERE reported_at IS NOT NULL"
    eventually(lambda: query(others) == [(41,)], what="all but slow and alone")
    assert gate.inside == {"slow"}
    assert (ending("alone"), ending("usual")) == (("pending", "", 2), ("sent", "", 0))
    eventually(lambda: free_places(running) == running.engine.places.count - 1, what="one place in use")
    gate.open()
    eventually(all_ended)


def test_one_that_goes_alone_has_no_other_suspect_beside_it(engine, sandbox, monkeypatch):
    running = engine()
    gate = Gate(running, monkeypatch, "alone")
    suspects("alone", crashes=2)
    eventually(lambda: gate.inside, what="the first")
    suspects("once")
    suspects("twice", crashes=2)
    running.accept(message("usual"))
    eventually(lambda: ending("usual") == ("sent", "", 0))
    time.sleep(1.5)  # longer than a round
    assert (ending("once"), ending("twice")) == (("pending", "", 1), ("pending", "", 2))
    gate.open()
    eventually(all_ended)
    assert gate.most <= 2


def test_one_that_hangs_does_not_stop_the_quarantine(engine, sandbox, monkeypatch):
    monkeypatch.setattr("deliveries.quarantine.PATIENCE", 1.0)
    running = engine()
    gate = Gate(running, monkeypatch, "hangs")
    suspects("hangs", crashes=2)
    eventually(lambda: gate.inside, what="the one that hangs")
    suspects("once")
    suspects("twice", crashes=2)
    eventually(lambda: counted("notifications", "status").get("sent") == 2, what="the others")
    gate.open()


def free_places(running) -> int:
    free = running.engine.places.take_up_to(running.engine.places.count)
    running.engine.places.give_back(free)
    return free


def test_no_suspect_is_taken_up_while_it_drains(engine, sandbox, monkeypatch):
    running = engine()
    gate = Gate(running, monkeypatch, "slow")
    suspects("slow", crashes=2)
    eventually(lambda: gate.inside, what="the first")
    suspects("next", crashes=2)
    threading.Timer(0.5, gate.open).start()
    running.engine.drain(10)
    assert (ending("slow"), ending("next")) == (("sent", "", 0), ("pending", "", 2))


def test_what_stops_three_workers_in_a_row_is_failed_with_the_reason_and_reported(engine, sandbox):
    engine()
    suspects("n1", crashes=3)
    eventually(all_ended)
    assert ending("n1") == ("failed", "crash_loop", 0)
    [report] = sandbox.reports()["n1"]
    assert report["error"].startswith("Its worker stopped 3 times in a row while it had this notification in work")
    assert sandbox.book()["accepted"] == []
    assert query("SELECT 1 FROM dead_letters") == []
    check_invariants(sandbox)


def test_a_cancelled_one_is_cancelled_all_the_same(engine, sandbox):
    suspects("n1", crashes=3)
    query("UPDATE notifications SET cancel_reason = 'Cancelled: not wanted'")
    engine()
    eventually(all_ended)
    assert ending("n1") == ("cancelled", "cancelled", 0)


@pytest.mark.parametrize(
    ("deliveries", "expected"),
    [
        (["sent"], ("sent", "", 0)),
        (["failed"], ("failed", "UNREGISTERED", 0)),
        (["sent", "pending"], ("sent", "", 0)),
        (["failed", "pending"], ("failed", "crash_loop", 0)),
    ],
)
def test_what_was_sent_before_its_worker_stopped_counts(engine, sandbox, deliveries, expected):
    suspects("n1", crashes=3)
    for number, status in enumerate(deliveries):
        query(
            "INSERT INTO push_deliveries (notification_id, user_id, device_token, platform, title, body, provider,"
            " status, error_code) VALUES ('n1', 'ok', %s, 'android', '', '', 'fcm', %s, %s)",
            f"token-{number}",
            status,
            "UNREGISTERED" if status == "failed" else "",
        )
    engine()
    eventually(all_ended)
    assert ending("n1") == expected
    assert not query("SELECT 1 FROM push_deliveries WHERE status IN ('pending', 'sending')")
    assert sandbox.book()["accepted"] == []


def test_a_report_that_stops_three_workers_is_given_up_without_a_word_to_the_gateway(engine, sandbox):
    suspects("n1", crashes=3)
    query("UPDATE notifications SET status = 'skipped', error_code = 'opted_out', ended_at = now()")
    engine()
    eventually(all_ended)
    [[refused, error]] = query("SELECT report_refused_at IS NOT NULL, report_error FROM notifications")
    assert refused
    assert error.startswith("Its worker stopped 3 times in a row while it was telling the gateway of it")
    assert ending("n1") == ("skipped", "opted_out", 0)
    assert sandbox.reports() == {}
