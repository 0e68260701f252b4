"""`manage.py prune`: what ended long ago goes, everything else stays, and nobody waits for it."""

import io
import json
import re
import signal
import time
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from django.core.management import CommandError, call_command

from deliveries.ledger.connection import conninfo
from deliveries.ledger.pruning import PRUNE_NOTIFICATIONS, Pruning
from tests import ledger_rows
from tests.ledger_rows import LONG_AGO, delivered, deliveries, notifications, unknown_sends
from tests.terminals import Impatient, Terminal
from tests.world import all_ended, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

TABLES = ("notifications", "push_deliveries", "push_attempts", "dead_letters")


def prune(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("prune", "--json", "--pause", "0", *arguments, stdout=out)
    return json.loads(out.getvalue())


def counts(document: dict) -> tuple[int, ...]:
    return tuple(document[name] for name in ("notifications", "deliveries", "attempts", "dead_letters"))


def dead_token(name: str, **more) -> None:
    """One that died long ago and is over and done with, but for what is said otherwise."""
    columns = {
        "token_hash": name,
        "device_token": name,
        "user_id": "u",
        "provider": "fcm",
        "error_code": "UNREGISTERED",
        "notification_id": "x",
        "correlation_id": "x",
        "died_at": datetime.now(UTC) - LONG_AGO,
        **more,
    }
    query(
        f"INSERT INTO dead_tokens ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))})",
        *columns.values(),
    )


def audit(ago: timedelta) -> None:
    query("INSERT INTO audit_log (at, actor, action, subject) VALUES (now() - %s, 'user a', 'resend', 'x')", ago)


def left() -> set[str]:
    return {id for [id] in query("SELECT notification_id FROM notifications")}


def rows() -> list[int]:
    return [query(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES]


def test_what_ended_long_ago_goes_with_its_deliveries_and_attempts():
    delivered(["old"], ago=LONG_AGO)
    unknown_sends("old", lines=3, counted=3)
    deliveries(["old"], platform="ios")
    delivered(["young"])
    unknown_sends("young", lines=1, counted=1)
    assert counts(prune()) == (1, 2, 3, 0)
    assert left() == {"young"}
    assert rows() == [1, 1, 1, 0]


def test_a_dry_run_says_what_would_go_and_takes_nothing():
    delivered([f"old-{number}" for number in range(5)], ago=LONG_AGO)
    unknown_sends("old-1", lines=3, counted=3)
    ledger_rows.dead_letter(code="invalid_message", state="redriven", ago=LONG_AGO)
    before = rows()
    foretold = prune("--dry-run")
    assert rows() == before
    assert foretold["dry_run"] and counts(foretold) == (5, 5, 3, 1)
    assert counts(prune()) == counts(foretold)


def test_what_is_open_owed_in_work_or_has_an_open_dead_letter_stays():
    kept = ("pending", "due", "unreported", "in-work", "letter")
    notifications(kept, ago=LONG_AGO)
    query("UPDATE notifications SET status = 'pending' WHERE notification_id = 'pending'")
    query("UPDATE notifications SET next_attempt_at = now() WHERE notification_id = 'due'")
    query("UPDATE notifications SET reported_at = NULL WHERE notification_id = 'unreported'")
    query("UPDATE notifications SET worker_id = %s WHERE notification_id = 'in-work'", ledger_rows.worker())
    ledger_rows.dead_letter("letter", ago=LONG_AGO)
    notifications(["refused", "discarded"], ago=LONG_AGO)
    query("UPDATE notifications SET reported_at = NULL, report_refused_at = ended_at WHERE notification_id = 'refused'")
    ledger_rows.dead_letter("discarded", state="discarded")
    assert counts(prune())[0] == 2
    assert left() == set(kept)


def test_a_notification_counts_from_its_end_and_a_resend_makes_it_young_again():
    notifications(["resent"], ago=LONG_AGO)
    query("UPDATE notifications SET ended_at = now() - interval '1 d'")
    assert counts(prune())[0] == 0


def test_closed_dead_letters_of_that_age_go_but_never_before_their_exhausted_notification():
    kept = {
        ledger_rows.dead_letter(code="invalid_message", ago=LONG_AGO),
        ledger_rows.dead_letter(code="invalid_message", state="discarded"),
    }
    ledger_rows.dead_letter(code="invalid_message", state="redriven", ago=LONG_AGO)
    notifications(["unreported"], ago=LONG_AGO, error_code="exhausted", reported=False)
    kept.add(ledger_rows.dead_letter("unreported", state="discarded", ago=LONG_AGO))
    notifications(["done"], ago=LONG_AGO, error_code="exhausted")
    ledger_rows.dead_letter("done", state="discarded", ago=LONG_AGO)
    owed = ledger_rows.dead_letter(code="invalid_message", state="discarded", ago=LONG_AGO)
    query("UPDATE dead_letters SET copy_due_at = now() WHERE id = %s", owed)
    assert counts(prune()) == (1, 0, 0, 2)
    assert {id for [id] in query("SELECT id FROM dead_letters")} == kept | {owed}


def test_dead_tokens_go_that_are_neither_remembered_nor_held_nor_owed():
    now = datetime.now(UTC)
    dead_token("never-remembered")
    dead_token("over", remembered_until=now - timedelta(minutes=1), reported_at=now)
    dead_token("young", died_at=now - timedelta(days=1))
    dead_token("remembered", remembered_until=now + timedelta(days=300))
    dead_token("held", held_at=now - LONG_AGO)
    dead_token("owed", report_due_at=now)
    assert prune("--dry-run")["dead_tokens"] == prune("--batch", "1")["dead_tokens"] == 2
    assert {name for [name] in query("SELECT device_token FROM dead_tokens")} == {"young", "remembered", "held", "owed"}


def test_the_audit_log_stays_unless_it_is_asked_for():
    for ago in (LONG_AGO, LONG_AGO * 2, timedelta(days=1)):
        audit(ago)
    assert prune("--dry-run")["audit_entries"] == prune()["audit_entries"] == 0
    assert query("SELECT count(*) FROM audit_log") == [(3,)]
    arguments = ("--audit-log", "--batch", "1")
    assert prune(*arguments, "--dry-run")["audit_entries"] == prune(*arguments)["audit_entries"] == 2
    assert query("SELECT count(*) FROM audit_log") == [(1,)]


def test_all_batches_are_taken_and_what_must_stay_between_them_is_passed_over():
    delivered([f"old-{number:03}" for number in range(95)], ago=LONG_AGO)
    query("UPDATE notifications SET reported_at = NULL WHERE notification_id < 'old-020'")
    delivered([f"older-{number}" for number in range(10)], ago=LONG_AGO * 2)
    assert counts(prune("--batch", "10"))[:2] == (85, 85)
    assert len(left()) == 20


def test_an_age_can_be_asked_for():
    delivered(["n1"], ago=timedelta(days=3))
    assert counts(prune("--older-than", "4d"))[0] == 0
    assert counts(prune("--older-than", "2d"))[0] == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ("--older-than", "soon"),
        ("--batch", "0"),
        ("--older-than", "99999999999d"),
        ("--older-than", "9000-01-01"),
        ("--pause", "-1"),
        ("--pause", "nan"),
        ("--pause", "inf"),
    ],
)
def test_an_age_or_a_batch_that_is_none_is_refused(arguments):
    delivered(["old"], ago=LONG_AGO)
    with pytest.raises(CommandError):
        prune(*arguments)
    assert left() == {"old"}


def test_a_row_that_somebody_holds_is_neither_touched_nor_waited_for():
    """Such as one that another session is about to resend."""
    delivered(["held", "free"], ago=LONG_AGO)
    with psycopg.connect(conninfo()) as other:
        other.execute("UPDATE notifications SET updated_at = now() WHERE notification_id = 'held'")
        begun = time.monotonic()
        assert counts(prune())[0] == 1
        assert time.monotonic() - begun < 5
        assert left() == {"held"}
        other.commit()
    assert counts(prune())[0] == 1


def test_workers_work_while_a_batch_is_being_pruned(engine):
    """The batch's transaction is kept open: whatever it holds, no send, end or report waits for it."""
    running = engine()
    delivered([f"old-{number}" for number in range(50)], ago=LONG_AGO)
    batch = Pruning(datetime.now(UTC) - timedelta(days=30), 50)
    with psycopg.connect(conninfo()) as other:
        assert other.execute(PRUNE_NOTIFICATIONS, batch._parameters).fetchone()[0] == 50
        running.accept(*(message(f"ok-{number}") for number in range(20)))
        eventually(all_ended, within=10, what="the new ones sent and reported")
        other.commit()
    assert left() == {f"ok-{number}" for number in range(20)}


def test_on_a_terminal_it_tells_how_far_it_is():
    delivered([f"old-{number}" for number in range(25)], ago=LONG_AGO)
    terminal, out = Terminal(), io.StringIO()
    call_command("prune", "--batch", "10", "--pause", "0", stdout=out, stderr=terminal)
    assert re.findall(r"(\d+) notifications pruned, [\d,]+/s", terminal.getvalue()) == ["10", "20", "25"]
    assert (
        "25 notifications, 25 deliveries, 0 attempts, 0 dead letters, 0 dead tokens, 0 audit entries." in out.getvalue()
    )


def test_where_nobody_watches_nothing_is_told_meanwhile():
    delivered(["old"], ago=LONG_AGO)
    quiet = io.StringIO()
    call_command("prune", stdout=io.StringIO(), stderr=quiet)
    assert quiet.getvalue() == ""


def test_ctrl_c_ends_it_between_two_batches_with_the_count_so_far():
    delivered([f"old-{number}" for number in range(50)], ago=LONG_AGO)
    usual = signal.getsignal(signal.SIGINT)
    out = io.StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(
            "prune", "--json", "--batch", "10", "--pause", "0.01", stdout=out, stderr=Impatient("20 notifications")
        )
    assert ended.value.code == 130
    document = json.loads(out.getvalue())
    assert document["interrupted"] and counts(document)[:2] == (20, 20)
    assert len(left()) == 30
    assert signal.getsignal(signal.SIGINT) is usual
