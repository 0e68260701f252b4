"""What operators do: resend, cancel, redrive, discard; each once, however often it is asked for."""

import json
import random
import threading
from datetime import timedelta

import pytest
from django.db import connections

from deliveries import operations
from deliveries.ledger import DeadLettered
from deliveries.operations import Target, Who
from tests.world import all_ended, check_invariants, counted, eventually, message, query

ADA = Who("user ada", "the template is mended")


def row(id: str, *columns: str):
    [found] = query(f"SELECT {', '.join(columns)} FROM notifications WHERE notification_id = %s", id)
    return found if len(columns) > 1 else found[0]


def code(outcomes) -> str:
    [outcome] = outcomes
    assert outcome.sentence.endswith(".")
    return outcome.code


def settled(running, *documents):
    running.accept(*documents)
    eventually(all_ended, what="an end and a report for each")


def later() -> None:
    """Eleven seconds pass: another resend is another one."""
    query("UPDATE notifications SET resent_at = resent_at - interval '11 s'")


def in_parallel(count: int, call) -> list:
    results, go = [], threading.Barrier(count)

    def run() -> None:
        go.wait()
        try:
            results.append(call())
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(results) == count
    return results


# --- resend -------------------------------------------------------------------------------------------------------


def test_a_failed_notification_is_sent_again_with_a_fresh_lookup_and_text(engine, sandbox):
    running = engine()
    settled(running, message("n1", "ada", template_id="unknown-t"))
    assert row("n1", "status", "error_code") == ("failed", "template_missing")
    query("""UPDATE notifications SET request = jsonb_set(request, '{template_id}', '"welcome"')""")
    assert code(operations.resend([Target("n1")], ADA)) == "resent"
    eventually(lambda: row("n1", "status") == "sent" and all_ended(), what="sent after all")
    assert [report["status"] for report in sandbox.reports()["n1"]] == ["failed", "delivered"]
    assert query("SELECT actor, action, subject, reason FROM audit_log") == [
        ("user ada", "resend", "n1", "the template is mended")
    ]
    check_invariants(sandbox)


def test_only_what_did_not_arrive_is_sent_again_and_its_device_may_be_gone(engine, sandbox):
    running = engine()
    settled(running, message("n1", "mixed-1"))
    assert counted("push_deliveries", "status") == {"sent": 2, "failed": 1}
    query("UPDATE push_deliveries SET device_token = 'an-older-token' WHERE status = 'failed'")
    assert code(operations.resend([Target("n1")], ADA)) == "resent"
    eventually(lambda: row("n1", "status") == "sent" and all_ended())
    # The old device is gone. The one in its place is not tried: it may be a phone that has it, under a new token.
    assert counted("push_deliveries", "status", "error_code") == {("sent", ""): 2, ("failed", "device_gone"): 1}
    assert sandbox.book()["accepted_count"] == 2
    assert len(sandbox.reports()["n1"]) == 1, "it ended as before: nothing new to tell"
    check_invariants(sandbox)


def test_one_delivery_is_sent_again_without_the_others(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "refuse400")
    settled(running, message("n1", "multi-1"))
    assert counted("push_deliveries", "status") == {"failed": 3}
    sandbox.control("fcm", "none")
    [[first], *_] = query("SELECT id FROM push_deliveries ORDER BY id")
    assert code(operations.resend([Target("n1", (first,))], ADA)) == "resent"
    eventually(lambda: row("n1", "status") == "sent" and all_ended())
    assert query("SELECT status FROM push_deliveries ORDER BY id") == [("sent",), ("failed",), ("failed",)]
    assert code(operations.resend([Target("n1", (first + 1000,))], ADA)) == "unknown_delivery"
    check_invariants(sandbox)


def test_what_was_accepted_is_refused_unless_forced_and_counted_then(engine, sandbox):
    running = engine()
    settled(running, message("n1", "ada"))
    assert code(operations.resend([Target("n1")], ADA)) == "already_sent"
    assert code(operations.resend([Target("n1")], ADA, force=True)) == "resent"
    eventually(lambda: sandbox.book()["accepted_count"] == 2 and all_ended())
    assert query("SELECT status, forced_resends FROM push_deliveries") == [("sent", 1)]
    assert len(sandbox.reports()["n1"]) == 1
    [[detail]] = query("SELECT detail FROM audit_log")
    assert json.loads(detail)["accepted_before"][0].startswith("projects/")
    check_invariants(sandbox)


def test_a_forced_resend_that_fails_does_not_unsay_the_first(engine, sandbox):
    running = engine()
    settled(running, message("n1", "ada"))
    [[name, sent_at]] = query("SELECT provider_message_id, sent_at FROM push_deliveries")
    sandbox.control("fcm", "refuse400")
    operations.resend([Target("n1")], ADA, force=True)
    eventually(lambda: counted("push_deliveries", "status") == {"failed": 1} and all_ended())
    assert row("n1", "status") == "sent"
    assert query("SELECT provider_message_id, sent_at FROM push_deliveries") == [(name, sent_at)]
    later()
    assert code(operations.resend([Target("n1")], ADA)) == "already_sent"
    assert len(sandbox.reports()["n1"]) == 1
    check_invariants(sandbox)


@pytest.mark.parametrize("force", [False, True])
def test_twenty_at_once_have_one_effect(engine, sandbox, force):
    running = engine()
    if not force:
        sandbox.control("fcm", "refuse400")
    settled(running, message("n1", "ada"))
    before = sandbox.book()["accepted_count"]
    sandbox.control("fcm", "none")
    outcomes = in_parallel(20, lambda: operations.resend([Target("n1")], ADA, force=force)[0].code)
    assert outcomes.count("resent") == 1, outcomes
    assert set(outcomes) <= {"resent", "under_way", "just_resent", "already_sent"}
    eventually(lambda: sandbox.book()["accepted_count"] == before + 1 and all_ended())
    assert query("SELECT count(*) FROM audit_log") == [(1,)]
    assert row("n1", "resends") == 1
    check_invariants(sandbox)


def test_a_page_that_is_out_of_date_changes_nothing(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "refuse400")
    settled(running, message("n1", "ada"))
    assert code(operations.resend([Target("n1", seen=0)], ADA)) == "resent"
    eventually(all_ended)
    later()
    assert code(operations.resend([Target("n1", seen=0)], ADA)) == "changed"
    assert code(operations.resend([Target("n1", seen=1)], ADA)) == "resent"


def an_hour_passes() -> None:
    """As soon as the one notification waits for its next attempt."""
    waits = "SELECT 1 FROM notifications WHERE worker_id IS NULL AND next_attempt_at > now() + interval '5 s'"
    eventually(lambda: query(waits), what="a notification that waits")
    columns = ("created_at", "resent_at", "expires_at", "next_attempt_at")
    query("UPDATE notifications SET " + ", ".join(f"{name} = {name} - interval '1 h'" for name in columns))


def test_a_resend_gets_the_time_it_had_at_first_and_all_its_attempts(engine, sandbox):
    running = engine()
    running.accept(message("n1", "unavailable-1", ttl=600))
    for times in range(2):
        an_hour_passes()
        eventually(all_ended)
        assert row("n1", "status", "resends") == ("expired", times)
        assert counted("push_deliveries", "attempts") == {1: 1}
        assert code(operations.resend([Target("n1")], ADA)) == "resent"
        lifetime = row("n1", "expires_at - resent_at")
        assert timedelta(seconds=590) < lifetime < timedelta(seconds=610), "it does not grow with every resend"
    an_hour_passes()
    eventually(all_ended)
    check_invariants(sandbox)


def test_a_resend_whose_lookup_is_given_up_ends_its_deliveries_and_unsays_nothing(engine, sandbox):
    running = engine(max_retry_attempts=1)
    settled(running, message("mixed", "mixed-1"), message("dead", "dead-1"))
    sandbox.control("users", "down")
    operations.resend([Target("mixed"), Target("dead")], ADA)
    eventually(all_ended)
    assert (row("mixed", "status"), row("dead", "status", "error_code")) == ("sent", ("failed", "exhausted"))
    assert counted("push_deliveries", "status", "error_code") == {("sent", ""): 2, ("failed", "exhausted"): 2}
    assert {id: len(reports) for id, reports in sandbox.reports().items()} == {"mixed": 1, "dead": 1}
    assert counted("dead_letters", "notification_id") == {"dead": 1}
    check_invariants(sandbox)


def test_it_ends_as_what_was_resent_ended(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "slow", latency_ms=500)
    sandbox.control("users", "slow", latency_ms=500)
    running.accept(message("n1", "multi-1"))
    operations.cancel(["n1"], ADA)
    eventually(all_ended)
    sandbox.control("users", "none")
    sandbox.control("fcm", "refuse400")
    settled(running, message("n2", "multi-2"))
    query(
        "UPDATE push_deliveries SET status = 'cancelled', error_code = 'cancelled', updated_at = now() - interval '1 h'"
    )
    query("UPDATE notifications SET status = 'cancelled', error_code = 'cancelled' WHERE notification_id = 'n2'")
    [[last]] = query("SELECT max(id) FROM push_deliveries")
    operations.resend([Target("n2", (last,))], ADA)
    eventually(lambda: row("n2", "resends") == 1 and all_ended())
    assert row("n2", "status", "error_code") == ("failed", "INVALID_ARGUMENT")


def test_a_device_that_is_gone_does_not_hide_why_the_other_failed(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "refuse400")
    settled(running, message("n1", "ada"))
    query("UPDATE push_deliveries SET device_token = 'an-older-token', updated_at = now() - interval '1 h'")
    operations.resend([Target("n1")], ADA)
    eventually(lambda: row("n1", "resends") == 1 and all_ended())
    assert counted("push_deliveries", "error_code") == {"device_gone": 1, "INVALID_ARGUMENT": 1}
    assert row("n1", "status", "error_code") == ("failed", "INVALID_ARGUMENT")


def test_where_it_arrived_a_new_token_may_be_the_same_phone(engine, sandbox):
    running = engine()
    settled(running, message("n1", "mixed-1"))
    query("UPDATE push_deliveries SET device_token = 'before-' || id WHERE status = 'sent'")  # both have changed
    assert code(operations.resend([Target("n1")], ADA)) == "resent"
    eventually(lambda: row("n1", "resends") == 1 and all_ended())
    assert sandbox.book()["accepted_count"] == 2
    assert row("n1", "status") == "sent"


def test_what_came_too_late_gets_a_minute_at_least(engine):
    running = engine()
    settled(running, message("n1", "ada", expires_at="2026-01-01T00:00:00Z"))
    assert row("n1", "status") == "expired"
    operations.resend([Target("n1")], ADA)
    eventually(lambda: row("n1", "status") == "sent" and all_ended())


def test_a_resend_that_a_crash_left_half_ended_expires(engine, sandbox):
    running = engine(circuit_breaker_fail_max=1, circuit_breaker_timeout=60.0)
    sandbox.control("fcm", "refuse400")
    settled(running, message("n1", "ada"))
    sandbox.control("users", "down")
    query(
        "UPDATE notifications SET status = 'pending', resolve_again = true, resends = 1, resent_at = now(),"
        " ended_at = NULL, next_attempt_at = now(), expires_at = now() + interval '1 s'"
    )
    eventually(lambda: row("n1", "status") == "expired", what="an end")


def test_an_unknown_outcome_is_a_warning(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "reset-after-accept")
    settled(running, message("n1", "ada", guarantee="at_most_once"))
    assert row("n1", "error_code") == "unknown_outcome"
    sandbox.control("fcm", "none")
    [outcome] = operations.resend([Target("n1")], ADA)
    assert (outcome.code, outcome.warning) == ("resent", operations.MAY_REPEAT)
    eventually(lambda: row("n1", "status") == "sent" and all_ended())
    assert sandbox.book()["repeats"] == 1
    check_invariants(sandbox)


def test_what_has_not_ended_or_is_not_there_is_refused(engine, sandbox):
    running = engine(retry_min_wait=30.0, retry_max_wait=30.0)
    sandbox.control("users", "down")
    running.accept(message("n1", "ada"))
    eventually(lambda: row("n1", "error_code") != "")
    outcomes = operations.resend([Target("n1"), Target("nobody")], ADA)
    assert [outcome.code for outcome in outcomes] == ["under_way", "unknown_notification"]
    assert query("SELECT count(*) FROM audit_log") == [(0,)]


# --- cancel -------------------------------------------------------------------------------------------------------


def test_what_waits_is_cancelled_and_reported(engine, sandbox):
    running = engine(retry_min_wait=30.0, retry_max_wait=30.0)
    sandbox.control("users", "down")
    running.accept(message("n1", "ada"))
    eventually(lambda: row("n1", "error_code") != "")
    sandbox.control("users", "none")
    assert code(operations.cancel(["n1"], Who("user ada", "wrong text"))) == "cancelling"
    eventually(all_ended)
    assert row("n1", "status", "error_code", "error_message") == (
        "cancelled",
        "cancelled",
        "Cancelled: wrong text",
    )
    assert sandbox.reports()["n1"][0]["status"] == "failed"
    assert sandbox.book()["accepted_count"] == 0
    assert code(operations.cancel(["n1"], ADA)) == "ended"
    assert code(operations.cancel(["nobody"], ADA)) == "unknown_notification"
    check_invariants(sandbox)


def test_a_token_in_a_reason_goes_nowhere(engine, sandbox):
    running = engine(retry_min_wait=30.0, retry_max_wait=30.0)
    sandbox.control("users", "down")
    running.accept(message("n1", "ada"))
    token = "dGVzdA:APA91b" + "x" * 130
    operations.cancel(["n1"], Who("user ada", f"wrong device {token}"))
    eventually(all_ended)
    assert row("n1", "error_message").startswith("Cancelled: wrong device dGVz")
    everything = str(query("SELECT * FROM audit_log")) + row("n1", "error_message") + str(sandbox.reports())
    assert token not in everything and token[-40:] not in everything


def test_what_is_in_work_is_cancelled_before_its_next_send(engine, sandbox):
    running = engine()
    sandbox.control("users", "slow", latency_ms=1500)
    running.accept(message("n1", "ada"))
    assert code(operations.cancel(["n1"], ADA)) == "cancelling"
    assert code(operations.cancel(["n1"], ADA)) == "cancelling"
    eventually(all_ended)
    assert row("n1", "status") == "cancelled"
    assert sandbox.book()["accepted_count"] == 0
    assert query("SELECT count(*) FROM audit_log") == [(1,)]
    check_invariants(sandbox)


def test_a_send_in_the_air_counts_and_the_rest_is_cancelled(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "down", latency_ms=700)
    running.accept(message("n1", "multi-1"))
    eventually(lambda: counted("push_deliveries", "status") == {"sending": 3})
    assert code(operations.cancel(["n1"], ADA)) == "cancelling"
    eventually(all_ended)  # FCM's 503 asks for 10 s at least: it does not wait for them
    assert row("n1", "status") == "cancelled"
    assert counted("push_deliveries", "status") == {"cancelled": 3}
    check_invariants(sandbox)


def test_what_fails_for_the_last_time_while_it_is_cancelled_is_cancelled(engine, sandbox):
    running = engine(max_retry_attempts=1)
    sandbox.control("users", "down", latency_ms=700)
    running.accept(message("n1", "ada"))
    operations.cancel(["n1"], Who("user ada", "wrong text"))
    eventually(all_ended)
    assert row("n1", "status", "error_message") == ("cancelled", "Cancelled: wrong text")
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]
    check_invariants(sandbox)


def test_cancelling_and_resending_what_workers_have_in_hand_deadlocks_with_nobody(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "slow", latency_ms=300)
    ids = [f"n{number}" for number in range(3000)]
    accepting = threading.Thread(target=running.accept, args=[message(id) for id in ids])
    accepting.start()
    for _ in range(40):
        codes = {outcome.code for outcome in operations.cancel(random.sample(ids, 100), ADA)}
        assert codes <= {"cancelling", "ended", "unknown_notification"}
        operations.resend([Target(id) for id in random.sample(ids, 100)], ADA)
    accepting.join()
    eventually(all_ended)
    check_invariants(sandbox)


def test_a_cancelled_notification_may_be_sent_again(engine, sandbox):
    running = engine()
    sandbox.control("users", "slow", latency_ms=700)
    running.accept(message("n1", "ada"))
    operations.cancel(["n1"], ADA)
    eventually(all_ended)
    assert code(operations.resend([Target("n1")], ADA)) == "resent"
    eventually(lambda: row("n1", "status") == "sent" and all_ended())
    assert [report["status"] for report in sandbox.reports()["n1"]] == ["failed", "delivered"]
    check_invariants(sandbox)


# --- dead letters -------------------------------------------------------------------------------------------------


def a_letter(running, document, id: str | None = "n1") -> int:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    running.engine.accept([], [DeadLettered(body, "invalid_message", ["why"], id, report_owed=id is not None)])
    [[letter]] = query("SELECT max(id) FROM dead_letters")
    return letter


def test_a_message_that_can_be_read_by_now_is_accepted(engine, sandbox):
    running = engine()
    sandbox.control("gateway", "down")
    letter = a_letter(running, {"user_id": "ada", "title": "Hi"})
    assert code(operations.redrive([letter], ADA)) == "redriven"
    sandbox.control("gateway", "none")
    eventually(lambda: counted("notifications", "status") == {"sent": 1} and all_ended())
    assert query("SELECT state, note FROM dead_letters") == [("redriven", "the template is mended")]
    assert [report["status"] for report in sandbox.reports()["n1"]] == ["delivered"]
    assert code(operations.redrive([letter], ADA)) == "not_open"
    check_invariants(sandbox)


def test_a_report_in_flight_is_not_owed_again_after_a_redrive(engine, sandbox):
    running = engine()
    sandbox.control("gateway", "down", latency_ms=1500, times=1)
    letter = a_letter(running, {"user_id": "ada", "title": "Hi"})
    eventually(lambda: query("SELECT report_due_at > now() + interval '1 min' FROM dead_letters") == [(True,)])
    assert code(operations.redrive([letter], ADA)) == "redriven"
    eventually(lambda: query("SELECT report_attempts FROM dead_letters") == [(1,)], what="the end of that report")
    assert query("SELECT report_due_at FROM dead_letters") == [(None,)]
    eventually(all_ended)
    assert [report["status"] for report in sandbox.reports()["n1"]] == ["delivered"]


def test_what_still_cannot_be_read_stays_and_says_why(engine):
    running = engine()
    letter = a_letter(running, {"notification_id": "n1"})
    cut = a_letter(running, b"x" * 70_000, None)
    still, half, none = operations.redrive([letter, cut, cut + 1], ADA)
    assert still.code == "still_invalid" and "user_id" in still.sentence
    assert (half.code, none.code) == ("cut", "not_open")
    assert counted("dead_letters", "state") == {"open": 2}
    assert query("SELECT count(*) FROM audit_log") == [(0,)]


def test_a_letter_whose_notification_is_there_already_is_closed(engine, sandbox):
    running = engine()
    settled(running, message("n1", "ada"))
    letter = a_letter(running, {"user_id": "ada", "title": "Hi"})
    assert code(operations.redrive([letter], ADA)) == "known"
    assert counted("dead_letters", "state") == {"redriven": 1}
    assert sandbox.book()["accepted_count"] == 1


def test_what_was_given_up_gets_new_attempts(engine, sandbox):
    running = engine(max_retry_attempts=1)
    sandbox.control("users", "down")
    settled(running, message("n1", "ada"))
    [[letter]] = query("SELECT id FROM dead_letters WHERE code = 'exhausted'")
    check_invariants(sandbox)
    sandbox.control("users", "none")
    query("SELECT pg_sleep(1.1)")  # the breaker
    assert code(operations.redrive([letter], ADA)) == "resent"
    eventually(lambda: row("n1", "status") == "sent" and all_ended())
    assert counted("dead_letters", "state") == {"redriven": 1}
    check_invariants(sandbox)
    sandbox.control("fcm", "refuse400")


def test_a_letter_that_fails_again_is_open_again(engine, sandbox):
    running = engine(max_retry_attempts=1)
    sandbox.control("users", "down")
    settled(running, message("n1", "ada"))
    eventually(lambda: len(running.published) == 1, what="a copy of it")
    operations.resend([Target("n1")], ADA)
    assert counted("dead_letters", "state") == {"redriven": 1}
    eventually(lambda: counted("dead_letters", "state", "count") == {("open", 2): 1} and all_ended())
    eventually(lambda: len(running.published) == 2, what="a copy of it, again")
    assert len(sandbox.reports()["n1"]) == 1
    check_invariants(sandbox)


def test_a_letter_is_discarded_for_a_reason_only(engine):
    running = engine()
    letter = a_letter(running, b"not json", None)
    with pytest.raises(ValueError, match="reason"):
        operations.discard([letter], Who("user ada", " "))
    assert code(operations.discard([letter], Who("user ada", "a test of ours"))) == "discarded"
    assert code(operations.discard([letter], ADA)) == "not_open"
    assert query("SELECT state, note FROM dead_letters") == [("discarded", "a test of ours")]
    assert query("SELECT actor, action, subject FROM audit_log") == [("user ada", "discard", str(letter))]


def test_twenty_redrives_at_once_accept_once(engine, sandbox):
    running = engine()
    letter = a_letter(running, {"user_id": "ada", "title": "Hi"})
    codes = in_parallel(20, lambda: operations.redrive([letter], ADA)[0].code)
    assert codes.count("redriven") == 1 and set(codes) == {"redriven", "not_open"}
    eventually(lambda: sandbox.book()["accepted_count"] == 1 and all_ended())
