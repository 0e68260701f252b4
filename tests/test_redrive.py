"""`manage.py redrive`: dead letters go back after a fix, or are closed for a reason."""

import io
import json
import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from tests.ledger_rows import dead_letter, notifications
from tests.terminals import Impatient, Terminal
from tests.world import all_ended, check_invariants, counted, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)


def redrive(*arguments: object, stderr=None, code: int = 0) -> dict:
    """What it says to a script; fails when it ends with another exit code."""
    out = io.StringIO()
    ended = 0
    try:
        call_command("redrive", "--json", *map(str, arguments), stdout=out, stderr=stderr or io.StringIO())
    except CommandError as error:
        ended = error.returncode
    except SystemExit as exit:
        ended = exit.code
    assert ended == code
    return json.loads(out.getvalue())


def poison(reason: str = "user_id: is needed", *, body: bytes = b"{}", **more) -> int:
    return dead_letter(code="invalid_message", reasons=json.dumps([reason, "another reason"]), body=body, **more)


def readable(id: str) -> bytes:
    return json.dumps(message(id)).encode()


def selected(*arguments: object) -> int:
    return redrive(*arguments, "--dry-run")["selected"]


def states() -> dict[int, str]:
    return dict(query("SELECT id, state FROM dead_letters ORDER BY id"))


def test_without_any_filter_it_refuses():
    for arguments in ((), ("--dry-run",), ("--discard", "--reason", "x")):
        with pytest.raises(CommandError, match="say which"):
            call_command("redrive", *arguments)


def test_discarding_needs_a_reason():
    letter = poison()
    for reason in ((), ("--reason", " ")):
        with pytest.raises(CommandError, match="--discard needs a --reason"):
            call_command("redrive", letter, "--discard", *reason)
    assert states() == {letter: "open"}


def test_what_can_be_read_by_now_is_sent(engine, sandbox):
    running = engine()
    letters = [poison(body=readable(f"ok-{number}")) for number in range(3)]
    assert redrive("--code", "invalid_message")["outcomes"] == {"redriven": 3}
    eventually(lambda: all_ended() and sandbox.book()["accepted_count"] == 3, what="three sent")
    assert set(states()) == set(letters) and set(states().values()) == {"redriven"}
    assert counted("audit_log", "action") == {"redrive": 3}
    assert running.published == []


def test_what_was_given_up_gets_new_attempts(engine, sandbox):
    running = engine(max_retry_attempts=1)
    sandbox.control("users", "down")
    running.accept(message("ok-1"))
    eventually(all_ended, what="given up")
    sandbox.control("users", "none")
    assert selected("--notification", "ok-1") == 1
    assert redrive("--code", "exhausted", "--reason", "it is back")["outcomes"] == {"resent": 1}
    eventually(lambda: all_ended() and counted("notifications", "status") == {"sent": 1}, what="sent after all")
    assert set(states().values()) == {"redriven"}
    check_invariants(sandbox)


def test_each_refusal_is_told_with_its_reason():
    still, cut, closed, known = poison(), poison(body=readable("cut")), poison(state="redriven"), poison()
    query("UPDATE dead_letters SET size = 100000 WHERE id = %s", cut)
    notifications(["here"])
    query("UPDATE dead_letters SET body = %s WHERE id = %s", readable("here"), known)
    document = redrive(still, cut, closed, known, 999, code=1)
    assert document["outcomes"] == {"still_invalid": 1, "cut": 1, "not_open": 2, "known": 1}
    assert (document["done"], document["refused"]) == (1, 4)
    told = {refusal["subject"]: refusal["sentence"] for refusal in document["refusals"]}
    assert set(told) == {str(still), str(cut), str(closed), "999"}
    assert "user_id" in told[str(still)]
    assert states() == {still: "open", cut: "open", closed: "redriven", known: "redriven"}


def test_only_the_first_twenty_refusals_are_told():
    for _ in range(25):
        poison()
    out = io.StringIO()
    with pytest.raises(CommandError, match="25 of 25 were refused"):
        call_command("redrive", "--code", "invalid_message", stdout=out)
    assert len(re.findall(r"^  \d+: It still cannot be accepted", out.getvalue(), re.MULTILINE)) == 20
    assert "Refused, the first 20:" in out.getvalue()


def test_the_filters_narrow_it_to_open_letters():
    for minutes, letter in ((10, {}), (130, {}), (10, {"state": "discarded"}), (10, {"notification_id": "n1"})):
        poison("Template: IS needed", ago=timedelta(minutes=minutes), **letter)
    poison('priority: "soon" is none')
    dead_letter("n2")
    assert selected("--code", "invalid_message") == 4
    assert selected("--code", "exhausted") == 1
    assert selected("--notification", "n1") == 1
    assert selected("--reason-contains", "template: is") == 3
    assert selected("--reason-contains", "ANOTHER") == 4
    assert selected("--reason-contains", '"soon"') == 1
    assert selected("--reason-contains", "%") == 0
    assert selected("--since", "2h") == 4
    assert selected("--until", "2h") == 1
    assert selected("--since", "2h", "--code", "invalid_message", "--reason-contains", "template") == 2


def test_a_dry_run_counts_by_code_and_first_reason_and_shows_no_token():
    token = "dGVzdC1kZXZpY2UtdG9rZW4:APA91b" + "Qw3rTy-_" * 15
    for reason in ("user_id: is needed", "user_id: is needed", f"title: {token} is too long"):
        poison(reason)
    dead_letter("n1")
    groups = redrive("--since", "1d", "--dry-run")["groups"]
    assert [(g["code"], g["count"]) for g in groups] == [
        ("invalid_message", 2),
        ("exhausted", 1),
        ("invalid_message", 1),
    ]
    assert groups[0]["reason"] == "user_id: is needed"
    out = io.StringIO()
    call_command("redrive", "--since", "1d", "--dry-run", stdout=out)
    assert re.search(r"^ +2  invalid_message +user_id: is needed$", out.getvalue(), re.MULTILINE)
    assert re.search(r"^ +4  in all$", out.getvalue(), re.MULTILINE)
    assert token not in out.getvalue() + json.dumps(groups)
    assert set(states().values()) == {"open"}


def test_discarded_ones_are_closed_with_their_reason():
    letter, other = poison("a"), poison("b")
    assert redrive("--reason-contains", "a: ", "--discard", "--reason", "r")["selected"] == 0
    assert redrive(letter, "--discard", "--reason", "the order was cancelled")["outcomes"] == {"discarded": 1}
    assert states() == {letter: "discarded", other: "open"}
    assert query("SELECT action, subject, reason FROM audit_log") == [
        ("discard", str(letter), "the order was cancelled")
    ]


def test_progress_is_shown_and_ctrl_c_ends_it_between_two_batches():
    for number in range(30):
        poison(body=readable(f"n{number}"))
    document = redrive("--code", "invalid_message", "--rate", "10", stderr=Impatient("20/30 (67%) done"), code=130)
    assert document["interrupted"] and document["done"] == 20
    assert counted("dead_letters", "state") == {"redriven": 20, "open": 10}
    terminal = Terminal()
    assert redrive("--code", "invalid_message", stderr=terminal)["done"] == 10
    assert "10/10 (100%) done" in terminal.getvalue()
