"""The prune guard: where too many tokens die at once nothing is pruned, nobody is told, and a person decides."""

import asyncio
import logging
from collections import Counter
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb

from deliveries import operations, prune_guard
from deliveries.contract import read_document
from deliveries.ledger import dead_tokens, direct, judging
from deliveries.ledger.connection import conninfo
from deliveries.ledger.judging import BATCH, HoldDeadTokens
from deliveries.operations import Who
from deliveries.prune_guard import FEWEST, HOUR, MINUTE, STEPS, PruneGuard, Verdicts, stopped, worst
from deliveries.token_fates import TokenFates
from deliveries.work import Work
from providers.errors import DeadToken, ForeignToken, ProviderError
from tests.clocks import Clock, clock_of
from tests.test_dead_tokens import CALL, TOKEN, called_dead, died, tell_after, told
from tests.test_ledger import a_worker, delivery
from tests.world import all_ended, check_invariants, counted, eventually, message, query

ADA = Who("user ada", "the project was wrong")
BEGINS, ENDS = "Pruning has stopped:", "Pruning goes on:"


@pytest.fixture
def clock(monkeypatch) -> Clock:
    return clock_of(prune_guard, monkeypatch)


@pytest.fixture
def one(transactional_db):
    with a_worker() as hands:
        yield hands


@pytest.fixture
def other(transactional_db):
    with a_worker() as hands:
        yield hands


class Written:
    """A ledger that notes what it is asked for, and in which these providers' tokens were held lately."""

    def __init__(self, *held: str) -> None:
        self.held = list(held)
        self.changes: list = []
        self.batches: list[int] = []

    async def write(self, *changes):
        self.changes += changes
        if isinstance(changes[0], HoldDeadTokens):
            return [self.batches.pop(0) if self.batches else 0]
        return [self.held]


def guard_with(accepted: int, dead: int, limit: float = 0.5, others=dict, provider: str = "fcm") -> PruneGuard:
    guard = PruneGuard(Written(), limit, others)
    for number in range(accepted + dead):
        guard.count(provider, dead=number < dead)
    return guard


def what_is_told(accepted: int, dead: int, *, stopped: bool = False) -> dict:
    """By a worker that has begun within the minute."""
    windows = [{"seconds": seconds, "accepted": accepted, "dead": dead} for seconds in (MINUTE, HOUR)]
    return {"windows": windows, "stopped": stopped}


# --- the rule ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accepted", "dead", "limit", "holds"),
    [
        (0, FEWEST - 1, 0.5, False),
        (0, FEWEST, 0.5, True),
        (FEWEST - 1, FEWEST, 0.5, True),
        (FEWEST, FEWEST, 0.5, False),
        (1000, 100, 0.05, True),
        (1000, 40, 0.01, False),
        (0, 500, 1.0, False),
        (0, FEWEST, 0.0, True),
    ],
)
def test_it_holds_when_many_die_and_their_share_is_above_the_limit(accepted, dead, limit, holds):
    assert guard_with(accepted, dead, limit).holds("fcm") is holds


def test_each_provider_is_judged_by_its_own_verdicts():
    guard = guard_with(1000, 0, provider="webpush")
    for _ in range(FEWEST):
        guard.count("fcm", dead=True)
    assert guard.holds("fcm") and not guard.holds("webpush")
    assert guard.told("webpush") == what_is_told(1000, 0)


def fates_of(guard, error: ProviderError | None, *, target: str = "token", **more) -> list:
    """What comes of an answer to one push; None is accepted."""
    push = delivery("n1", "news")
    push.target, push.id = target, 7
    fates, now = TokenFates(guard, 60, tells=False), datetime.now(UTC)
    if error is None:
        return list(fates.accepted(push, now))
    work = Work(read_document(message("n1", **more)), 1, False, 0.0)
    return list(fates.failed(work, push, error, now))


def test_a_push_to_a_topic_says_nothing_of_tokens():
    guard = guard_with(0, 0)
    for target in ("topic", "token", "fid"):
        assert fates_of(guard, None, target=target) == []
    for error in (DeadToken("NotRegistered", "gone"), ForeignToken("MismatchSenderId", "another's")):
        assert fates_of(guard, error, target="topic") == []
    assert guard.told("fcm") == what_is_told(2, 0)
    assert [death.fate for death in fates_of(guard, error)] == ["quarantined"]
    assert guard.told("fcm") == what_is_told(2, 1)


def test_a_dry_run_says_nothing_of_tokens():
    guard = guard_with(0, 0)
    assert fates_of(guard, DeadToken("UNREGISTERED", "gone"), dry_run=True) == []
    assert guard.told("fcm") == what_is_told(0, 0)


def test_what_others_have_counted_counts_like_our_own():
    others = {("fcm", HOUR): Verdicts(accepted=0, dead=FEWEST - 10), ("elsewhere", MINUTE): Verdicts(dead=FEWEST)}
    guard = guard_with(5, 10, others=lambda: others)
    assert guard.holds("fcm") and guard.holds("elsewhere") and guard.is_on
    assert guard.told("fcm") == what_is_told(5, 10, stopped=True), "its own: the others tell theirs"
    others.clear()
    assert not guard.is_on


def test_verdicts_are_forgotten_when_they_are_older_than_the_window(clock):
    guard = guard_with(0, FEWEST)
    clock.sleep(HOUR - HOUR / STEPS)
    guard.count("fcm", dead=False)
    assert guard.holds("fcm")
    clock.sleep(2 * HOUR / STEPS)
    assert guard.told("fcm") == {
        "windows": [{"seconds": MINUTE, "accepted": 0, "dead": 0}, {"seconds": HOUR, "accepted": 1, "dead": 0}],
        "stopped": False,
    }
    clock.sleep(HOUR)
    guard.count("fcm", dead=True)
    assert guard.told("fcm")["windows"][0] == {"seconds": MINUTE, "accepted": 0, "dead": 1}
    assert [len(window._steps) for window in guard._windows] == [1, 1], "and take no room"


def seconds_until_it_holds(clock, every: float, *, well_before: bool = False) -> float:
    """For a provider that has taken 50 a second for an hour, or one that is new; then all die, one `every` so often."""
    guard = guard_with(0, 0)
    for _ in range(HOUR if well_before else 0):
        for _ in range(50):
            guard.count("fcm", dead=False)
        clock.sleep(1)
    began = clock.now
    while not guard.holds("fcm"):
        clock.sleep(every)
        guard.count("fcm", dead=True)
    return clock.now - began


def test_after_an_hour_in_which_all_was_well_it_holds_before_anybody_is_told(clock):
    assert seconds_until_it_holds(clock, 1 / 50, well_before=True) < 60 < dead_tokens.PAUSE


def test_where_little_is_sent_it_holds_within_the_hour(clock):
    assert seconds_until_it_holds(clock, 15) == FEWEST * 15


def test_a_minute_in_which_few_die_is_no_reason_where_the_hour_is_well():
    others = {("fcm", MINUTE): Verdicts(0, FEWEST - 1), ("fcm", HOUR): Verdicts(1000, FEWEST - 1)}
    assert not guard_with(0, 0, others=lambda: others).is_on


def test_its_beginning_and_its_end_are_said_once_each(clock, caplog):
    guard = guard_with(10, 60)
    for _ in range(3):
        asyncio.run(guard.tick())
        clock.sleep(1)
    begins = [record for record in caplog.records if BEGINS in record.getMessage()]
    assert [record.levelno for record in begins] == [logging.ERROR]
    said = begins[0].getMessage()
    assert "60 of the last 70 verdicts of fcm say that the token is dead" in said
    assert "DEAD_TOKEN_LIMIT (0.5)" in said and "FCM_PROJECT_ID" in said
    for _ in range(100):
        guard.count("fcm", dead=False)
    for _ in range(3):
        asyncio.run(guard.tick())
    assert caplog.text.count(ENDS) == caplog.text.count(BEGINS) == 1


def test_what_died_is_held_at_once_and_again_for_those_who_hear_late(clock):
    guard = guard_with(0, 60)
    for _ in range(150):
        asyncio.run(guard.tick())
        clock.sleep(1)
    assert guard._writer.changes == [HoldDeadTokens(["fcm"], HOUR)] * 3


def test_a_batch_a_tick_is_held_until_none_is_left(clock):
    guard = guard_with(0, 60)
    guard._writer.batches = [BATCH, BATCH, BATCH - 1]
    for _ in range(30):
        asyncio.run(guard.tick())
        clock.sleep(1)
    assert guard._writer.changes == [HoldDeadTokens(["fcm"], HOUR)] * 3


def test_after_a_restart_no_fifty_have_to_die_where_tokens_were_held_before(clock, monkeypatch):
    guard = PruneGuard(Written("fcm"), 0.5, dict)

    async def no_rounds(*_):
        pass

    monkeypatch.setattr(prune_guard, "every_tick", no_rounds)
    asyncio.run(guard.run())
    for provider in ("fcm", "webpush"):
        guard.count(provider, dead=True)
    assert guard.holds("fcm") and not guard.holds("webpush")
    guard.count("fcm", dead=False)
    assert not guard.holds("fcm")
    clock.sleep(HOUR)
    guard.count("fcm", dead=True)
    assert not guard.holds("fcm"), "by then it has a past of its own"


def test_what_workers_tell_says_where_it_is_stopped_and_by_how_many():
    told = [
        {"fcm": {"verdicts": what_is_told(1, 40, stopped=True)}, "gateway": {"breaker": {}}},
        {"fcm": {"verdicts": what_is_told(2, 30)}},
        {"webpush": {"verdicts": what_is_told(2, 30)}},
        {},
    ]
    assert stopped(told) == {"fcm": Verdicts(3, 70)}


@pytest.mark.parametrize(
    ("minute", "hour", "said"),
    [
        (Verdicts(0, 60), Verdicts(9000, 70), Verdicts(0, 60)),
        (Verdicts(0, 2), Verdicts(10, 70), Verdicts(10, 70)),
        (Verdicts(5, 2), Verdicts(0, 3), Verdicts(0, 3)),
    ],
)
def test_what_is_said_of_a_provider_is_the_window_that_stopped_it(minute, hour, said):
    assert worst([minute, hour]) == said


# --- the ledger ----------------------------------------------------------------------------------


def bury(token: str, *, died_ago: float = 0, **more) -> int:
    """A row of a dead token; returns its id."""
    columns = {
        "token_hash": token,
        "device_token": token,
        "user_id": "ada",
        "provider": "fcm",
        "error_code": "UNREGISTERED",
        "notification_id": "n1",
        "correlation_id": "c1",
        "died_at": datetime.now(UTC) - timedelta(seconds=died_ago),
        **more,
    }
    [[id]] = query(
        f"INSERT INTO dead_tokens ({', '.join(columns)}) VALUES ({', '.join(['%s'] * len(columns))}) RETURNING id",
        *columns.values(),
    )
    return id


def held() -> set[str]:
    return {token for [token] in query("SELECT device_token FROM dead_tokens WHERE held_at IS NOT NULL")}


def owed_words() -> set[str]:
    return {token for [token] in query("SELECT device_token FROM dead_tokens WHERE report_due_at IS NOT NULL")}


@pytest.mark.django_db(transaction=True)
def test_all_of_the_window_is_held_but_what_was_told_or_believed(settings):
    settings.PUSH = settings.PUSH.model_copy(update={"user_service_dead_token_path": CALL})
    now = datetime.now(UTC)
    bury("owed", report_due_at=now)
    bury("never-told")
    bury("quarantined", fate="quarantined")
    bury("told-long-ago", reported_at=now - timedelta(days=9))
    bury("told", died_ago=5, reported_at=now)
    bury("another-provider's", provider="webpush")
    bury("older", died_ago=HOUR + 60, report_due_at=now)
    believed = bury("believed", died_ago=5, held_at=now)
    assert operations.believe([believed], ADA)[0].done
    hold = HoldDeadTokens(["fcm"], HOUR)
    for _ in range(2):
        direct.write([hold])
        assert held() == {"owed", "never-told", "quarantined", "told-long-ago"}
        assert owed_words() == {"older", "believed"}


@pytest.mark.django_db(transaction=True)
def test_they_are_held_in_batches_and_nobody_waits_for_a_row_that_another_has_locked(one, other, monkeypatch):
    monkeypatch.setattr(judging, "HOLD", judging.HOLD.replace(f"LIMIT {BATCH}", "LIMIT 2"))
    for number in range(5):
        bury(f"t{number}", died_ago=100 - number)
    hold = HoldDeadTokens(["fcm"], HOUR)
    assert [one.write(hold) for _ in range(2)] == [[2], [2]]
    assert held() == {"t0", "t1", "t2", "t3"}, "the oldest first: they are told first"
    with psycopg.connect(conninfo()) as another:
        another.execute("SELECT FROM dead_tokens WHERE device_token = 't4' FOR UPDATE")
        assert other.write(hold) == [0]
    assert [other.write(hold) for _ in range(2)] == [[1], [0]]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("path", "row", "owed"),
    [
        (CALL, {}, True),
        (None, {}, False),
        (CALL, {"fate": "quarantined"}, False),
        (CALL, {"died_ago": 60, "reported_at": datetime(2099, 1, 1, tzinfo=UTC)}, False),
    ],
)
def test_who_believes_a_held_token_lets_it_count_as_dead(settings, path, row, owed):
    settings.PUSH = settings.PUSH.model_copy(update={"user_service_dead_token_path": path})
    id = bury("t", held_at=datetime.now(UTC), **row)
    [first] = operations.believe([id], ADA)
    [again] = operations.believe([id], ADA)
    assert (first.code, again.code) == ("believed", "not_held")
    assert held() == set()
    assert owed_words() == ({"t"} if owed else set())
    [entry] = query("SELECT actor, action, subject, reason, detail->>'user' FROM audit_log")
    assert entry == ("user ada", "believe", str(id), "the project was wrong", "ada")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("memory", [timedelta(days=7), timedelta(days=1)])
def test_who_believes_a_token_has_it_remembered_from_now_on_though_its_memory_was_over(memory):
    died_at = datetime.now(UTC) - timedelta(days=9)
    id = bury("t", held_at=died_at, died_at=died_at, remembered_until=died_at + memory)
    assert operations.believe([id], ADA)[0].done
    [[left]] = query("SELECT remembered_until - now() FROM dead_tokens")
    assert memory - timedelta(minutes=1) < left <= memory


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("row", [{"held_at": datetime.now(UTC)}, {}])
def test_who_forgets_a_token_lets_it_count_as_living(row):
    id = bury("t", **row)
    assert [outcome.code for outcome in operations.forget([id, id + 1], ADA)] == ["forgotten", "unknown_token"]
    assert query("SELECT * FROM dead_tokens") == []
    assert query("SELECT actor, action, subject FROM audit_log") == [("user ada", "forget", str(id))]


# --- with engines at work ------------------------------------------------------------------------


def verdicts(*engines) -> list[tuple[int, int]]:
    """Accepted and dead, as each engine has counted them."""
    told = [running.engine._assembly.guard.told("fcm")["windows"][-1] for running in engines]
    return [(own["accepted"], own["dead"]) for own in told]


def many(kind: str, count: int) -> list[dict]:
    return [message(f"{kind}-{number}", ttl=600) for number in range(count)]


def test_when_most_tokens_die_pruning_stops_and_when_all_is_normal_it_goes_on(engine, sandbox, caplog, monkeypatch):
    tell_after(monkeypatch, 2.0)
    running = engine(user_service_dead_token_path=CALL)
    running.accept(*many("dead", 160), *many("ok", 40))
    eventually(lambda: caplog.text.count(BEGINS) == 1, what="word that pruning stops")
    eventually(lambda: all_ended() and len(held()) == 160, what="all dead tokens held")
    assert verdicts(running) == [(40, 160)]

    # they are tried as usual, and who is reached lives
    sends = sandbox.book(full=False)["refusals"]["UNREGISTERED"]
    running.accept(message("again", "dead-1"), message("dead-new", "dead-new"))
    eventually(all_ended)
    assert sandbox.book(full=False)["refusals"]["UNREGISTERED"] == sends + 2
    assert len(held()) == 161

    # nobody has been told, though the time to tell has passed
    eventually(lambda: query("SELECT count(*) FROM dead_tokens WHERE died_at < now() - interval '4 s'")[0][0] > 150)
    assert told(sandbox) == []

    # normal traffic
    running.accept(*many("fine", 200))
    eventually(lambda: caplog.text.count(ENDS) == 1, what="word that pruning goes on")
    running.accept(message("dead-late"))
    eventually(lambda: [word["user_id"] for word in told(sandbox)] == ["dead-late"], what="word of the next one")
    assert len(held()) == 161

    # a person decides
    ids = dict(query("SELECT user_id, id FROM dead_tokens"))
    assert operations.believe([ids["dead-1"]], ADA)[0].done and operations.forget([ids["dead-2"]], ADA)[0].done
    eventually(lambda: {word["user_id"] for word in told(sandbox)} == {"dead-late", "dead-1"})
    assert len(held()) == 159
    assert caplog.text.count(BEGINS) == 1
    check_invariants(sandbox)


def test_two_workers_share_the_window(engine, sandbox, caplog):
    first, second = engine(), engine()
    first.accept(*many("dead", 30))
    second.accept(*(message(f"dead-{number}") for number in range(30, 60)))
    eventually(lambda: len(held()) == 60, what="all held, though each worker met thirty")
    eventually(lambda: caplog.text.count(BEGINS) == 2, what="word from both")
    assert verdicts(first, second) == [(0, 30), (0, 30)]


def test_what_is_remembered_and_not_tried_is_no_verdict(engine, sandbox):
    running = engine()
    for id in ("n1", "n2", "n3"):
        running.accept(message(id, "dead-1"))
        eventually(all_ended)
    assert verdicts(running) == [(0, 1)]


def test_dry_runs_hold_nothing_and_remember_nothing(engine, sandbox):
    running = engine()
    running.accept(*(document | {"dry_run": True} for document in (*many("dead", FEWEST + 10), *many("ok", 20))))
    eventually(all_ended)
    assert verdicts(running) == [(0, 0)]
    assert query("SELECT * FROM dead_tokens") == []


def test_what_says_nothing_of_a_token_is_no_verdict(engine, sandbox):
    running = engine()
    running.accept(message("n1", "apnsauth-1"), message("n2", "quota-1"), message("n3", "unavailable-1"))
    running.accept(message("n4", "mismatch-1"), message("n5", "apns410-1"), message("n6", "ok-1"))
    eventually(lambda: counted("push_attempts", "notification_id").keys() >= {"n1", "n2", "n3", "n4", "n5"})
    eventually(lambda: verdicts(running) == [(1, 2)])


def test_what_a_killed_worker_had_counted_counts_on(engine, sandbox):
    for ago, dead in ((MINUTE - 20, 10), (MINUTE + 60, FEWEST - 11), (HOUR + 60, 1000)):
        query(
            "INSERT INTO workers (id, host, pid, breakers, heartbeat_at)"
            " VALUES (%s, 'a-host', 1, %s, now() - make_interval(secs => %s))",
            uuid4(),
            Jsonb({"fcm": {"verdicts": what_is_told(1, dead)}, "gateway": {"breaker": {}}}),
            ago,
        )
    running = engine()
    assert running.engine._heartbeat.others == {
        ("fcm", MINUTE): Verdicts(1, 10),
        ("fcm", HOUR): Verdicts(2, FEWEST - 1),
    }
    running.accept(message("n1", "dead-1"))
    eventually(lambda: len(held()) == 1)


def test_one_that_dies_again_while_too_many_do_is_owed_to_nobody(one):
    one.write(died())
    one.write(died(held=True))
    assert (held(), owed_words()) == ({TOKEN}, set())


def test_a_held_token_that_is_reached_is_dead_no_longer_and_one_that_dies_later_is_believed(engine, sandbox, one):
    called_dead(one, "ada", held=True)
    one.write(died(held=True, device_token="t"))
    assert len(held()) == 2
    running = engine()
    running.accept(message("n1", "ada"))
    eventually(lambda: len(held()) == 1)
    one.write(died(device_token="t"))
    assert Counter(query("SELECT device_token, held_at FROM dead_tokens")) == {("t", None): 1}
    assert owed_words() == {"t"}
