"""What an engine survives: refused rows, poison, a late heartbeat, a full house, a drain with a backlog."""

import json
import random
import threading

import psycopg
import pytest

from deliveries.contract import read_document
from deliveries.ledger import Accept, DeadLettered
from deliveries.ledger.connection import conninfo
from deliveries.ledger.faults import describe, is_passing
from deliveries.places import Places
from deliveries.recipients import Device
from tests.world import all_ended, check_invariants, counted, eventually, message, query


def insert_due(*ids: str) -> None:
    """Rows as the API leaves them: due, in nobody's work."""
    for id in ids:
        request = json.dumps({"notification_id": id, "user_id": f"ok-{id}", "title": "t", "correlation_id": "c"})
        query(
            "INSERT INTO notifications (notification_id, user_id, correlation_id, source, request, accept_token,"
            " expires_at, next_attempt_at) VALUES (%s, %s, 'c', 'api', %s, 1, now() + interval '1 h', now())",
            id,
            f"ok-{id}",
            request,
        )


def dispatching() -> None:
    """Fails unless the dispatcher still takes up what is due."""
    insert_due("due")
    eventually(
        lambda: query("SELECT status FROM notifications WHERE notification_id = 'due'") == [("sent",)], within=15
    )


def test_a_dead_letter_with_a_hostile_correlation_id_stops_nothing(engine, sandbox):
    running = engine()
    letter = DeadLettered(b"{}", "invalid_message", ["why"], "bad1", "a\nb", report_owed=True, copy_owed=True)
    running.engine.accept([], [letter])
    eventually(lambda: "bad1" in sandbox.reports(), what="the report")
    dispatching()


def test_a_request_that_cannot_be_read_ends_and_is_reported_and_holds_nobody_up(engine, sandbox, caplog):
    broken = {"device_tokens": [{"token": ["SECRETTOKEN"]}], "title": 5.5, "ttl": "SECRETTOKEN"}
    insert_due("broken", "odd")
    query("UPDATE notifications SET request = %s WHERE notification_id = 'broken'", json.dumps(broken))
    query("UPDATE notifications SET request = '[1]' WHERE notification_id = 'odd'")
    engine()
    dispatching()
    eventually(all_ended)
    for id, wrong in (("broken", "ttl should be"), ("odd", "ledger: should be an object.")):
        [[status, code, reason]] = query(
            "SELECT status, error_code, error_message FROM notifications WHERE notification_id = %s", id
        )
        assert (status, code, wrong in reason) == ("failed", "unreadable_request", True), reason
        assert [report["status"] for report in sandbox.reports()[id]] == ["failed"]
        assert "SECRETTOKEN" not in reason + caplog.text
    check_invariants(sandbox)


def test_a_copy_that_fails_stops_nothing(engine, sandbox):
    running = engine()
    refused = threading.Event()

    def refuse(*_):
        refused.set()
        raise RuntimeError("RabbitMQ said something new")

    running.engine._assembly.dead_letters._publish = refuse
    running.engine.accept([], [DeadLettered(b"{}", "exhausted", ["why"], None, copy_owed=True)])
    assert refused.wait(15), "nobody tried to copy it"
    dispatching()


def test_a_refused_row_is_told_from_an_outage(engine, sandbox, monkeypatch):
    """A token that no index can hold: PostgreSQL's error for it is an OperationalError to psycopg."""
    token = "".join(random.choices("abcdefghijklmnopqrstuvwxyz0123456789", k=6000))
    running = engine()
    devices_of = running.engine._assembly.pipeline._recipients.devices_of

    async def devices(request):
        return [Device(token)] if request.user_id == "huge" else await devices_of(request)

    monkeypatch.setattr(running.engine._assembly.pipeline._recipients, "devices_of", devices)
    running.accept(message("huge", "huge"), message("n1"))
    eventually(all_ended, what="both ended")
    endings = dict(query("SELECT notification_id, status || ' ' || error_code FROM notifications"))
    assert endings == {"huge": "failed exhausted", "n1": "sent "}
    assert counted("push_attempts", "error_code") == {"internal_error": 3}
    check_invariants(sandbox)


@pytest.mark.parametrize(
    ("statement", "passing"),
    [
        ("SELECT 1 / 0", False),
        ("SELECT 'x'::int", False),
        ("SELECT nothing", False),
        ("SET transaction_read_only = on; CREATE TABLE t ()", True),
        ("SET statement_timeout = 1; SELECT pg_sleep(1)", True),
        ("SELECT pg_terminate_backend(pg_backend_pid())", True),
    ],
)
@pytest.mark.django_db(transaction=True)
def test_which_errors_pass(statement, passing):
    with psycopg.connect(conninfo()) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    assert is_passing(refused.value) is passing


@pytest.mark.django_db(transaction=True)
def test_a_described_error_quotes_no_row():
    with psycopg.connect(conninfo()) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute("SELECT * FROM json_to_recordset(%s::json) AS i(a int)", ['[{"a": "SECRETTOKEN\\u0000"}]'])
    assert "SECRETTOKEN" in str(refused.value)
    assert "SECRETTOKEN" not in describe(refused.value)


def test_numbers_beyond_any_integer_come_back_as_they_were(engine, sandbox):
    running = engine()
    sandbox.control("templates", "down", times=1)
    running.accept(message("n1", metadata={"n": 1e30}, variables={"n": 1e30}))
    eventually(all_ended)
    assert query("SELECT status FROM notifications") == [("sent",)]


def test_a_drain_takes_nothing_more_up(engine, slow_sandbox):
    world = {name.lower(): value for name, value in slow_sandbox.variables().items()}
    running = engine(max_in_flight=20, **world)
    insert_due(*(f"n{number}" for number in range(100)))
    eventually(lambda: counted("notifications", "status").get("sending", 0) >= 10, what="a full house")
    running.engine.drain(10)
    [[sent]] = query("SELECT count(*) FROM notifications WHERE status = 'sent'")
    assert 10 <= sent <= 60  # a round or two may have come before
    assert query("SELECT count(*) FROM notifications WHERE worker_id IS NOT NULL") == [(0,)]
    assert query("SELECT coalesce(sum(unknown_count), 0) FROM push_deliveries") == [(0,)]


def test_a_late_heartbeat_makes_a_send_due_again_and_not_unknown(engine, sandbox, monkeypatch):
    running = engine()
    sender = running.engine._assembly.pipeline._sender
    answers = iter([False])
    monkeypatch.setattr(sender, "_alive", lambda: next(answers, True))
    running.accept(message("n1", guarantee="at_most_once"))
    eventually(all_ended)
    assert query("SELECT status, unknown_count FROM push_deliveries") == [("sent", 0)]
    check_invariants(sandbox)


def test_works_that_wait_for_a_place_are_held(engine, slow_sandbox):
    """They are older than the lease before their turn comes, and must not be put down as forgotten."""
    world = {name.lower(): value for name, value in slow_sandbox.variables().items()}
    running = engine(max_in_flight=10, delivery_lease=1.0, **world)
    running.accept(*(message(f"n{number}") for number in range(50)))
    eventually(all_ended, within=60)
    assert query("SELECT DISTINCT fence FROM notifications") == [(1,)]
    check_invariants(slow_sandbox)


def test_one_refused_message_does_not_hold_its_neighbours_up(engine, sandbox):
    running = engine()
    accepts = [Accept(read_document(message(f"n{number}")), "queue", False, 3600) for number in range(3)]
    accepts[1].source = "much too long for its column"
    with pytest.raises(psycopg.Error):
        running.engine.accept(accepts, [])
    eventually(lambda: counted("notifications", "status") == {"sent": 2}, within=10)


def test_an_exhausted_device_is_remembered_until_the_end(engine, sandbox):
    """One device exhausts its attempts; the other fails for good later: the notification is exhausted all the same."""
    running = engine(max_retry_attempts=1)
    sandbox.control("fcm", "down", times=1)
    running.accept(message("n1", "ok-1"))
    eventually(all_ended)
    assert query("SELECT exhausted FROM push_deliveries") == [(True,)]
    assert query("SELECT error_code FROM notifications") == [("exhausted",)]
    check_invariants(sandbox)


def test_places_are_given_out_once_and_not_after_closing():
    places = Places(100)
    assert places.take(60) == 60
    assert places.take_up_to(60) == 40
    places.give_back(100)
    places.close()
    assert (places.take(1), places.take_up_to(1)) == (0, 0)
