"""Many dead letters are redriven at a rate by the workers: each in its turn, once; the rest says why it stays open."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from deliveries import operations, redriving
from deliveries.ledger import direct
from deliveries.ledger.bulk_redriving import DueRedrives
from deliveries.ledger.selecting import LETTER_CAUSES, REDRIVE_QUEUE
from deliveries.models import AuditEntry, DeadLetter
from deliveries.operations import Who
from deliveries.redriving import HIGHEST_RATE, Cause
from tests.ledger_rows import dead_letter, notifications
from tests.world import all_ended, check_invariants, counted, eventually, message, query

ADA = Who("user ada", "the template is mended")

pytestmark = pytest.mark.django_db(transaction=True)


def readable(id: str) -> bytes:
    return json.dumps(message(id)).encode()


def poison(id: str, *, reason: str = "template_id: is needed", body: bytes | None = None, **more) -> int:
    body = readable(id) if body is None else body
    return dead_letter(code="invalid_message", reasons=json.dumps([reason]), body=body, **more)


def cause() -> Cause:
    """The only one."""
    [found] = redriving.causes()
    return found


def state(letter: int) -> DeadLetter:
    return DeadLetter.objects.get(pk=letter)


def no_letter_is_queued() -> bool:
    return not DeadLetter.objects.filter(redrive_at__isnull=False).exists()


def make_due(seconds: float = 1) -> None:
    query("UPDATE dead_letters SET redrive_at = now() - make_interval(secs => %s) WHERE redrive_at > now()", seconds)


# Causes


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (["user_id: is needed", "user_id: is needed"], "user_id: is needed"),
        (['template "a b" is unknown', 'template "c" is unknown'], "template … is unknown"),
        (["no user u-1", "no user 6f1c7f0e-8a52-4d6b-9f0a-0f4b1f0c9d3e", "no user 17"], "no user …"),
        (
            ["no JSON: line 1 column 404 (char 403)", "no JSON: line 2 column 7 (char 81)"],
            "no JSON: line … column … (char …)",
        ),
        (["device_tokens.0: is empty", "device_tokens.17: is empty"], "device_tokens.…: is empty"),
    ],
)
def test_reasons_that_differ_in_particulars_are_one_cause(reasons, words):
    for number, reason in enumerate(reasons):
        poison(f"n-{number}", reason=reason)
    assert (cause().cause, cause().letters) == (words, len(reasons))


def test_what_differs_in_more_is_another_cause():
    for number, reason in enumerate(["it was cut off", "it was not there", "user_id: is needed"]):
        poison(f"n-{number}", reason=reason)
    dead_letter("n-9", reasons='["it was cut off"]')
    assert len(redriving.causes()) == 4


def test_a_cause_counts_open_letters_their_messages_and_times():
    long_ago = poison("a", ago=timedelta(hours=3))
    poison("b", state="discarded")
    newest = poison("c", ago=timedelta(minutes=1))
    query("UPDATE dead_letters SET count = 5 WHERE id = %s", long_ago)
    found = cause()
    assert (found.letters, found.messages, found.example, found.queued, found.cut) == (2, 6, newest, 0, False)
    assert (found.last_seen_at - found.first_seen_at).total_seconds() == pytest.approx(179 * 60, abs=5)


def test_causes_of_a_hundred_thousand_letters_are_counted_among_the_newest_by_an_index():
    query(
        """
        INSERT INTO dead_letters (body_hash, body, size, code, reasons, state)
        SELECT md5(n::text), '{}', 2, CASE WHEN n %% 2 = 0 THEN 'exhausted' ELSE 'invalid_message' END,
               jsonb_build_array('user u-' || n || ' gave up because of reason ' || chr(97 + n %% 7)),
               CASE WHEN n %% 100 = 0 THEN 'discarded' ELSE 'open' END
        FROM generate_series(1, 100000) n
        """
    )
    query("ANALYZE dead_letters")
    found = redriving.causes()
    assert len(found) == 14
    assert sum(one.letters for one in found) == 2 * redriving.COUNTED_LETTERS
    assert all(one.cut for one in found)
    plan = "\n".join(line for [line] in query(f"EXPLAIN (ANALYZE) {LETTER_CAUSES}"))
    assert "Index Scan" in plan
    assert "Seq Scan" not in plan
    queue = "\n".join(line for [line] in query(f"EXPLAIN {REDRIVE_QUEUE}"))
    assert "dead_letters_to_redrive" in queue


# Queueing up


def test_each_waits_for_its_turn_in_its_row():
    letters = [poison(f"n-{number}") for number in range(4)]
    asked_at = timezone.now()
    assert redriving.queue_up(cause(), 30, ADA) == 4
    waits = [(state(letter).redrive_at - asked_at).total_seconds() for letter in letters]
    assert waits == pytest.approx([2, 4, 6, 8], abs=1)
    assert {(state(letter).redrive_by, state(letter).redrive_reason) for letter in letters} == {
        ("user ada", "the template is mended")
    }
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.reason) == ("user ada", "redrive", "the template is mended")
    assert (entry.detail["letters"], entry.detail["rate"]) == (4, 30)
    assert cause().queued == 4


def test_what_is_asked_for_twice_is_queued_once():
    letter = poison("n-1")
    assert redriving.queue_up(cause(), 60, ADA) == 1
    turn = state(letter).redrive_at
    assert redriving.queue_up(cause(), 6000, ADA) == 0
    assert state(letter).redrive_at == turn
    assert AuditEntry.objects.count() == 1


def test_another_cause_waits_behind_the_first():
    first = [poison(f"n-{number}") for number in range(3)]
    redriving.queue_up(cause(), 60, ADA)
    other = poison("other", reason="title: is too long")
    [of_other] = [one for one in redriving.causes() if one.cause == "title: is too long"]
    assert redriving.queue_up(of_other, 60, ADA) == 1
    assert state(other).redrive_at - state(first[-1]).redrive_at == timedelta(seconds=1)
    standing = redriving.queue()
    assert (standing.total, standing.left, standing.ends_at) == (4, 4, state(other).redrive_at)


def test_a_stop_leaves_the_rest_open_and_is_kept():
    letters = [poison(f"n-{number}") for number in range(3)]
    redriving.queue_up(cause(), 60, ADA)
    operations.redrive(letters[:1], ADA)
    assert (redriving.queue().total, redriving.queue().done) == (3, 1)
    assert redriving.stop(Who("user bob", "it fails again")) == 2
    assert redriving.queue() is None
    assert redriving.stop(ADA) == 0
    assert [state(letter).state for letter in letters] == ["redriven", "open", "open"]
    entry = AuditEntry.objects.get(action="stop")
    assert (entry.actor, entry.reason, entry.detail) == ("user bob", "it fails again", {"left": 2})


def test_what_is_discarded_or_redriven_meanwhile_has_no_turn_any_more():
    letters = [poison(f"n-{number}") for number in range(2)]
    redriving.queue_up(cause(), 60, ADA)
    operations.redrive(letters[:1], ADA)
    operations.discard(letters[1:], ADA)
    assert no_letter_is_queued()


def test_a_letter_that_is_taken_is_nobody_elses_for_two_minutes_and_then_comes_again():
    poison("n-1")
    redriving.queue_up(cause(), 60, ADA)
    make_due()
    assert len(direct.write([DueRedrives()])[0]) == 1
    assert direct.write([DueRedrives()]) == [[]]
    query("UPDATE dead_letters SET redrive_at = redrive_at - interval '2 minutes'")
    assert len(direct.write([DueRedrives()])[0]) == 1


# Redriving


def test_workers_redrive_each_letter_once_and_it_is_sent(engine, sandbox):
    letters = [poison(f"ok-{number}") for number in range(40)]
    engine(), engine()
    redriving.queue_up(cause(), HIGHEST_RATE, ADA)
    eventually(lambda: no_letter_is_queued() and all_ended(), what="all redriven")
    assert sandbox.book()["accepted_count"] == 40
    assert {state(letter).state for letter in letters} == {"redriven"}
    redriven = AuditEntry.objects.filter(action="redrive", subject__in=map(str, letters))
    assert redriven.count() == 40
    assert set(redriven.values_list("actor", "reason")) == {("user ada", "the template is mended")}
    check_invariants(sandbox)


def test_what_was_given_up_gets_new_attempts(engine, sandbox):
    running = engine(max_retry_attempts=1)
    sandbox.control("users", "down")
    running.accept(message("ok-1"), message("ok-2"))
    eventually(all_ended, what="given up")
    sandbox.control("users", "none")
    for found in redriving.causes():
        redriving.queue_up(found, HIGHEST_RATE, ADA)
    eventually(
        lambda: no_letter_is_queued() and counted("notifications", "status") == {"sent": 2}, what="sent after all"
    )
    eventually(all_ended)
    assert set(DeadLetter.objects.values_list("state", "note")) == {("redriven", "the template is mended")}
    check_invariants(sandbox)


def test_what_cannot_be_redriven_stays_open_and_says_why(engine, sandbox):
    still, cut, known, good = (poison("x", body=b"{}"), poison("cut"), poison("here"), poison("ok-1"))
    gone = dead_letter("nobody", reasons='["template_id: is needed"]')
    query("UPDATE dead_letters SET size = 100000 WHERE id = %s", cut)
    notifications(["here"])
    engine()
    for found in redriving.causes():
        redriving.queue_up(found, HIGHEST_RATE, ADA)
    eventually(no_letter_is_queued, what="all tried")
    assert [state(letter).state for letter in (still, cut, gone, known, good)] == ["open"] * 3 + ["redriven"] * 2
    assert state(still).note.startswith("It still cannot be accepted: ")
    assert "Only a part of its body was kept" in state(cut).note
    assert state(gone).note == "There is no such notification."
    [tried] = [one for one in redriving.causes() if one.code == "invalid_message"]
    assert (tried.letters, tried.kept, tried.queued) == (2, 2, 0)
    eventually(all_ended)


def test_nothing_is_redriven_before_its_turn_nor_after_a_stop(engine, sandbox):
    letters = [poison(f"ok-{number}") for number in range(3)]
    engine()
    redriving.queue_up(cause(), 20, ADA)
    eventually(lambda: state(letters[0]).state == "redriven", what="the first one's turn")
    assert [state(letter).state for letter in letters[1:]] == ["open", "open"]
    redriving.stop(ADA)
    make_due()
    eventually(lambda: sandbox.book()["accepted_count"] == 1 and all_ended())
    assert [state(letter).state for letter in letters[1:]] == ["open", "open"]


def test_what_a_killed_worker_had_taken_is_redriven_by_another_once(worker, sandbox):
    letters = [poison(f"ok-{number}") for number in range(60)]
    redriving.queue_up(cause(), HIGHEST_RATE, ADA)
    first = worker()
    eventually(lambda: any(state(letter).state == "redriven" for letter in letters), what="one redriven")
    first.kill()
    query("UPDATE dead_letters SET redrive_at = now() WHERE redrive_at IS NOT NULL")
    worker()
    eventually(lambda: no_letter_is_queued() and all_ended(), within=60, what="the rest redriven")
    assert {state(letter).state for letter in letters} == {"redriven"}
    assert counted("notifications", "status") == {"sent": 60}
    assert AuditEntry.objects.filter(action="redrive", subject__in=map(str, letters)).count() == 60
    check_invariants(sandbox, answers_lost=True)
