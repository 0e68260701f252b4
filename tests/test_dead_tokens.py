"""Dead tokens: remembered and not tried, told to the user service once, and owed to it until it answers."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import requests
from pydantic import ValidationError

from deliveries import operations
from deliveries.dead_tokens import DeadTokenOffice
from deliveries.ledger import Landed, Settle, StartSends, TokenAlive, TokenDied, dead_tokens
from deliveries.ledger.dead_tokens import OwedDeadTokens, PaidDeadToken
from deliveries.ledger.judging import HoldDeadTokens
from deliveries.models import Status
from deliveries.neighbours.devices import devices_in
from deliveries.neighbours.upstreams import Refusal, Upstream
from deliveries.operations import Target, Who
from deliveries.outcomes import TryAgain
from deliveries.prune_guard import PruneGuard
from providers.breaker import Breaker
from providers.http import HttpClient
from pushproject.environment import Environment
from sandbox.devices import token_for
from tests.peer import peer
from tests.test_ledger import a_worker, delivery
from tests.world import all_ended, check_invariants, eventually, message, query

CALL = "POST /api/v1/users/{user_id}/push-tokens/dead"
TOKEN = "dead-registration-of-a-phone-that-is-no-more"
DAY = 24 * 3600.0
WEEK = 7 * DAY

pytestmark = pytest.mark.django_db(transaction=True)


def tell_after(monkeypatch, seconds: float, leases: float = 0.0) -> None:
    monkeypatch.setattr(dead_tokens, "PAUSE", seconds)
    monkeypatch.setattr(dead_tokens, "LEASES", leases)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch) -> None:
    """The user service is told without the pause in which the prune guard may object."""
    tell_after(monkeypatch, 0.0)


@pytest.fixture
def one():
    with a_worker() as hands:
        yield hands


@pytest.fixture
def other():
    with a_worker() as hands:
        yield hands


def died(delivery_id: int = 0, **changes) -> TokenDied:
    usual = {"user_id": "ada", "device_token": TOKEN, "platform": "android", "report_owed": True, "held": False}
    return TokenDied(
        **{
            "notification_id": "n1",
            "delivery_id": delivery_id,
            "provider": "fcm",
            "error_code": "UNREGISTERED",
            "fate": "dead",
            "remembered_for": WEEK,
            "correlation_id": "c1",
            "died_at": datetime.now(UTC),
            **usual,
            **changes,
        }
    )


def owed(hands) -> list[dict]:
    [rows] = hands.write(OwedDeadTokens())
    return rows


def the_row(*columns: str) -> tuple:
    [row] = query(f"SELECT {', '.join(columns)} FROM dead_tokens")
    return row


def told(sandbox) -> list[dict]:
    return [entry["body"] for entry in sandbox.book()["dead_tokens"]]


def due_again() -> None:
    query("UPDATE dead_tokens SET report_due_at = now()")


def ended(id: str) -> bool:
    return query("SELECT count(*) FROM notifications WHERE notification_id = %s AND reported_at IS NOT NULL", id) == [
        (1,)
    ]


def the_attempts(id: str) -> list[tuple]:
    return query("SELECT error_code FROM push_attempts WHERE notification_id = %s", id)


def carried(running, sandbox, *documents: dict) -> int:
    """Carries notifications to their ends; returns how many calls FCM got."""
    before = calls(sandbox)
    running.accept(*documents)
    eventually(lambda: all(ended(document["notification_id"]) for document in documents), what="all reported")
    return calls(sandbox) - before


def calls(sandbox) -> int:
    """How many messages FCM took or refused."""
    book = sandbox.book(full=False)
    return book["accepted_count"] + sum(book["refusals"].values())


def called_dead(hands, user: str, **more) -> None:
    """The token of a user's phone, which lives, was called dead by a send of before."""
    hands.write(died(user_id=user, device_token=token_for(user), **more))


def outcome(id: str) -> tuple:
    [row] = query("SELECT status, error_code, error_message FROM notifications WHERE notification_id = %s", id)
    return row


def outcomes(id: str) -> dict[str, tuple]:
    """Status, code and reason of each device, by platform."""
    rows = query(
        "SELECT platform, status, error_code, error_message FROM push_deliveries WHERE notification_id = %s", id
    )
    return {platform: tuple(rest) for platform, *rest in rows}


def pass_time(seconds: float) -> None:
    """The dead tokens become so much older."""
    query(
        "UPDATE dead_tokens SET died_at = died_at - make_interval(secs => %s),"
        " remembered_until = remembered_until - make_interval(secs => %s)",
        seconds,
        seconds,
    )


# --- from end to end -----------------------------------------------------------------------------


def test_the_user_service_is_told_once(engine, sandbox, caplog):
    begun = datetime.now(UTC)
    running = engine(user_service_dead_token_path=CALL)
    running.accept(message("n1", "mixed-ada", correlation_id="c-7"))
    eventually(lambda: told(sandbox), what="word of the dead token")
    eventually(lambda: the_row("reported_at")[0], what="word that it was told")
    [body] = told(sandbox)
    died_at = datetime.fromisoformat(body.pop("died_at"))
    assert begun <= died_at <= datetime.now(UTC)
    [[token]] = query("SELECT device_token FROM push_deliveries WHERE status = 'failed'")
    assert body == {"user_id": "mixed-ada", "token": token, "platform": "ios", "reason": "UNREGISTERED"}
    assert sandbox.book()["dead_tokens"][0]["correlation_id"] == "c-7"
    row = the_row("device_token", "provider", "notification_id", "died_at", "report_due_at", "report_attempts")
    assert row == (token, "fcm", "n1", died_at, None, 1)
    eventually(all_ended)
    check_invariants(sandbox)
    assert token not in caplog.text


def test_a_token_died_when_its_send_began(engine, slow_sandbox):
    """Who registered it while the answer was on its way has registered it since."""
    world = {name.lower(): value for name, value in slow_sandbox.variables().items()}
    carried(engine(**world), slow_sandbox, message("n1", "dead-1"))
    [[took]] = query(
        "SELECT extract(epoch FROM d.updated_at - t.died_at)::float8 FROM push_deliveries d, dead_tokens t"
    )
    assert took > 0.4


def test_without_a_path_nobody_is_told(engine, sandbox):
    running = engine()
    running.accept(message("n1", "dead-1"))
    eventually(all_ended)
    assert the_row("report_due_at", "notification_id") == (None, "n1")
    assert told(sandbox) == []


def test_a_token_that_may_live_is_not_written_down(engine, sandbox):
    running = engine(user_service_dead_token_path=CALL)
    running.accept(message("n1", "apnsauth-1"), message("n2", "ada"))
    eventually(lambda: ended("n2") and the_attempts("n1"))
    assert query("SELECT * FROM dead_tokens") == []


def test_it_is_told_when_the_user_service_is_back(engine, sandbox, one):
    sandbox.control("users", "down")
    one.write(died())
    engine(user_service_dead_token_path=CALL)
    eventually(lambda: the_row("report_attempts") > (0,), what="a first attempt")
    error, reported = the_row("report_error", "reported_at")
    assert "answered 503" in error and reported is None
    sandbox.control("users", "none")
    eventually(lambda: told(sandbox), what="word of the dead token")
    eventually(lambda: the_row("reported_at")[0])
    assert the_row("report_error", "report_due_at", "report_refused_at") == ("", None, None)
    assert len(told(sandbox)) == 1


def test_a_refusal_is_final_and_kept(engine, sandbox, one):
    sandbox.control("users", "refuse400")
    one.write(died())
    engine(user_service_dead_token_path=CALL)
    eventually(lambda: the_row("report_refused_at")[0], what="a refusal")
    assert the_row("report_error", "report_due_at", "reported_at") == ("400: bad request", None, None)


def test_a_user_who_is_gone_has_forgotten_the_token(engine, sandbox, one):
    one.write(died(user_id="unknown-ada"))
    engine(user_service_dead_token_path=CALL)
    eventually(lambda: the_row("reported_at")[0], what="that it counts as told")
    assert the_row("report_error", "report_due_at") == ("", None)
    assert told(sandbox) == []


# --- what is remembered --------------------------------------------------------------------------


def test_a_dead_token_is_not_tried_again_and_its_user_and_the_gateway_are_told_why(engine, sandbox):
    running = engine()
    assert carried(running, sandbox, message("n1", "dead-1")) == 1
    assert carried(running, sandbox, message("n2", "dead-1")) == 0
    [[died_at]] = query("SELECT died_at FROM dead_tokens")
    why = f"Not tried: the provider said UNREGISTERED of this device on {died_at:%Y-%m-%d at %H:%M} UTC."
    assert outcomes("n2") == {"": ("failed", "UNREGISTERED", why)}
    reason = f"Every device of this user is remembered as dead, or as another project's, so nothing was sent. {why}"
    assert outcome("n2") == ("failed", "UNREGISTERED", reason)
    [report] = sandbox.reports()["n2"]
    assert report["status"] == "failed" and "remembered as dead" in report["error"]
    assert the_attempts("n2") == []
    check_invariants(sandbox)


def test_the_other_devices_of_the_user_get_theirs(engine, sandbox):
    running = engine()
    assert carried(running, sandbox, message("n1", "mixed-1")) == 3
    assert carried(running, sandbox, message("n2", "mixed-1")) == 2
    assert outcome("n2") == ("sent", "", "")
    assert {platform: status for platform, (status, *_) in outcomes("n2").items()} == {
        "android": "sent",
        "ios": "failed",
        "web": "sent",
    }
    assert outcomes("n2")["ios"][2].startswith("Not tried:")


def test_a_reason_is_a_device_that_was_tried_where_there_is_one(engine, sandbox):
    running = engine()
    carried(running, sandbox, message("n1", "mixed-1"))
    sandbox.control("fcm", "refuse400")
    carried(running, sandbox, message("n2", "mixed-1"))
    status, code, reason = outcome("n2")
    assert (status, code) == ("failed", "INVALID_ARGUMENT")
    assert "Not tried" not in reason


def test_when_its_memory_is_over_a_token_is_tried_once_more_and_remembered_anew(engine, sandbox):
    running = engine()
    carried(running, sandbox, message("n1", "dead-1"))
    pass_time(WEEK - 60)
    assert carried(running, sandbox, message("n2", "dead-1")) == 0
    pass_time(120)
    assert carried(running, sandbox, message("n3", "dead-1")) == 1
    assert carried(running, sandbox, message("n4", "dead-1")) == 0


def test_a_quarantined_token_is_tried_again_after_a_day_and_nobody_is_told(engine, sandbox):
    running = engine(user_service_dead_token_path=CALL)
    carried(running, sandbox, message("n1", "mismatch-1"))
    assert the_row("fate", "error_code", "report_due_at") == ("quarantined", "SENDER_ID_MISMATCH", None)
    pass_time(DAY - 60)
    assert carried(running, sandbox, message("n2", "mismatch-1")) == 0
    assert "SENDER_ID_MISMATCH" in outcome("n2")[2]
    pass_time(120)
    assert carried(running, sandbox, message("n3", "mismatch-1")) == 1
    assert told(sandbox) == []


@pytest.mark.parametrize(
    ("memory", "user", "seconds"),
    [(3600, "dead-1", 3600), (3600, "mismatch-1", 3600), (30 * DAY, "dead-1", 30 * DAY), (30 * DAY, "mismatch-1", DAY)],
)
def test_how_long_is_a_setting(engine, sandbox, memory, user, seconds):
    carried(engine(dead_token_memory=memory), sandbox, message("n1", user))
    assert the_row("extract(epoch FROM remembered_until - died_at)::float8") == (seconds,)


def test_a_service_without_memory_tries_always(engine, sandbox):
    running = engine(dead_token_memory=0)
    for id in ("n1", "n2"):
        assert carried(running, sandbox, message(id, "dead-1")) == 1


def test_a_token_that_gets_a_push_after_all_is_dead_no_longer_and_no_word_is_owed(engine, sandbox, one, monkeypatch):
    tell_after(monkeypatch, 1000.0)
    called_dead(one, "ada")
    assert the_row("report_due_at") != (None,)
    running = engine(user_service_dead_token_path=CALL)
    pass_time(WEEK + 60)
    assert carried(running, sandbox, message("n2", "ada")) == 1
    assert query("SELECT * FROM dead_tokens") == []
    assert told(sandbox) == []


def test_a_resend_tries_a_dead_token_and_what_comes_of_it_counts(engine, sandbox, one):
    called_dead(one, "ada")
    running = engine()
    assert carried(running, sandbox, message("n1", "ada")) == 0
    assert operations.resend([Target("n1")], Who("user eve"))[0].done
    eventually(lambda: outcome("n1") == ("sent", "", ""), what="sent after all")
    assert carried(running, sandbox, message("n2", "ada")) == 1


def test_a_send_that_began_before_the_token_died_does_not_call_it_back_to_life(one):
    one.write(died())
    [died_at] = the_row("died_at")
    one.write(TokenAlive(TOKEN, died_at - timedelta(seconds=1)))
    assert the_row("device_token") == (TOKEN,)
    one.write(TokenAlive(TOKEN, died_at + timedelta(seconds=1)), TokenAlive(TOKEN, died_at))
    assert query("SELECT * FROM dead_tokens") == []


def start(hands, id: str, **more):
    """Claims a send to the token; returns what the ledger says of it."""
    hands.accept(id)
    device = delivery(id, TOKEN)
    device.alive_at = more.get("alive_at")
    [started] = hands.write(StartSends(id, 1, [device]))
    return bool(started.holds), bool(started.once_dead)


def test_only_sends_to_devices_with_a_past_are_marked(one):
    assert start(one, "n1") == (False, False)
    one.write(died(remembered_for=0))
    assert start(one, "n2") == (False, True)
    one.write(died())
    assert start(one, "n3") == (True, True)
    one.write(died(held=True))
    assert start(one, "n4") == (False, True)


@pytest.mark.parametrize(("later", "tried"), [(1, True), (-1, False)])
def test_a_token_that_was_registered_after_it_died_is_tried(one, later, tried):
    change = died()
    one.write(change)
    held, _ = start(one, "n1", alive_at=change.died_at + timedelta(seconds=later))
    assert held is not tried


def waiting(hands, *, attempts: int = 0) -> None:
    """A row of n1 to the token waits for its next attempt, in nobody's hands."""
    hands.accept("n1")
    [device] = hands.start("n1", 1, TOKEN)
    hands.write(
        Landed(device.id, device.send_token, Status.PENDING, error_code="QUOTA", burnt=attempts, wait=0.0),
        Settle("n1", 1, Status.PENDING, 0, wait=0.0),
    )


def tried(other) -> bool:
    """Claims the notification by another worker, and its sends."""
    [work] = other.claim()
    [started] = other.write(StartSends(work.id, work.fence, work.deliveries))
    return not started.holds


@pytest.mark.parametrize(("attempts", "begins"), [(0, "Not tried: the provider"), (1, "Not tried again: the provider")])
def test_a_row_that_waits_is_not_tried_when_its_token_has_died_meanwhile(one, other, attempts, begins):
    waiting(one, attempts=attempts)
    one.write(died(notification_id="n2"))
    assert not tried(other)
    [row] = query("SELECT status, error_code, error_message FROM push_deliveries")
    assert row[:2] == ("failed", "UNREGISTERED")
    assert row[2].startswith(begins)


def test_a_row_that_waits_in_its_workers_hands_is_not_tried_either(one):
    one.accept("n1")
    [device] = one.start("n1", 1, TOKEN)
    one.write(Landed(device.id, device.send_token, Status.PENDING, error_code="QUOTA", wait=0.0))
    one.write(died(notification_id="n2"))
    [started] = one.write(StartSends("n1", 1, [device]))
    assert started.holds


def test_a_row_that_waits_is_tried_where_its_token_was_registered_since_it_died(one, other):
    """A Firebase installation that lives again: only the user service knew, when the row was made."""
    one.write(died(died_at=datetime.now(UTC) - timedelta(hours=1)))
    one.accept("n1")
    device = delivery("n1", TOKEN)
    device.alive_at = datetime.now(UTC)
    [started] = one.write(StartSends("n1", 1, [device]))
    [the_id] = started.ids.values()
    one.write(
        Landed(the_id, device.send_token, Status.PENDING, error_code="QUOTA", wait=0.0),
        Settle("n1", 1, Status.PENDING, 0, wait=0.0),
    )
    assert tried(other)


def test_a_resend_that_a_brake_holds_is_tried_when_its_place_comes(one, other):
    waiting(one)
    one.write(died(notification_id="n2"))
    assert not tried(other)
    other.write(Settle("n1", 2, Status.FAILED, 0, "UNREGISTERED"))
    query("UPDATE notifications SET worker_id = NULL, reported_at = now()")
    assert operations.resend([Target("n1")], Who("user eve"))[0].done
    query("UPDATE push_deliveries SET next_attempt_at = now(), updated_at = now()")
    assert tried(other), "as often as it has to wait"


@pytest.mark.parametrize(
    ("said", "at"),
    [
        ({"registered_at": "2026-11-23T02:00:00Z"}, datetime(2026, 11, 23, 2, tzinfo=UTC)),
        ({"registeredAt": "2026-11-23T04:00:00+02:00"}, datetime(2026, 11, 23, 2, tzinfo=UTC)),
        ({"token_updated_at": "2026-11-23 02:00"}, datetime(2026, 11, 23, 2, tzinfo=UTC)),
        ({"registered_at": None, "tokenUpdatedAt": "2026-11-23T02:00:00"}, datetime(2026, 11, 23, 2, tzinfo=UTC)),
        ({"registered_at": "yesterday"}, None),
        ({"registered_at": 1763863200}, None),
        ({}, None),
    ],
)
def test_a_device_says_when_it_was_registered(said, at):
    [device] = devices_in([{"token": "t", **said}])
    assert device.registered_at == at


def test_a_user_who_registers_the_same_token_anew_is_reached(engine, sandbox, one, monkeypatch):
    """A Firebase installation keeps its id, dead or alive."""
    called_dead(one, "ada")
    running = engine()

    async def devices_of(_):
        return devices_in([{"token": token_for("ada"), "registered_at": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%fZ}"}])

    monkeypatch.setattr(running.engine._assembly.pipeline._recipients, "devices_of", devices_of)
    assert carried(running, sandbox, message("n1", "ada")) == 1
    assert query("SELECT * FROM dead_tokens") == []


# --- what is owed --------------------------------------------------------------------------------


def test_two_notifications_with_the_same_dead_token_owe_one_debt(one, other):
    earlier, later = died(), died(notification_id="n2", error_code="INVALID_ARGUMENT")
    one.write(later, earlier)
    assert the_row("notification_id", "died_at") == ("n2", later.died_at)
    other.write(died(notification_id="n3"))
    assert the_row("notification_id") == ("n3",)
    [debt] = owed(one)
    assert (debt["device_token"], debt["report_attempts"]) == (TOKEN, 0)
    assert debt["died_at"] > later.died_at


def test_one_that_dies_again_while_it_is_told_stays_one_debt(one, other):
    one.write(died())
    [debt] = owed(one)
    other.write(died(notification_id="n2"))
    assert owed(other) == []
    one.write(PaidDeadToken(debt["id"]))
    assert the_row("report_due_at") == (None,)


def test_a_repeated_change_owes_nothing_twice(one):
    change = died()
    one.write(change)
    one.write(change)
    assert len(owed(one)) == 1
    assert owed(one) == []


def test_a_late_change_does_not_turn_the_time_back(one):
    change = died()
    one.write(died(notification_id="n2"))
    [latest] = the_row("died_at")
    one.write(change)
    assert the_row("died_at") == (latest,)


def test_a_claim_holds_the_debt_for_a_while_and_a_dead_worker_loses_it(one, other):
    one.write(died())
    assert len(owed(one)) == 1
    one.die()
    assert owed(other) == []
    [[held]] = query("SELECT extract(epoch FROM report_due_at - now())::float8 FROM dead_tokens")
    assert 100 < held <= 120
    due_again()
    [debt] = owed(other)
    assert debt["report_attempts"] == 0


STATE = ("fate", "error_code", "notification_id", "report_due_at IS NOT NULL")


def test_the_latest_death_counts_whichever_is_written_down_last(one, other):
    """First dead, then another project's: quarantined for a day, and no word of it is owed any more."""
    earlier = died()
    later = died(
        notification_id="n2",
        error_code="SENDER_ID_MISMATCH",
        fate="quarantined",
        remembered_for=DAY,
        report_owed=False,
    )
    one.write(earlier)
    assert the_row(*STATE) == ("dead", "UNREGISTERED", "n1", True)
    for hands, change in ((one, later), (other, earlier)):
        hands.write(change)
        assert the_row(*STATE) == ("quarantined", "SENDER_ID_MISMATCH", "n2", False)
        remembered = timedelta(seconds=DAY)
        assert the_row("died_at", "remembered_until") == (later.died_at, later.died_at + remembered)


def test_one_that_is_dead_after_all_is_owed_and_remembered_as_such(one):
    one.write(died(error_code="SENDER_ID_MISMATCH", fate="quarantined", remembered_for=DAY, report_owed=False))
    one.write(died(notification_id="n2"))
    assert the_row(*STATE) == ("dead", "UNREGISTERED", "n2", True)
    assert the_row("extract(epoch FROM remembered_until - died_at)::float8") == (WEEK,)


def test_an_older_death_neither_holds_nor_believes(one):
    older, newer, newest = died(held=True), died(), died(held=True)
    one.write(newer)
    one.write(older)
    assert the_row("held_at", "report_due_at IS NOT NULL") == (None, True)
    one.write(newest)
    one.write(newer)
    assert the_row("held_at IS NOT NULL", "report_due_at") == (True, None)


@pytest.mark.parametrize(
    "meanwhile",
    [died(held=True), HoldDeadTokens(["fcm"], 3600.0), died(fate="quarantined", report_owed=False)],
    ids=["died and held", "held", "quarantined"],
)
def test_a_debt_that_was_forgiven_while_it_was_paid_stays_forgiven(one, other, meanwhile):
    one.write(died(died_at=datetime.now(UTC) - timedelta(seconds=1)))
    [debt] = owed(one)
    if isinstance(meanwhile, TokenDied):
        meanwhile.died_at = datetime.now(UTC)
    other.write(meanwhile)
    one.write(PaidDeadToken(debt["id"], "answered 503", 0.0))
    assert the_row("report_due_at", "report_attempts") == (None, 1)
    assert owed(one) == []


@pytest.mark.parametrize("answer", ["", "400: no such endpoint"])
def test_a_send_that_began_before_the_user_service_was_told_owes_nothing_again(one, answer):
    one.accept("n1", "n2")
    [first], [second] = one.start("n1", 1, TOKEN), one.start("n2", 1, TOKEN)
    one.write(died(first.id))
    one.write(PaidDeadToken(owed(one)[0]["id"], answer))
    one.write(died(second.id))
    assert owed(one) == []


@pytest.mark.parametrize("answer", ["", "400: no such endpoint"])
def test_one_that_the_user_service_gives_out_again_and_that_dies_again_is_a_new_debt(one, answer):
    one.write(died())
    [debt] = owed(one)
    one.write(PaidDeadToken(debt["id"], answer))
    one.accept("n2")
    [second] = one.start("n2", 1, TOKEN)
    one.write(died(second.id, notification_id="n2"))
    [again] = owed(one)
    assert (again["notification_id"], again["report_attempts"]) == ("n2", 0)


def test_the_user_service_is_told_only_when_every_worker_may_have_objected(one, monkeypatch):
    for pause, leases in ((120, 2.0), (20, 2.0), (120, 1.0)):
        tell_after(monkeypatch, pause, leases)
        one.write(died(device_token=f"{pause}-{leases}"))
    waits = query("SELECT extract(epoch FROM report_due_at - now())::float8 FROM dead_tokens")
    assert len(waits) == 3
    assert all(110 < wait <= 120 for [wait] in waits), "two leases of 60 s, and two minutes"


def test_setting_the_path_later_makes_the_next_death_a_debt(one):
    one.write(died(report_owed=False))
    assert owed(one) == []
    one.write(died())
    assert len(owed(one)) == 1


# --- what is told --------------------------------------------------------------------------------


def tell(answer, call=CALL, **changes):
    """What the user service saw, and what was raised, when it gave this answer to word of a dead token."""
    row = {
        "user_id": "a/b",
        "device_token": TOKEN,
        "platform": "",
        "error_code": "UNREGISTERED",
        "died_at": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "notification_id": "n1",
        "correlation_id": "c1",
        **changes,
    }

    async def behaviour(_, wire):
        await wire.answer(*answer)

    async def run():
        http = HttpClient()
        async with peer(behaviour) as neighbour:
            upstream = Upstream("user_service", neighbour.url, http, Breaker("user_service", 5, 60))
            raised = None
            try:
                await DeadTokenOffice(None, upstream, call, None, PruneGuard(None, 1.0, dict))._tell(row)
            except (Refusal, TryAgain) as error:
                raised = error
            await http.close()
            return neighbour.seen[0], raised

    return asyncio.run(run())


def test_the_token_goes_in_the_body_and_never_in_the_address():
    seen, raised = tell((204, b""), "DELETE /users/{user_id}/tokens")
    assert raised is None
    assert (seen.method, seen.path) == ("DELETE", "/users/a%2Fb/tokens")
    assert seen.headers["x-correlation-id"] == "c1"
    assert seen.json == {
        "user_id": "a/b",
        "token": TOKEN,
        "platform": "",
        "reason": "UNREGISTERED",
        "died_at": "2026-01-02T03:04:05+00:00",
    }


@pytest.mark.parametrize("status", [404, 410])
def test_what_is_gone_already_is_told(status):
    assert tell((status, {"error": "no such token"}))[1] is None


@pytest.mark.parametrize("status", [404, 410])
@pytest.mark.parametrize("page", [b"", b"<h1>Not Found</h1>"])
def test_an_address_that_does_not_exist_has_told_nobody(status, page):
    _, trouble = tell((status, page))
    assert isinstance(trouble, TryAgain)
    assert f"answered {status} and no JSON at /api/v1/users/" in trouble.reason


@pytest.mark.parametrize("words", [f"token {TOKEN} is none", f"{'x' * 480} {TOKEN}", "y" * 100])
def test_a_refusal_that_quotes_a_token_is_kept_without_it(words, caplog):
    _, refusal = tell((422, {"error": words}))
    assert isinstance(refusal, Refusal)
    for quoted in (TOKEN[:12], "y" * 80):
        assert quoted not in f"{refusal} {refusal.reason} {caplog.text}"


def test_the_change_does_not_show_its_token():
    assert TOKEN not in repr(died())


# --- where it is told ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "call"),
    [
        ("/users/{user_id}/dead", "POST /users/{user_id}/dead"),
        ("delete  /users/{user_id}/push-tokens", "DELETE /users/{user_id}/push-tokens"),
        (" PATCH /dead?by=push ", "PATCH /dead?by=push"),
    ],
)
def test_the_path_may_name_its_method(given, call):
    assert Environment(_env_file=None, user_service_dead_token_path=given).user_service_dead_token_path == call


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ("users/dead", "begins with /"),
        ("GET /users/dead", "POST, PUT, PATCH or DELETE"),
        ("POST", "begins with /"),
        ("POST /a /b", "begins with /"),
        ("/users/ü", "begins with /"),
        (" ", "begins with /"),
        ("/users/{token}", "holds {token}"),
        ("/users/{user_id}/{device}", "{device}, {user_id}"),
        ("/users/{user_id!r}", "holds {user_id!r}"),
        ("/users/{user_id", "braces that do not match"),
        ("/users/user_id}", "braces that do not match"),
        ("/users#top", "begins with /"),
    ],
)
def test_a_path_that_cannot_be_meant_is_refused(given, why):
    with pytest.raises(ValidationError, match=why):
        Environment(_env_file=None, user_service_dead_token_path=given)


# --- the sandbox ---------------------------------------------------------------------------------


def put_to(sandbox, **changes) -> int:
    body = {
        "user_id": "ada",
        "token": "t",
        "platform": "",
        "reason": "UNREGISTERED",
        "died_at": "2026-01-02T03:04:05Z",
        **changes,
    }
    body = {name: value for name, value in body.items() if value is not None}
    return requests.post(f"{sandbox.url}/api/v1/users/ada/push-tokens/dead", json=body, timeout=10).status_code


@pytest.mark.parametrize(
    "changes",
    [
        {"token": None},
        {"extra": "1"},
        {"token": 7},
        {"reason": ""},
        {"user_id": "eve"},
        {"died_at": "2026-01-02T03:04:05"},
        {"died_at": "yesterday"},
    ],
)
def test_the_sandbox_takes_nothing_else_than_what_is_agreed(sandbox, changes):
    assert put_to(sandbox, **changes) == 400
    assert put_to(sandbox) == 200
    assert len(told(sandbox)) == sandbox.book(full=False)["dead_token_count"] == 1
