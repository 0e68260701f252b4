"""`manage.py resend`: what was meant and nothing else, each once, with counts that are right."""

import io
import json
import re
from collections import Counter
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from deliveries import operations, selection
from deliveries.ledger.connection import conninfo
from deliveries.operations import Target, Who
from deliveries.selection import Wanted
from tests.ledger_rows import delivered, deliveries, notifications, unknown_sends
from tests.terminals import Impatient, Terminal
from tests.world import all_ended, check_invariants, counted, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 10_000
THREE_HOURS = timedelta(hours=3)


def resend(*arguments: str, stderr=None, code: int = 0) -> dict:
    """What it says to a script; fails when it ends with another exit code."""
    out = io.StringIO()
    ended = 0
    try:
        call_command("resend", "--json", *arguments, stdout=out, stderr=stderr or io.StringIO())
    except CommandError as error:
        ended = error.returncode
    except SystemExit as exit:
        ended = exit.code
    assert ended == code
    return json.loads(out.getvalue())


def groups(*arguments: str) -> dict[tuple[str, str], int]:
    """The counts of a dry run, by status and error code."""
    return {(g["status"], g["error_code"]): g["count"] for g in resend("--dry-run", *arguments)["groups"]}


def reopened() -> set[str]:
    return {id for [id] in query("SELECT notification_id FROM notifications WHERE resends > 0")}


def test_without_any_filter_it_refuses():
    for arguments in ((), ("--dry-run",), ("--force",), ("--limit", "3")):
        with pytest.raises(CommandError, match="say what to resend"):
            call_command("resend", *arguments)


@pytest.mark.parametrize("arguments", [("--since", "soon"), ("--rate", "0", "a"), ("--status", "pending")])
def test_what_it_does_not_understand_it_refuses(arguments):
    with pytest.raises(CommandError):
        call_command("resend", *arguments)


def test_it_takes_failed_and_expired_ones_unless_told_otherwise():
    for status in ("sent", "failed", "expired", "cancelled"):
        delivered([status], status=status, error_code="" if status == "sent" else "X")
    assert groups("--since", "2h") == {("failed", "X"): 1, ("expired", "X"): 1}
    assert groups("--status", "cancelled", "--status", "failed") == {("failed", "X"): 1, ("cancelled", "X"): 1}
    resend("--since", "2h")
    assert reopened() == {"failed", "expired"}


def test_an_error_code_is_the_deliverys_or_its_notifications():
    notifications(["n1"], error_code="exhausted")
    deliveries(["n1"], error_code="UNAVAILABLE")
    delivered(["n2"], status="failed", error_code="INTERNAL")
    notifications(["n3"], error_code="exhausted")
    assert groups("--error-code", "UNAVAILABLE") == {("failed", "UNAVAILABLE"): 1}
    assert groups("--error-code", "exhausted") == {("failed", "UNAVAILABLE"): 1, ("failed", "exhausted"): 1}
    assert sum(groups("--error-code", "exhausted", "--error-code", "INTERNAL").values()) == 3
    resend("--error-code", "exhausted")
    assert reopened() == {"n1", "n3"}


def test_a_notification_that_ended_without_deliveries_counts_by_itself():
    notifications(["unknown-1"], error_code="unknown_user")
    assert groups("--error-code", "unknown_user") == {("failed", "unknown_user"): 1}
    assert resend("--error-code", "unknown_user")["outcomes"] == {"resent": 1}


def test_a_user_and_times_narrow_it():
    for id, hours in (("a", 1), ("b", 3), ("c", 5)):
        delivered([id], status="failed", error_code="X", ago=timedelta(hours=hours))
    assert groups("--user", "b") == {("failed", "X"): 1}
    assert groups("--user", "b", "--since", "2h") == {}
    assert sum(groups("--since", "4h").values()) == 2
    assert sum(groups("--until", "2h").values()) == 2
    noon = (datetime.now(UTC) - timedelta(hours=2)).isoformat()
    resend("--since", "4h", "--until", noon)
    assert reopened() == {"b"}


def test_what_is_still_under_way_is_not_selected():
    notifications(["open"], status="pending")
    deliveries(["open"], error_code="X")
    assert groups("--error-code", "X") == {}


def test_one_device_of_several_is_one_delivery_of_one_notification():
    notifications(["multi"], status="sent")
    for platform, status, code in (("android", "sent", ""), ("ios", "failed", "X"), ("web", "failed", "X")):
        deliveries(["multi"], status=status, error_code=code, platform=platform)
    foretold = resend("--error-code", "X", "--dry-run")
    assert (foretold["selected"], foretold["notifications"]) == (2, 1)
    assert resend("--error-code", "X")["outcomes"] == {"resent": 1}
    assert counted("push_deliveries", "platform", "status") == {
        ("android", "sent"): 1,
        ("ios", "pending"): 1,
        ("web", "pending"): 1,
    }


def test_a_dry_run_changes_nothing_and_counts_unknown_outcomes():
    delivered(["n1", "n2", "n3"], status="failed", error_code="X")
    unknown_sends("n1", lines=1, counted=1)
    unknown_sends("n2", lines=1, counted=1)
    query(
        "INSERT INTO push_attempts (notification_id, delivery_id, stage, outcome, error_code)"
        " SELECT notification_id, id, 'send', 'failed', 'X' FROM push_deliveries WHERE notification_id = 'n2'"
    )
    foretold = resend("--error-code", "X", "--dry-run")
    assert (foretold["selected"], foretold["unknown"]) == (3, 1), "of n2 the last outcome is known"
    assert reopened() == set()
    assert query("SELECT count(*) FROM audit_log") == [(0,)]
    [(warning, count)] = resend("--error-code", "X")["warnings"].items()
    assert count == 2 and "may arrive twice" in warning


def test_a_person_reads_a_table():
    delivered([f"n{number}" for number in range(1200)], status="failed", error_code="UNAVAILABLE")
    delivered(["x"], status="expired", error_code="expired")
    out = io.StringIO()
    call_command("resend", "--since", "2h", "--dry-run", stdout=out)
    assert re.search(r"^ +1,200 +0  failed +UNAVAILABLE$", out.getvalue(), re.MULTILINE)
    assert re.search(r"^ +1 +0  expired +expired$", out.getvalue(), re.MULTILINE)
    assert re.search(r"^ +1,201 +0  in all, of 1,201 notifications$", out.getvalue(), re.MULTILINE)


def test_ids_alone_are_all_tried_and_each_refusal_is_told():
    delivered(["failed"], status="failed", error_code="X")
    delivered(["sent"])
    notifications(["skipped"], status="skipped", error_code="opted_out")
    foretold = resend("failed", "sent", "skipped", "nowhere", "--dry-run")
    assert (foretold["notifications"], foretold["missed"]) == (2, 2)
    document = resend("failed", "sent", "skipped", "nowhere", "failed", code=1)
    assert document["outcomes"] == {"resent": 2, "already_sent": 1, "unknown_notification": 1}
    assert {r["subject"]: r["code"] for r in document["refusals"]} == {
        "sent": "already_sent",
        "nowhere": "unknown_notification",
    }
    assert all(refusal["sentence"].endswith(".") for refusal in document["refusals"])


def test_ids_with_a_filter_are_only_those_that_it_lets_through():
    delivered(["a", "b"], status="failed", error_code="X")
    delivered(["c"], status="failed", error_code="Y")
    resend("a", "c", "--error-code", "X")
    assert reopened() == {"a"}


def test_force_sends_again_what_was_sent():
    delivered(["n1"])
    assert resend("n1", code=1)["outcomes"] == {"already_sent": 1}
    assert groups("n1") == {}
    assert groups("n1", "--force") == {("sent", ""): 1}
    assert resend("n1", "--force", "--reason", "asked for")["outcomes"] == {"resent": 1}
    assert counted("push_deliveries", "status", "forced_resends") == {("pending", 1): 1}


def test_it_stands_in_the_audit_log_who_did_it_and_why():
    delivered(["n1"], status="failed", error_code="X")
    resend("n1", "--reason", "FCM is back")
    [(actor, action, subject, reason)] = query("SELECT actor, action, subject, reason FROM audit_log")
    assert re.fullmatch(r"shell \S+@\S+", actor)
    assert (action, subject, reason) == ("resend", "n1", "FCM is back")


def test_a_limit_takes_the_longest_ended_first():
    for id, minutes in (("new", 1), ("old", 50), ("middle", 20)):
        delivered([id], status="failed", error_code="X", ago=timedelta(minutes=minutes))
    assert groups("--error-code", "X", "--limit", "2") == {("failed", "X"): 2}
    assert resend("--error-code", "X", "--limit", "2")["done"] == 2
    assert reopened() == {"old", "middle"}


def test_what_somebody_else_resent_after_the_selection_is_refused():
    delivered(["n1", "n2"], status="failed", error_code="X")
    targets = selection.targets(Wanted(codes=("X",)))
    first = next(targets)
    operations.resend([Target("n2")], Who("user ada"))
    outcomes = operations.resend([first, *targets], Who("shell b@c"))
    assert [(o.subject, o.code) for o in outcomes] == [("n1", "resent"), ("n2", "under_way")]


def test_what_fails_again_meanwhile_is_not_met_twice_and_what_fails_anew_not_at_all():
    ids = [f"n{number:04}" for number in range(selection.FETCHED + 10)]
    delivered(ids, status="failed", error_code="X")
    targets = selection.targets(Wanted(codes=("X",)))
    seen = [next(targets).notification_id]
    delivered(["later"], status="failed", error_code="X")
    query("UPDATE notifications SET ended_at = now() WHERE notification_id = %s", seen[0])
    seen += [target.notification_id for target in targets]
    assert seen == ids


def test_it_goes_no_faster_than_the_rate():
    delivered([f"n{number}" for number in range(30)], status="failed", error_code="X")
    begun = datetime.now(UTC)
    resend("--error-code", "X", "--rate", "20")
    assert timedelta(seconds=0.9) < datetime.now(UTC) - begun < timedelta(seconds=10)
    [[batches]] = query("SELECT count(DISTINCT resent_at) FROM notifications")
    assert batches == 2


def test_ctrl_c_ends_it_between_two_batches():
    delivered([f"n{number}" for number in range(100)], status="failed", error_code="X")
    document = resend("--error-code", "X", "--rate", "10", stderr=Impatient("20/100"), code=130)
    assert document["interrupted"] and document["done"] == 20
    assert len(reopened()) == 20


class Disconnecting(Terminal):
    """Cuts every connection to the database when a word is shown."""

    def write(self, text: str) -> int:
        if "20/100" in text:
            with psycopg.connect(conninfo()) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
        return super().write(text)


def test_what_was_done_before_the_database_broke_off_is_told():
    delivered([f"n{number:02}" for number in range(100)], status="failed", error_code="X")
    document = resend("--error-code", "X", "--rate", "10", stderr=Disconnecting(), code=1)
    connection.close()
    assert document["broken_off"] and document["done"] == 20
    assert len(reopened()) == 20


def test_the_statuses_to_choose_from_are_words():
    with pytest.raises(CommandError, match=r"choose from '?cancelled"):
        call_command("resend", "--status", "bogus")


def test_ten_thousand_failures_are_counted_and_each_is_sent_once_and_nothing_else(engine, sandbox):
    wanted = [f"ok-{number}" for number in range(MANY)]
    delivered(wanted, status="failed", error_code="UNAVAILABLE")
    others = [
        *delivered([f"ok-old-{n}" for n in range(300)], status="failed", error_code="UNAVAILABLE", ago=THREE_HOURS),
        *delivered([f"ok-other-{n}" for n in range(200)], status="failed", error_code="INTERNAL"),
        *delivered([f"ok-sent-{n}" for n in range(400)]),
        *notifications([f"ok-bare-{n}" for n in range(100)], error_code="unknown_user"),
    ]
    which = ("--since", "2h", "--error-code", "UNAVAILABLE")
    foretold = resend(*which, "--dry-run")
    assert foretold["groups"] == [{"status": "failed", "error_code": "UNAVAILABLE", "count": MANY, "unknown": 0}]
    assert (foretold["selected"], foretold["notifications"]) == (MANY, MANY)
    untouched = "SELECT * FROM notifications WHERE notification_id = ANY(%s) ORDER BY notification_id"
    before = query(untouched, others)

    running = engine()
    running.accept(message("ok-new"))
    terminal = Terminal()
    document = resend(*which, "--rate", "5000", stderr=terminal)
    assert document["outcomes"] == {"resent": MANY}
    assert (document["done"], document["refused"]) == (MANY, 0)
    assert re.search(r"5,000/10,000 \(50%\) done, [\d,]+/s, \d+ s left", terminal.getvalue())
    assert "10,000/10,000 (100%)" in terminal.getvalue()

    eventually(all_ended, within=90, what="ten thousand sent and reported")
    book = sandbox.book()
    assert Counter(entry["tag"] for entry in book["accepted"]) == dict.fromkeys([*wanted, "ok-new"], 1)
    assert (book["accepted_count"], book["repeats"]) == (MANY + 1, 0)
    assert before == query(
        "SELECT * FROM notifications WHERE notification_id = ANY(%s) ORDER BY notification_id", others
    )
    assert counted("notifications", "status", "resends")["sent", 1] == MANY
    assert groups(*which) == {}
    check_invariants(sandbox)
