"""Lifting: while credentials are wrong hardly anything is asked, and once they are mended all goes on by itself."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deliveries import operations
from deliveries.operations import Who
from tests.test_ledger import delivery
from tests.world import EngineInTest, SandboxProcess, all_ended, check_invariants, counted, eventually, message, query

#: Seconds between two notifications: some come at any time.
PERIOD = 0.05
#: Requests to FCM for one pause: a probe or two, each asked again with a fresh token, as one more may be in the air.
A_FEW = 6


@contextmanager
def arriving(running: EngineInTest) -> Iterator[None]:
    """Notifications come in all the time."""
    over = threading.Event()

    def accept() -> None:
        number = 0
        while not over.wait(PERIOD):
            number += 1
            running.accept(message(f"n{number}"))

    thread = threading.Thread(target=accept, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(10)


def calls(sandbox: SandboxProcess) -> int:
    return int(sandbox.book(full=False)["calls"])


def held() -> int:
    [[count]] = query("SELECT count(*) FROM push_deliveries WHERE status = 'pending'")
    return int(count)


def until():
    return query("SELECT until FROM brakes")


def replace(key_file: Path) -> None:
    """The same content once more, as a new file."""
    new = key_file.with_suffix(".new")
    new.write_bytes(key_file.read_bytes())
    new.rename(key_file)


@pytest.mark.parametrize("fault", ["refuse401", "refuse403"])
def test_while_we_are_not_let_in_a_few_probes_are_sent_and_a_new_key_file_is_noticed(engine, sandbox, caplog, fault):
    caplog.set_level(logging.INFO, "deliveries.brakes")
    sandbox.control("fcm", fault)
    running = engine()
    with arriving(running):
        eventually(lambda: held() > 20, what="held notifications")
        for _ in range(2):
            before, pause, waiting = calls(sandbox), until(), held()
            query("UPDATE brakes SET until = now(), taken = 0")
            eventually(lambda p=pause: until() > p, what="a probe that fails")
            eventually(lambda w=waiting: held() > w + 20, what="notifications that are held still")
            assert 1 <= calls(sandbox) - before <= A_FEW
        sandbox.control("fcm", "none")
        before, waiting = calls(sandbox), held()
        eventually(lambda: held() > waiting + 10, what="more that are held: nobody has told us")
        assert calls(sandbox) == before
        replace(sandbox.key_file)
        eventually(lambda: "sent" in counted("push_deliveries", "status"), within=10, what="sends that go on")
    eventually(all_ended, what="all that waited is sent")
    assert counted("notifications", "status") == {"sent": counted("notifications", "status")["sent"]}
    assert counted("push_deliveries", "attempts").keys() == {1}, "nothing is burnt"
    said = [record.levelname for record in caplog.records if record.name == "deliveries.brakes"]
    assert said == ["ERROR", "WARNING"], "once when it begins, and once when it ends"
    check_invariants(sandbox)


def test_a_pause_that_an_operator_lifts_is_over_though_nothing_new_comes_in(engine, sandbox):
    sandbox.control("fcm", "refuse401")
    running = engine()
    running.accept(*[message(f"n{number}") for number in range(20)])
    eventually(lambda: counted("push_deliveries", "status") == {"pending": 20}, what="a pause")
    sandbox.control("fcm", "none")
    [[brake]] = query("SELECT id FROM brakes WHERE scope = 'process'")
    assert [outcome.code for outcome in operations.lift([brake], Who("user ada", "FCM is well again"))] == ["lifted"]
    eventually(all_ended, within=20, what="all that waited")
    assert counted("notifications", "status") == {"sent": 20}


def test_a_probe_that_is_let_in_ends_the_pause_without_a_new_file(engine, sandbox, caplog):
    sandbox.control("fcm", "refuse403")
    running = engine()
    running.accept(*[message(f"n{number}") for number in range(50)])
    eventually(lambda: counted("push_deliveries", "status") == {"pending": 50}, what="a pause")
    sandbox.control("fcm", "none")
    running.accept(message("late"))
    query("UPDATE brakes SET until = now()")
    query("UPDATE push_deliveries SET next_attempt_at = now() WHERE notification_id = 'late'")
    query("UPDATE notifications SET next_attempt_at = now() WHERE notification_id = 'late'")
    eventually(all_ended, within=20, what="all that waited")
    assert counted("notifications", "status") == {"sent": 51}
    assert "takes pushes of this process again" in caplog.text


def test_a_file_that_is_missing_at_first_is_noticed_when_it_is_there(engine, sandbox, tmp_path):
    missing = tmp_path / "key.json"
    running = engine(google_application_credentials=missing)
    running.accept(message("n1"))
    eventually(lambda: counted("brakes", "code") == {"credentials_unreadable": 1}, what="a pause")
    missing.write_text("{")
    eventually(lambda: counted("brakes", "code") == {"credentials_malformed": 1}, what="what is wrong now")
    missing.write_bytes(sandbox.key_file.read_bytes())
    eventually(all_ended, what="the send")
    assert counted("notifications", "status") == {"sent": 1}
    assert calls(sandbox) == 1


def test_a_key_that_is_another_projects_is_read_again_although_its_token_is_good(engine, sandbox, tmp_path):
    key_file = tmp_path / "key.json"
    key_file.write_text(json.dumps(json.loads(sandbox.key_file.read_text()) | {"project_id": "another"}))
    running = engine(google_application_credentials=key_file)
    running.accept(message("n1"))
    eventually(lambda: counted("brakes", "scope") == {"process": 1}, what="a pause")
    key_file.write_bytes(sandbox.key_file.read_bytes())
    eventually(all_ended, within=15, what="the send")
    assert counted("notifications", "status") == {"sent": 1}


def test_a_process_that_is_not_let_in_leaves_its_pushes_to_those_that_are(engine, sandbox, tmp_path):
    shut_out = engine(google_application_credentials=tmp_path / "missing.json")
    shut_out.accept(message("first"))
    eventually(lambda: counted("brakes", "scope") == {"process": 1}, what="a pause")
    query("UPDATE brakes SET until = now() + interval '50 min'")
    engine()
    shut_out.accept(*[message(f"n{number}") for number in range(300)])
    eventually(all_ended, within=20, what="all, by the other one")
    assert counted("notifications", "status") == {"sent": 301}


@pytest.mark.parametrize("fault", ["refuse401", "refuse403"])
def test_what_a_process_left_that_is_gone_is_sent_by_another(engine, sandbox, fault):
    sandbox.control("fcm", fault)
    running = engine()
    running.accept(*[message(f"n{number}") for number in range(30)])
    eventually(lambda: counted("push_deliveries", "status") == {"pending": 30}, what="a pause")
    running.engine.drain(10)
    sandbox.control("fcm", "none")
    engine()
    eventually(all_ended, what="all that waited")
    assert counted("notifications", "status") == {"sent": 30}


def test_an_answer_to_the_push_itself_ends_the_pause_as_well(engine):
    running = engine()
    brakes = running.engine._assembly.brakes
    [_] = brakes.on(delivery("n0", "t1"), "process", "PERMISSION_DENIED", "No.", 60, time.monotonic())
    running.accept(message("n1", "dead-1"))
    eventually(lambda: not brakes.shut_out(), what="that FCM let us in, for it judged the push")
    eventually(all_ended, what="its end")
    assert counted("push_deliveries", "error_code") == {"UNREGISTERED": 1}


def test_what_waited_for_another_provider_is_in_the_name_of_the_one_that_sends_it(engine):
    running = engine()
    running.accept(message("n1", "unavailable-1"))
    eventually(lambda: counted("push_deliveries", "status") == {"pending": 1}, what="a wait")
    query("UPDATE push_deliveries SET provider = 'fcm_legacy', next_attempt_at = now()")
    query("UPDATE notifications SET next_attempt_at = now()")
    eventually(lambda: counted("push_deliveries", "provider") == {"fcm": 1}, what="its next attempt")


def test_what_expires_while_it_is_held_says_so_and_why(engine, sandbox):
    sandbox.control("fcm", "quota", retry_after=600)
    running = engine()
    running.accept(message("first"))
    eventually(lambda: counted("brakes", "scope") == {"project": 1}, what="a pause")
    running.accept(message("late", ttl=2))
    eventually(lambda: "late" in sandbox.reports(), what="its end")
    [[status, code, reason]] = query(
        "SELECT status, error_code, error_message FROM notifications WHERE notification_id = 'late'"
    )
    assert (status, code) == ("expired", "expired")
    assert "sends per minute are used up" in reason
    assert query("SELECT status, attempts FROM push_deliveries WHERE notification_id = 'late'") == [("expired", 0)]
    assert calls(sandbox) == 1


def test_a_process_that_is_not_let_in_still_ends_what_is_over(engine, sandbox, tmp_path):
    running = engine(google_application_credentials=tmp_path / "missing.json")
    running.accept(*[message(f"n{number}", ttl=3) for number in range(100)])
    eventually(lambda: held() == 100, what="all of them wait")
    eventually(all_ended, within=20, what="the end of all, though hardly any is tried")
    assert counted("notifications", "status") == {"expired": 100}
    assert calls(sandbox) == 0
