"""`manage.py verify`: clean after real work, and every breach is found, named and told by its ids."""

import io
import json
import re
import time
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import InternalError, transaction

from deliveries.ledger.connection import conninfo
from deliveries.ledger.invariants import CHECKS
from deliveries.verification import EXAMPLES, verify
from tests import ledger_rows
from tests.ledger_rows import delivered, deliveries, notifications, unknown_sends
from tests.world import all_ended, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

DEAD = timedelta(hours=1)


def told(*arguments: str) -> dict:
    """What it says to a script."""
    out = io.StringIO()
    try:
        call_command("verify", "--json", *arguments, stdout=out)
        code = 0
    except CommandError as error:
        code = error.returncode
    document = json.loads(out.getvalue())
    assert document["clean"] == (code == 0)
    return document


def found(*arguments: str) -> dict[str, list[str]]:
    """The promises that something was found against, with the ids; warnings too."""
    return {check["promise"]: check["examples"] for check in told(*arguments)["checks"] if check["count"]}


def only(part: str, *ids: str) -> None:
    """Fails unless exactly the promise with that part is broken, by exactly these."""
    [(promise, examples)] = found().items()
    assert part in promise
    assert examples == sorted(ids)


def test_an_empty_ledger_is_clean():
    assert told()["clean"]


def test_after_real_work_with_every_ending_all_promises_hold(engine):
    running = engine(max_retry_attempts=1)
    prefixes = ("ok", "dead", "unavailable", "optout", "nodevice", "unknown", "multi", "mixed")
    running.accept(*(message(f"{prefix}-1") for prefix in prefixes), message("late", "ok-2", ttl=0))
    eventually(all_ended, what="every notification ended and reported")
    assert query("SELECT notification_id FROM dead_letters") == [("unavailable-1",)]
    assert found() == {}


def test_every_promise_has_been_broken_in_a_test():
    """Each check below names a part of its promise; this keeps the list complete."""
    parts = re.findall(r'only\(\s*"([^"]+)"', Path(__file__).read_text())
    missed = [check.promise for check in CHECKS if not any(part in check.promise for part in parts)]
    assert not missed


def test_an_ending_that_nobody_reports_breaks_i3():
    delivered(["fine"])
    notifications(["forgotten"], reported=False, status="skipped")
    notifications(["owed", "in-work"], reported=False, status="skipped")
    query("UPDATE notifications SET next_attempt_at = now() WHERE notification_id = 'owed'")
    query("UPDATE notifications SET worker_id = %s WHERE notification_id = 'in-work'", ledger_rows.worker())
    only("is reported, refused by the gateway, or owed", "forgotten")


def test_an_exhausted_notification_without_its_dead_letter_breaks_i4():
    for id, state in (("open", "open"), ("discarded", "discarded"), ("redriven", "redriven")):
        delivered([id], status="failed", error_code="exhausted")
        ledger_rows.dead_letter(id, state=state)
    delivered(["bare"], status="failed", error_code="exhausted")
    only("has its dead letter", "bare", "redriven")


def test_a_dead_letter_of_a_notification_that_is_not_exhausted_breaks_i4():
    delivered(["sent"])
    open_, orphan = ledger_rows.dead_letter("sent"), ledger_rows.dead_letter("nowhere")
    discarded = ledger_rows.dead_letter("sent", state="discarded")
    ledger_rows.dead_letter("pruned", state="discarded")
    delivered(["resent"])
    query("UPDATE notifications SET resends = 1 WHERE notification_id = 'resent'")
    ledger_rows.dead_letter("resent", state="discarded")
    only("that was not redriven is of a notification that failed so", *map(str, (open_, orphan, discarded)))


def test_a_dead_letter_of_a_third_kind_breaks_i4():
    ledger_rows.dead_letter(code="invalid_message")
    only("either no valid message, or exhausted", str(ledger_rows.dead_letter(code="mystery")))


def test_sending_under_a_dead_worker_breaks_i5_once_its_lease_and_ten_seconds_are_over(settings):
    settings.PUSH = settings.PUSH.model_copy(update={"delivery_lease": 15.0})
    for id, silent in (("alive", 0), ("late", 20), ("dead", 30)):
        notifications([id], status="sending", reported=False)
        worker = ledger_rows.worker(silent=timedelta(seconds=silent))
        query("UPDATE notifications SET worker_id = %s, ended_at = NULL WHERE notification_id = %s", worker, id)
    notifications(["nobody"], status="sending", reported=False)
    query("UPDATE notifications SET next_attempt_at = now() WHERE notification_id = 'nobody'")
    only("No notification is `sending`", "dead", "nobody")


def test_a_delivery_that_is_sending_in_nobodys_hands_breaks_i5():
    notifications(["n1"], status="pending", reported=False)
    query("UPDATE notifications SET next_attempt_at = now()")
    deliveries(["n1"], status="sending")
    only("No delivery is `sending`", "n1")


def test_the_bound_of_repeats_is_told_and_has_its_lines_in_the_history():
    delivered(["n1", "n2"])
    unknown_sends("n1", lines=3, counted=2)
    query("UPDATE notifications SET resends = 1 WHERE notification_id = 'n2'")
    query("UPDATE push_deliveries SET forced_resends = 1 WHERE notification_id = 'n2'")
    document = told()
    assert document["clean"]
    assert document["possible_repeats"] == {"at_most": 3, "unknown_outcomes": 2, "forced_resends": 1}
    unknown_sends("n1", lines=0, counted=4)
    only("has its line in the history", "n1")


def test_more_forced_resends_than_resends_break_i2():
    delivered(["n1"])
    query("UPDATE push_deliveries SET forced_resends = 1")
    only("sent again by force more often", "n1")


def test_an_open_notification_that_is_nowhere_due_is_found():
    notifications(["n1"], status="pending", reported=False)
    only("is due at some time, or in a worker's hands", "n1")


def test_a_success_without_a_sent_delivery_is_found():
    delivered(["fine"])
    delivered(["resent"])
    query("UPDATE push_deliveries SET status = 'failed', forced_resends = 1 WHERE notification_id = 'resent'")
    query("UPDATE notifications SET resends = 1 WHERE notification_id = 'resent'")
    delivered(["hollow"])
    query("UPDATE push_deliveries SET status = 'failed' WHERE notification_id = 'hollow'")
    only("that is `sent` has a delivery", "hollow")


def test_a_failure_with_a_sent_delivery_is_found():
    notifications(["n1"], status="failed")
    deliveries(["n1"], status="sent")
    deliveries(["n1"], status="failed", platform="ios")
    only("that ended without being `sent`", "n1")


def test_a_delivery_left_open_by_an_ending_is_found():
    notifications(["n1"], status="failed")
    deliveries(["n1"], status="pending")
    only("Nothing that has ended", "n1")


def test_what_is_overdue_is_a_warning_and_only_while_somebody_works():
    notifications(["due", "orphan", "soon"], status="pending", reported=False)
    gone = ledger_rows.worker(silent=DEAD)
    query("UPDATE notifications SET next_attempt_at = now() - interval '4 min' WHERE notification_id = 'soon'")
    query("UPDATE notifications SET next_attempt_at = now() - interval '6 min' WHERE notification_id = 'due'")
    query("UPDATE notifications SET worker_id = %s WHERE notification_id = 'orphan'", gone)
    assert found() == {}
    ledger_rows.worker()
    only("nothing is overdue", "due", "orphan")
    assert told()["clean"], "a warning is no breach"


def test_many_breaches_are_counted_and_ten_are_named():
    notifications([f"n{number:02}" for number in range(25)], reported=False)
    [check] = [check for check in told()["checks"] if check["count"]]
    assert check["count"] == 25
    assert check["examples"] == [f"n{number:02}" for number in range(EXAMPLES)]


def test_since_looks_at_what_was_accepted_after_it():
    notifications(["old"], reported=False, ago=timedelta(hours=3))
    assert found("--since", "2h") == {}
    assert list(found("--since", "4h").values()) == [["old"]]


def test_a_person_reads_promises_ids_advice_and_what_cannot_be_proven():
    notifications(["forgotten"], reported=False)
    out = io.StringIO()
    with pytest.raises(CommandError, match="broken: I3"):
        call_command("verify", stdout=out)
    words = out.getvalue()
    assert re.search(r"BROKEN +I3 ", words) and "1 do not: forgotten" in words
    assert re.search(r"holds +I5 ", words)
    assert "At most 0 pushes" in words
    assert all(f"\n  {name}  " in words for name in ("I1", "I6", "I7", "I8"))


def test_it_looks_at_one_moment_and_can_write_nothing():
    def look_around(check) -> None:
        if check is CHECKS[0]:
            query("SELECT 1")  # the snapshot is taken by the first statement
            with psycopg.connect(conninfo(), autocommit=True) as other:
                other.execute("INSERT INTO dead_letters (body_hash, body, size, code, reasons)"
                              " VALUES ('x', '', 0, 'mystery', '[]')")  # fmt: skip
        if check is CHECKS[-1]:
            with pytest.raises(InternalError, match="read-only"), transaction.atomic():
                query("DELETE FROM dead_letters")

    findings, _ = verify(None, 60, look_around)
    assert not [finding for finding in findings if finding.count]
    assert found() != {}, "the next look sees it"


@contextmanager
def a_lock_on(table: str):
    """Makes every question about the table wait."""
    with psycopg.connect(conninfo()) as other:
        other.execute(f"LOCK TABLE {table}")
        yield
        other.rollback()


def test_a_check_that_takes_too_long_says_what_to_do(monkeypatch):
    with a_lock_on("dead_letters"), pytest.raises(CommandError, match="--since") as ended:
        call_command("verify", "--timeout", "1", stdout=io.StringIO())
    assert ended.value.returncode == 2


def test_it_does_not_make_workers_wait():
    """While it looks, somebody else writes every table that it reads."""
    notifications(["n1"], reported=False)
    waited: list[float] = []

    def write(check) -> None:
        begun = time.monotonic()
        with psycopg.connect(conninfo(), autocommit=True) as other:
            other.execute("UPDATE notifications SET updated_at = now()")
        waited.append(time.monotonic() - begun)

    verify(None, 60, write)
    assert len(waited) == len(CHECKS)
    assert max(waited) < 5
