"""Every way through the pipeline, with a real database and real HTTP."""

import json
import time
from dataclasses import asdict
from datetime import UTC, datetime

from deliveries import operations
from deliveries.contract import read_document
from deliveries.operations import Target, Who
from deliveries.sending import message_of
from deliveries.work import Delivery, Work
from tests.world import all_ended, check_invariants, counted, eventually, message, query


def _row(id: str) -> dict:
    [[row]] = query("SELECT row_to_json(n) FROM notifications n WHERE notification_id = %s", id)
    return row


def _settled(engine, sandbox, *documents, **options):
    running = engine(**options)
    running.accept(*documents)
    eventually(all_ended, what="an end and a report for each")
    check_invariants(sandbox)
    return running


def test_a_push_arrives_and_is_recorded_and_reported(engine, sandbox):
    _settled(engine, sandbox, message("n1", "ada"))
    [push] = sandbox.book()["accepted"]
    assert (push["tag"], push["title"]) == ("n1", "Welcome, Ada!")
    [[status, provider, name, error]] = query(
        "SELECT status, provider, provider_message_id, error_code FROM push_deliveries"
    )
    assert (status, provider, error) == ("sent", "fcm", "")
    assert name == push["name"]
    assert sandbox.reports()["n1"][0].keys() == {"notification_id", "status", "timestamp"}
    assert sandbox.reports()["n1"][0]["status"] == "delivered"
    row = _row("n1")
    times = [row[name] for name in ("created_at", "resolved_at", "rendered_at", "ended_at", "reported_at")]
    assert times == sorted(times)
    assert row["worker_id"] is None and row["next_attempt_at"] is None


def test_data_tag_and_collapse_id_travel(engine, sandbox):
    _settled(engine, sandbox, message("n1", metadata={"k": 1, "nested": {"a": [1]}}, image="https://x.test/i.png"))
    [push] = sandbox.book()["accepted"]
    sent = json.dumps(push)
    assert '"n1"' in sent


def test_ids_of_any_script_travel(engine, sandbox):
    _settled(engine, sandbox, message("n/ü 1?", "ada/ü", correlation_id="c ü €"))
    assert sandbox.book()["accepted"][0]["tag"] == "n/ü 1?"
    assert sandbox.reports()["n/ü 1?"][0]["status"] == "delivered"


def test_every_device_of_a_user_gets_it(engine, sandbox):
    _settled(engine, sandbox, message("n1", "multi-1"))
    assert counted("push_deliveries", "status") == {"sent": 3}
    assert len(sandbox.book()["accepted"]) == 3
    assert len(sandbox.reports()["n1"]) == 1


def test_inline_text_needs_no_template(engine, sandbox):
    sandbox.control("templates", "down")
    _settled(engine, sandbox, message("n1", template_id=None, title="Hi", body="There"))
    [push] = sandbox.book()["accepted"]
    assert (push["title"], push["body"]) == ("Hi", "There")


def test_inline_text_takes_the_variables_into_their_places(engine, sandbox):
    text = {"template": {"subject": "Hi {{name}}", "body": "Order {{ id }} for {{nobody}}, {{list}}"}}
    _settled(engine, sandbox, message("n1", template_id=None, variables={"name": "Ada", "id": 7, "list": [1]}, **text))
    [push] = sandbox.book()["accepted"]
    assert (push["title"], push["body"]) == ("Hi Ada", "Order 7 for {{nobody}}, {{list}}")


def test_every_word_of_a_request_reaches_the_provider():
    said = {
        "title": "T", "body": "B", "image": "https://x.test/i", "link": "https://x.test", "click_action": "OPEN",
        "badge": 2, "sound": "bell", "channel_id": "orders", "collapse_key": "news",
        "analytics_label": "spring", "data_only": True, "dry_run": True,
    }  # fmt: skip
    request = read_document({"notification_id": "n1", "user_id": "u1", **said})
    work = Work(request, 1, high_priority=True, expires_at=time.monotonic() + 90.5)
    delivery = Delivery("n1", "u1", "news", "android", "T", "B", {"k": 1}, "fcm", "topic")
    pushed = asdict(message_of(work, delivery, datetime.fromtimestamp(1.8e9, UTC)))
    assert pushed == {
        **said, "notification_id": "n1", "device_token": "news", "target": "topic", "data": {"k": 1},
        "high_priority": True, "ttl": 90, "sent_at": 1.8e9, "tag": None,
    }  # fmt: skip


def test_a_topic_gets_it_once_and_nobody_is_asked(engine, sandbox):
    sandbox.control("users", "down")
    _settled(engine, sandbox, message("n1", user_id=None, topic="/topics/news"))
    [push] = sandbox.book()["accepted"]
    assert (push["tag"], push["target"], push["token"], push["title"]) == ("n1", "topic", "news", "Welcome, Ada!")
    assert query("SELECT user_id, target, device_token, platform, status FROM push_deliveries") == [
        ("", "topic", "news", "", "sent")
    ]
    assert sandbox.hits("users") == 0
    assert sandbox.reports()["n1"][0]["status"] == "delivered"
    [outcome] = operations.resend([Target("n1")], Who("user ada", "once more"), force=True)
    assert outcome.code == "resent"
    eventually(lambda: all_ended() and sandbox.book()["accepted_count"] == 2, what="the topic's second push")
    assert counted("push_deliveries", "status") == {"sent": 1}
    assert sandbox.hits("users") == 0
    check_invariants(sandbox)


def test_a_topic_s_push_can_be_cancelled_while_it_waits(engine, sandbox):
    sandbox.control("templates", "down")
    running = engine(retry_min_wait=30, retry_max_wait=30)
    running.accept({"notification_id": "n1", "topic": "news", "template_id": "welcome"})
    eventually(lambda: _row("n1")["next_attempt_at"], what="a wait")
    operations.cancel(["n1"], Who("user ada", "old news"))
    eventually(all_ended, what="its end")
    assert (_row("n1")["status"], sandbox.book()["accepted"]) == ("cancelled", [])


def test_a_push_for_the_app_alone_needs_no_text_and_takes_what_it_has_as_data(engine, sandbox):
    plain, tap = {"data_only": True, "metadata": {"sync": True}}, {"link": "https://x.test", "click_action": "OPEN"}
    _settled(engine, sandbox, message("n1", template_id=None, **plain), message("n2", **plain, **tap))
    pushes = {push["data"]["notification_id"]: push for push in sandbox.book()["accepted"]}
    assert (pushes["n1"]["title"], pushes["n2"]["title"]) == (None, None)
    assert pushes["n1"]["data"] == {"sync": "true", "notification_id": "n1"}
    assert pushes["n2"]["data"]["title"] == "Welcome, Ada!"
    assert pushes["n2"]["data"].items() >= tap.items()


def test_a_dry_run_is_no_send_and_says_what_fcm_would_do(engine, sandbox):
    _settled(
        engine,
        sandbox,
        message("taken", "ada", dry_run=True),
        message("some", "mixed-1", dry_run=True),
        message("refused", "dead-1", dry_run=True),
    )
    would = ("skipped", "dry_run", "It was checked and would be taken; nothing was sent.")
    endings = query("SELECT notification_id, status, error_code, error_message FROM notifications")
    assert {id: ending for id, *ending in endings} == {
        "taken": [*would],
        "some": [*would],
        "refused": ["failed", "UNREGISTERED", _row("refused")["error_message"]],
    }
    assert counted("push_deliveries", "status", "error_code") == {
        ("skipped", "dry_run"): 3,
        ("failed", "UNREGISTERED"): 2,
    }
    assert query("SELECT 1 FROM push_deliveries WHERE sent_at IS NOT NULL OR provider_message_id <> ''") == []
    assert sandbox.book()["accepted"] == []
    assert sandbox.book()["counts"]["validated"] == 3
    assert [(report["status"], report["error"]) for report in sandbox.reports()["taken"]] == [("failed", would[2])]


def test_a_dry_run_that_one_device_would_take_ends_so_when_the_time_of_another_is_up(engine, sandbox):
    running = engine()
    running.accept(message("n1", "multi-1", dry_run=True, ttl=3))
    eventually(all_ended, what="a dry run")
    query(
        "UPDATE push_deliveries SET status = 'pending', error_code = ''"
        " WHERE id = (SELECT max(id) FROM push_deliveries)"
    )
    query(
        "UPDATE notifications SET status = 'pending', error_code = '', next_attempt_at = now(), expires_at = now(),"
        " reported_at = NULL"
    )
    eventually(all_ended, what="its end for lack of time")
    assert counted("push_deliveries", "status", "error_code") == {("skipped", "dry_run"): 2, ("expired", "expired"): 1}
    assert (_row("n1")["status"], _row("n1")["error_code"]) == ("skipped", "dry_run")


def test_each_ending_has_its_own_reason(engine, sandbox):
    _settled(
        engine,
        sandbox,
        message("optout", "optout-1"),
        message("nodevice", "nodevice-1"),
        message("unknown", "unknown-1"),
        message("dead", "dead-1"),
        message("template", "ada", template_id="unknown-t"),
        message("late", "ada", expires_at="2020-01-01T00:00:00Z"),
    )
    endings = {row[0]: row[1:] for row in query("SELECT notification_id, status, error_code FROM notifications")}
    assert endings == {
        "optout": ("skipped", "opted_out"),
        "nodevice": ("skipped", "no_device"),
        "unknown": ("failed", "unknown_user"),
        "dead": ("failed", "UNREGISTERED"),
        "template": ("failed", "template_missing"),
        "late": ("expired", "expired"),
    }
    for id, [report] in sandbox.reports().items():
        assert report["status"] == "failed", id
        assert report["error"], id
    assert not query("SELECT 1 FROM notifications WHERE error_message = ''")


def test_a_user_service_that_is_down_is_a_wait_and_never_no_device(engine, sandbox):
    sandbox.control("users", "down", times=2)
    _settled(engine, sandbox, message("n1"))
    assert _row("n1")["status"] == "sent"
    assert counted("push_attempts", "stage", "outcome", "error_code") == {("resolve", "retry", "user_service_error"): 2}


def test_attempts_used_up_end_as_exhausted_with_one_dead_letter(engine, sandbox):
    sandbox.control("templates", "html500")
    running = _settled(engine, sandbox, message("n1"))
    row = _row("n1")
    assert (row["status"], row["error_code"], row["attempts"]) == ("failed", "exhausted", 3)
    assert "answered 500" in row["error_message"]
    [[body]] = query("SELECT convert_from(body, 'UTF8') FROM dead_letters")
    assert json.loads(body)["notification_id"] == "n1"
    eventually(lambda: running.published, what="the copy on the failed queue")
    assert "n1" in running.published[0][0].decode()


def test_an_open_breaker_is_waited_for_without_burning_attempts(engine, sandbox):
    sandbox.control("users", "down", seconds=4)
    running = engine(circuit_breaker_fail_max=2, max_retry_attempts=3)
    running.accept(*(message(f"n{i}") for i in range(10)))
    eventually(all_ended, within=60, what="all ended")
    statuses = counted("notifications", "status")
    assert statuses.get("sent", 0) >= 8, statuses
    waits = counted("push_attempts", "outcome", "error_code")
    assert waits[("waiting", "user_service_unavailable")] >= 8
    check_invariants(sandbox)


def test_expiry_ends_a_wait_in_time(engine, sandbox):
    sandbox.control("users", "down")
    _settled(engine, sandbox, message("n1", ttl=1), max_retry_attempts=50, retry_min_wait=0.3)
    row = _row("n1")
    assert (row["status"], row["error_code"]) == ("expired", "expired")
    assert "answered 503" in row["error_message"]
    assert counted("dead_letters", "code") == {}


def test_fcm_in_trouble_is_tried_again_not_before_ten_seconds(engine, sandbox):
    running = engine()
    running.accept(message("n1", "unavailable-1"))
    eventually(lambda: counted("push_attempts", "outcome").get("retry"), what="one refused send")
    eventually(lambda: _row("n1")["worker_id"] is None, what="the row put down")
    [[status, code, wait]] = query(
        "SELECT status, error_code, extract(epoch FROM next_attempt_at - updated_at) FROM push_deliveries"
    )
    assert (status, code) == ("pending", "UNAVAILABLE")
    assert 9.9 < wait < 20.1
    assert _row("n1")["status"] == "pending"


def test_a_quota_burns_no_attempt(engine, sandbox):
    running = engine()
    running.accept(message("n1", "quota-1"))
    eventually(lambda: counted("push_attempts", "outcome").get("waiting"), what="one throttled send")
    eventually(lambda: _row("n1")["worker_id"] is None, what="the row put down")
    [[status, attempts]] = query("SELECT status, attempts FROM push_deliveries")
    assert (status, attempts) == ("pending", 0)


def test_a_reset_after_acceptance_is_unknown_counted_and_sent_again(engine, sandbox):
    sandbox.control("fcm", "reset-after-accept", times=1)
    _settled(engine, sandbox, message("n1"))
    assert query("SELECT status, unknown_count FROM push_deliveries") == [("sent", 1)]
    assert sandbox.book()["repeats"] == 1


def test_at_most_once_does_not_send_again_after_an_unknown_outcome(engine, sandbox):
    sandbox.control("fcm", "reset-after-accept", times=1)
    _settled(engine, sandbox, message("n1", guarantee="at_most_once"))
    assert query("SELECT status, error_code, unknown_count FROM push_deliveries") == [("failed", "unknown_outcome", 1)]
    assert sandbox.book()["repeats"] == 0


def test_credentials_that_are_wrong_keep_everything_queued(engine, sandbox):
    sandbox.control("token", "refuse400")
    running = engine()
    running.accept(message("n1"))
    eventually(lambda: counted("push_attempts", "outcome").get("waiting"), what="a wait")
    eventually(lambda: _row("n1")["worker_id"] is None, what="the row put down")
    row = _row("n1")
    assert (row["status"], row["attempts"]) == ("pending", 0)
    assert query("SELECT status, attempts FROM push_deliveries") == [("pending", 0)]


def test_a_report_is_owed_until_the_gateway_takes_it(engine, sandbox):
    sandbox.control("gateway", "down", times=1)
    running = engine()
    running.accept(message("n1"))
    eventually(lambda: _row("n1")["report_attempts"] == 1, what="a failed report")
    row = _row("n1")
    assert (row["status"], row["reported_at"]) == ("sent", None)
    assert "503" in row["report_error"]
    eventually(all_ended, what="the report")
    check_invariants(sandbox)
    assert len(sandbox.book()["accepted"]) == 1


def test_a_report_that_is_refused_for_good_is_kept_and_not_repeated(engine, sandbox):
    sandbox.control("gateway", "refuse400")
    _settled(engine, sandbox, message("n1"))
    row = _row("n1")
    assert row["reported_at"] is None and row["report_refused_at"]
    assert row["report_error"].startswith("400")
    assert row["report_attempts"] == 1


def test_the_same_notification_twice_is_one(engine, sandbox):
    running = engine()
    running.accept(message("n1"), message("n1"), message("n1", "multi-1"))
    eventually(all_ended)
    running.accept(message("n1"))
    eventually(all_ended)
    assert len(sandbox.book()["accepted"]) == 1
    assert len(sandbox.reports()["n1"]) == 1


def test_a_thousand_through_few_places(engine, sandbox):
    running = engine(max_in_flight=7)
    for start in range(0, 300, 100):
        running.accept(*(message(f"n{i}") for i in range(start, start + 100)))
    eventually(all_ended, within=60)
    assert counted("notifications", "status") == {"sent": 300}
    assert running.engine.places.take_up_to(100) == 7
    running.engine.places.give_back(7)
    check_invariants(sandbox)
