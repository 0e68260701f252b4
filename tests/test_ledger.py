"""The ledger's promises: once is once, claims are exclusive, late answers change nothing, bad rows fall alone."""

import importlib
import pkgutil
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from uuid import UUID, uuid4

import psycopg
import pytest
from django.db import connections

import deliveries.ledger
from deliveries.contract import read_document
from deliveries.ledger import (
    Abandon,
    Accept,
    Attempted,
    Claim,
    ClaimSuspects,
    DeadLettered,
    Forgotten,
    Landed,
    ReleaseOrphans,
    ReleaseWorker,
    Reported,
    Settle,
    Started,
    StartSends,
    Writer,
    direct,
)
from deliveries.ledger.audit import Audited
from deliveries.ledger.cancelling import Cancel
from deliveries.ledger.change import Hand
from deliveries.ledger.connection import connect, conninfo
from deliveries.ledger.resending import Resend, Resent
from deliveries.models import Status
from deliveries.work import Delivery, Work
from tests.world import counted, eventually, message, query

LEASE = 60.0

pytestmark = pytest.mark.django_db(transaction=True)


class Hands:
    """One worker's writer, driven from the test's thread."""

    def __init__(self, connector=None) -> None:
        self.id: UUID = uuid4()
        self.beat()
        self._writer = Writer(connector or partial(connect, conninfo()), Hand(self.id, LEASE))
        self._thread = threading.Thread(target=self._writer.run, daemon=True)
        self._thread.start()

    def beat(self, ago: float = 0.0) -> None:
        query(
            "INSERT INTO workers (id, host, pid, heartbeat_at)"
            " VALUES (%s, 'test', 1, now() - make_interval(secs => %s))"
            " ON CONFLICT (id) DO UPDATE SET heartbeat_at = excluded.heartbeat_at",
            self.id,
            ago,
        )

    def die(self) -> None:
        self.beat(ago=LEASE + 1)

    def write(self, *changes):
        [results] = self.write_units(changes)
        return results

    def write_units(self, *units):
        results, refusal = self._writer.write_from_thread(*units)
        if refusal is not None:
            raise refusal
        return results

    def accept(self, *ids: str, **more):
        units = [[accept(id, **more)] for id in ids]
        return [result for [result] in self.write_units(*units)]

    def start(self, id: str, fence: int, *tokens: str) -> list[Delivery]:
        deliveries = [delivery(id, token) for token in tokens or ("t1",)]
        [started] = self.write(StartSends(id, fence, deliveries))
        return begun(deliveries, started)

    def claim(self, limit: int = 100, ids=None):
        [works] = self.write(Claim(limit, ids))
        return works

    def release_orphans(self, limit: int = 100) -> int:
        [released] = self.write(ReleaseOrphans(limit))
        return released

    def suspects(self, limit: int = 100, *, again: bool = False):
        [works] = self.write(ClaimSuspects(limit, again))
        return works

    def take_over(self):
        """What a dead worker has left behind."""
        self.release_orphans()
        return self.suspects()

    def stop(self) -> None:
        self._writer.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


def accept(id: str, **more) -> Accept:
    return Accept(read_document(message(id, **more)), "queue", False, 3600)


def delivery(id: str, token: str) -> Delivery:
    return Delivery(id, "ada", token, "android", "Hi", "There", {}, "fcm")


@contextmanager
def a_worker(connector=None) -> Iterator[Hands]:
    hands = Hands(connector)
    try:
        yield hands
    finally:
        hands.stop()


@pytest.fixture
def one():
    with a_worker() as hands:
        yield hands


@pytest.fixture
def other():
    with a_worker() as hands:
        yield hands


def test_the_same_id_three_times_in_one_batch_starts_once(one):
    results = one.accept("n1", "n1", "n1")
    assert [result is not None for result in results].count(True) == 1
    assert query("SELECT count(*) FROM notifications") == [(1,)]


def test_an_id_that_another_worker_has_is_a_duplicate(one, other):
    assert one.accept("n1")[0]
    assert other.accept("n1") == [None]


def test_expiry_is_the_earlier_of_all_limits(one):
    one.write(accept("ttl", ttl=10))
    one.write(accept("at", expires_at="2020-01-01T00:00:00Z"))
    one.write(accept("both", ttl=10, expires_at="2999-01-01T00:00:00Z"))
    one.write(accept("default"))
    one.write(accept("far", expires_at="2999-01-01T00:00:00Z"))
    seconds = dict(
        query("SELECT notification_id, extract(epoch FROM expires_at - created_at)::float FROM notifications")
    )
    assert [round(seconds[id]) for id in ("ttl", "both", "default", "far")] == [10, 10, 3600, 28 * 86400]
    assert seconds["at"] < 0


class LosesAnswers:
    """Connects, and loses the connection at every n-th COMMIT: now after the commit, now before it, turn about."""

    def __init__(self, every: int) -> None:
        self._every = every
        self._commits = 0
        self.lost = 0

    def __call__(self):
        connection = connect(conninfo())
        loses = self

        class Transaction:
            def __enter__(self):
                self._inner = psycopg.Connection.transaction(connection)
                return self._inner.__enter__()

            def __exit__(self, *error):
                loses._commits += 1
                if error[0] is not None or loses._commits % loses._every:
                    return self._inner.__exit__(*error)
                loses.lost += 1
                if loses.lost % 2:
                    self._inner.__exit__(*error)
                connection.close()
                raise psycopg.OperationalError("the connection was lost")

        connection.transaction = Transaction  # type: ignore[method-assign, assignment]
        return connection


def test_lost_answers_to_commit_neither_lose_nor_repeat_anything(monkeypatch):
    monkeypatch.setattr("deliveries.ledger.writer.RECONNECT_WAIT", 0.0)
    connector = LosesAnswers(every=3)
    with a_worker(connector) as hands:
        for batch in range(20):
            ids = [f"n{batch}-{number}" for number in range(50)]
            accepted = hands.accept(*ids)
            assert all(accepted)
            new = [delivery(id, token) for id in ids for token in ("t1", "t2")]
            begin(hands, new)
            waits = [[Landed(d.id, d.send_token, Status.PENDING, error_code="X", wait=0.0)] for d in new]
            assert hands.write_units(*waits) == [[None]] * 100
            begin(hands, new)
    assert connector.lost > 20
    assert query("SELECT count(*), sum(unknown_count), max(attempts) FROM push_deliveries") == [(2000, 0, 1)]


def begin(hands: Hands, deliveries: list[Delivery]) -> None:
    """Claims sends of pairs of deliveries, a notification each; all of them are granted."""
    pairs = [deliveries[place : place + 2] for place in range(0, len(deliveries), 2)]
    granted = hands.write_units(*([StartSends(pair[0].notification_id, 1, pair)] for pair in pairs))
    assert all(begun(pair, started) == pair for pair, [started] in zip(pairs, granted, strict=True))


def begun(deliveries: list[Delivery], started: Started) -> list[Delivery]:
    """Those that the ledger has claimed; they take note of it."""
    claimed = [one for one in deliveries if one.send_token in started.ids]
    for one in claimed:
        one.begin(started.ids[one.send_token])
    return claimed


def test_a_bad_row_takes_no_other_down(one):
    good = [[accept(f"n{number}")] for number in range(200)]
    bad = [[Attempted("nobody", "send", "failed", "X", "no such notification")] for _ in range(3)]
    units = [*good[:50], bad[0], *good[50:120], bad[1], bad[2], *good[120:]]
    futures = []
    threads = [threading.Thread(target=lambda u=unit: futures.append(_outcome(one, u))) for unit in units]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(futures) == ["refused"] * 3 + ["written"] * 200
    assert query("SELECT count(*) FROM notifications") == [(200,)]


def test_a_locked_row_holds_only_up_what_needs_it_and_is_no_outage(caplog):
    with a_worker(partial(connect, conninfo(), 1.0)) as hands, psycopg.connect(conninfo()) as operator:
        hands.accept("locked")
        operator.execute("SELECT FROM notifications WHERE notification_id = 'locked' FOR UPDATE")
        units = [[accept(f"n{number}")] for number in range(20)]
        units.insert(10, [Settle("locked", 1, Status.SENT, 1)])
        settling = threading.Thread(target=hands.write_units, args=units)
        settling.start()
        eventually(lambda: query("SELECT count(*) FROM notifications") == [(21,)], what="the others")
        assert all(hands.accept("later"))
        assert settling.is_alive()
        assert hands._writer.state == "closed"
        assert caplog.text.count("55P03 canceling statement due to lock timeout") == 1
        operator.rollback()
        settling.join(10)
    assert query("SELECT status FROM notifications WHERE notification_id = 'locked'") == [("sent",)]


def test_a_passing_error_does_not_keep_a_worker_from_handing_back_its_rows(one, monkeypatch):
    monkeypatch.setattr("deliveries.ledger.writer.RECONNECT_WAIT", 0.1)
    with a_worker(LosesAnswers(every=2)) as hands:
        hands.accept("n1")
        assert hands._writer.finish(ReleaseWorker(), 10) == 0, "the answer to the first attempt was lost"
    assert query("SELECT worker_id, crashes FROM notifications") == [(None, 0)]


def test_a_last_change_that_finds_no_database_is_given_up_in_time():
    writer = Writer(partial(connect, "host=127.0.0.1 port=1"), Hand(uuid4(), LEASE))
    thread = threading.Thread(target=writer.run)
    thread.start()
    assert writer.finish(ReleaseWorker(), 1) is None
    thread.join(10)
    assert not thread.is_alive()


def _outcome(hands: Hands, unit) -> str:
    try:
        hands.write(*unit)
    except psycopg.errors.ForeignKeyViolation:
        return "refused"
    return "written"


def test_sixteen_workers_claim_a_thousand_rows_once_each(one):
    one.accept(*(f"n{number}" for number in range(1000)))
    query("UPDATE notifications SET worker_id = NULL, next_attempt_at = now()")
    claimed: list[str] = []

    def claim() -> None:
        with a_worker() as hands:
            while works := hands.claim(limit=37):
                claimed.extend(work.id for work in works)
        connections.close_all()

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == len(set(claimed)) == 1000
    assert query("SELECT DISTINCT fence FROM notifications") == [(2,)]


def test_high_priority_is_claimed_first(one):
    one.accept("slow")
    one.write(Accept(read_document(message("urgent")), "queue", True, 3600))
    query("UPDATE notifications SET worker_id = NULL, next_attempt_at = now() - interval '1 s'")
    assert [work.id for work in one.claim(limit=1)] == ["urgent"]


def test_a_row_that_is_not_due_is_not_claimed(one):
    one.accept("n1")
    one.write(Settle("n1", 1, Status.PENDING, 1, "X", "later", wait=60.0))
    assert one.claim() == []
    assert one.claim(ids=["n1"]) == []


def test_a_living_workers_rows_are_nobody_elses(one, other):
    one.accept("n1")
    assert other.release_orphans() == 0
    assert other.claim() == other.suspects() == []


def test_a_dead_workers_rows_are_taken_over_and_what_it_was_sending_is_unknown(one, other):
    one.accept("n1", "n2")
    one.start("n1", 1, "t1", "t2")
    one.die()
    works = {work.id: work for work in other.take_over()}
    assert works.keys() == {"n1", "n2"}
    assert works["n1"].fence == 3
    assert works["n1"].status == Status.PENDING
    assert [d.status for d in works["n1"].deliveries] == [Status.PENDING, Status.PENDING]
    assert query("SELECT sum(unknown_count) FROM push_deliveries") == [(2,)]
    assert counted("push_attempts", "stage", "outcome") == {
        ("worker", "unknown"): 2,
        ("worker", "retry"): 1,
    }
    assert query("SELECT notification_id FROM push_attempts WHERE error_code = 'worker_stopped'") == [("n2",)]


def test_at_most_once_ends_what_a_dead_worker_was_sending(one, other):
    one.accept("n1", guarantee="at_most_once")
    one.start("n1", 1)
    one.die()
    [work] = other.take_over()
    assert [(d.status, d.error_code) for d in work.deliveries] == [(Status.FAILED, "unknown_outcome")]


def test_a_late_answer_of_a_lost_owner_changes_nothing(one, other):
    one.accept("n1")
    [sent] = one.start("n1", 1)
    one.die()
    [work] = other.take_over()
    one.write(Landed(sent.id, sent.send_token, Status.SENT, "late"))
    [settled] = one.write(Settle("n1", 1, Status.SENT, 0))
    assert settled is None
    one.write(Reported("n1", 1))
    one.write(Abandon("n1", 1, Status.EXPIRED, "expired", ""))
    assert query("SELECT status, provider_message_id FROM push_deliveries") == [("pending", "")]
    assert query("SELECT status, reported_at, fence FROM notifications") == [("pending", None, work.fence)]


def test_a_worker_whose_heartbeat_is_late_starts_no_sends_and_claims_nothing(one):
    one.accept("n1", "n2")
    query("UPDATE notifications SET worker_id = NULL, next_attempt_at = now() WHERE notification_id = 'n2'")
    one.die()
    assert one.start("n1", 1) == []
    assert one.claim() == []
    assert query("SELECT count(*) FROM push_deliveries") == [(0,)]


def test_a_lost_owner_starts_no_sends(one, other):
    one.accept("n1")
    one.die()
    other.take_over()
    one.beat()
    assert one.start("n1", 1) == []


def test_an_end_is_an_end(one):
    one.accept("n1")
    assert one.write(Settle("n1", 1, Status.FAILED, 0, "X", "why")) == [""]
    assert one.write(Settle("n1", 1, Status.SENT, 0)) == [None]
    assert one.start("n1", 1) == []
    assert query("SELECT status FROM notifications") == [("failed",)]


def test_a_cancel_between_a_claim_and_its_repeat_leaves_nothing_sending(one):
    one.accept("n1")
    claim = StartSends("n1", 1, [delivery("n1", "t1")])
    one.write(claim)
    direct.write([Cancel("n1", Audited("user ada", "enough"))])
    [started] = one.write(claim)
    assert (started.ids, started.cancel_reason) == ({}, "Cancelled: enough")
    one.write(Abandon("n1", 1, Status.CANCELLED, "cancelled", "enough"))
    assert query("SELECT status, unknown_count FROM push_deliveries") == [("cancelled", 0)]


@pytest.mark.parametrize("end", [(Status.FAILED, 3, "exhausted", "why"), (Status.CANCELLED, 0, "cancelled", "why")])
def test_an_end_that_a_cancel_met_is_told_again_when_the_answer_was_lost(one, end):
    one.accept("n1")
    direct.write([Cancel("n1", Audited("user ada", "enough"))])
    settle = Settle("n1", 1, *end)
    assert one.write(settle) == one.write(settle) == ["Cancelled: enough"]


def test_a_wait_never_reaches_beyond_the_expiry(one):
    one.write(accept("n1", ttl=10))
    one.write(Settle("n1", 1, Status.PENDING, 1, "X", "later", wait=3600.0))
    assert query("SELECT next_attempt_at = expires_at FROM notifications") == [(True,)]


def test_a_failed_report_is_due_again_and_a_good_one_is_not(one):
    one.accept("n1", "n2", "n3")
    for id in ("n1", "n2", "n3"):
        one.write(Settle(id, 1, Status.SENT, 0))
    one.write(Reported("n1", 1))
    one.write(Reported("n2", 1, "down", wait=0.0))
    one.write(Reported("n3", 1, "400: no", refused=True))
    assert [work.id for work in one.claim()] == ["n2"]
    reports = {
        row[0]: row[1:]
        for row in query(
            "SELECT notification_id, reported_at IS NOT NULL, report_refused_at IS NOT NULL FROM notifications"
        )
    }
    assert reports == {"n1": (True, False), "n2": (False, False), "n3": (False, True)}


@pytest.mark.parametrize(("answer", "known"), [({"wait": 0.0}, None), ({"refused": True}, Status.FAILED)])
def test_after_a_report_without_an_answer_nobody_knows_what_the_gateway_has_heard(one, answer, known):
    one.accept("n1")
    one.write(Settle("n1", 1, Status.FAILED, 0, "X", "why"))
    one.write(Reported("n1", 1))
    again(one)
    one.write(Settle("n1", 3, Status.SKIPPED, 0, "opted_out", "why"))
    one.write(Reported("n1", 3, "an answer", **answer))
    assert again(one).reported_status == known


def again(hands: Hands) -> Work:
    """Has n1 sent again, not by the same press as before, and takes it up."""
    query("UPDATE notifications SET resent_at = now() - interval '1 minute'")
    assert direct.write([Resend("n1", Audited("user ada"))]) == [Resent("resent")]
    [work] = hands.claim()
    return work


def test_rows_that_a_living_worker_forgot_are_put_down(one):
    one.accept("held", "forgotten", "young")
    one.start("forgotten", 1)
    query("UPDATE notifications SET updated_at = now() - interval '1 minute' WHERE notification_id <> 'young'")
    assert one.write(Forgotten(frozenset({"held"}))) == [1]
    assert [work.id for work in one.claim()] == ["forgotten"]
    assert query("SELECT unknown_count FROM push_deliveries") == [(1,)]
    assert query("SELECT DISTINCT crashes FROM notifications") == [(0,)]


def test_what_was_taken_up_after_the_look_at_what_is_held_is_not_put_down(one):
    """The database was away in between, for longer than a lease."""
    one.accept("young")
    query("UPDATE notifications SET updated_at = now() - interval '61 s'")
    assert one.write(Forgotten(frozenset(), time.monotonic() - 30)) == [0]
    assert one.write(Forgotten(frozenset())) == [1]


def test_a_worker_that_leaves_hands_its_rows_back_and_nothing_is_suspect(one, other):
    one.accept("n1", "n2")
    assert one.write(ReleaseWorker()) == [2]
    assert {(work.id, work.crashes) for work in other.claim()} == {("n1", 0), ("n2", 0)}
    assert counted("push_attempts", "stage") == {}


def test_orphans_are_put_down_once_though_the_answer_was_lost(one, monkeypatch):
    monkeypatch.setattr("deliveries.ledger.writer.RECONNECT_WAIT", 0.0)
    one.accept("n1", "n2", "n3")
    one.die()
    with a_worker(loses := LosesAnswers(every=2)) as other:
        assert other.release_orphans(limit=2) == 2
        other.release_orphans()
        assert loses.lost == 1
    assert query("SELECT DISTINCT crashes, fence, worker_id, status FROM notifications") == [(1, 2, None, "pending")]
    assert counted("push_attempts", "notification_id") == {"n1": 1, "n2": 1, "n3": 1}


def test_the_count_of_crashes_has_an_end(one, other):
    one.accept("n1")
    query("UPDATE notifications SET crashes = 32767")
    one.die()
    assert other.release_orphans() == 1
    assert query("SELECT crashes FROM notifications") == [(1000,)]


def test_every_kind_of_change_has_a_rank_of_its_own():
    """Two kinds of one rank would be mixed up by the writer, and applied as the first of them."""
    for module in pkgutil.iter_modules(deliveries.ledger.__path__, "deliveries.ledger."):
        importlib.import_module(module.name)
    modules = [module for name, module in sys.modules.items() if name.startswith("deliveries.ledger.")]
    kinds = {kind for module in modules for kind in vars(module).values() if isinstance(kind, type)}
    ranks = Counter(kind.rank for kind in kinds if "rank" in vars(kind))
    assert len(ranks) > 20
    assert {rank: count for rank, count in ranks.items() if count > 1} == {}


def test_what_is_urgent_is_put_down_and_carried_first(one, other):
    one.accept("n1", "n2")
    one.write(Accept(read_document(message("urgent")), "queue", True, 3600))
    one.die()
    other.release_orphans(limit=1)
    assert [work.id for work in other.suspects()] == ["urgent"]


def test_suspects_are_left_to_the_quarantine(one):
    due("n1", crashes=1)
    assert one.claim() == one.claim(ids=["n1"]) == []
    assert [(work.id, work.crashes) for work in one.suspects()] == [("n1", 1)]


def test_with_which_a_worker_stopped_once_and_again_are_claimed_apart(one):
    due("once", crashes=1)
    due("twice", crashes=2)
    due("thrice", crashes=3)
    assert [work.id for work in one.suspects()] == ["once"]
    assert {work.id for work in one.suspects(again=True)} == {"twice", "thrice"}


def test_no_more_suspects_are_claimed_than_there_are_places(one):
    due("n1", "n2", "n3", crashes=1)
    assert len(one.suspects(limit=2)) == 2


def test_a_worker_whose_heartbeat_is_late_puts_nothing_down_and_carries_no_suspect(one, other):
    one.accept("n1")
    due("n2", crashes=1)
    one.die()
    other.die()
    assert (other.release_orphans(), other.suspects()) == (0, [])


@pytest.mark.parametrize(
    "landing",
    [
        Settle("n1", 2, Status.PENDING, 1, "X", "later", wait=9.0),
        Settle("n1", 2, Status.FAILED, 1, "X", "why"),
        Reported("n1", 2),
        Reported("n1", 2, "down", wait=9.0),
    ],
)
def test_whatever_gets_through_a_round_is_no_suspect_any_more(one, landing):
    due("n1", crashes=2)
    one.suspects(again=True)
    one.write(landing)
    assert query("SELECT crashes FROM notifications") == [(0,)]


def test_what_is_resent_is_no_suspect_any_more(one):
    due("n1", crashes=2)
    query("UPDATE notifications SET status = 'failed', ended_at = now()")
    assert direct.write([Resend("n1", Audited("user ada", "mended"))]) == [Resent("resent")]
    assert query("SELECT status, crashes FROM notifications") == [("pending", 0)]


def due(*ids: str, crashes: int) -> None:
    """Notifications as they stand when their worker has stopped so often."""
    with a_worker() as hands:
        hands.accept(*ids)
    query(
        "UPDATE notifications SET worker_id = NULL, next_attempt_at = now(), crashes = %s"
        " WHERE notification_id = ANY(%s)",
        crashes,
        list(ids),
    )


def test_the_same_dead_letter_again_is_counted(one):
    letter = DeadLettered(b"x" * 100_000, "invalid_message", ["not JSON", "too large"], None)
    one.write(letter)
    one.write(letter, letter)
    assert query("SELECT count, size, length(body), reasons->>1 FROM dead_letters") == [
        (3, 100_000, 65536, "too large")
    ]


def test_a_writer_that_gets_answers_from_a_distant_database_counts_as_moving(monkeypatch):
    """Each answer takes its time: more together, at least, than a part may hang."""
    wait, longest = psycopg.Connection.wait, []
    with a_worker() as hands:

        def distant(connection, *arguments, **more):
            time.sleep(0.01)
            if threading.current_thread() is hands._thread:
                longest.append(time.monotonic() - hands._writer.busy_since)
            return wait(connection, *arguments, **more)

        monkeypatch.setattr("psycopg.Connection.wait", distant)
        begun = time.monotonic()
        hands.write(*(Claim(1) for _ in range(20)), *(letter(b"%d" % number) for number in range(400)))
        took = time.monotonic() - begun
    assert 400 > len(longest) > 20, "claims one by one, letters all at once"
    assert max(longest) < took / 4


def letter(body: bytes) -> DeadLettered:
    return DeadLettered(body, "invalid_message", ["why"], None)


def test_a_dead_letter_of_a_notification_that_was_lost_is_not_kept(one, other):
    one.accept("n1")
    one.die()
    other.take_over()
    letter = DeadLettered(b"{}", "exhausted", ["why"], "n1", fence=1)
    assert one.write(letter, Settle("n1", 1, Status.FAILED, 3, "exhausted", "why")) == [None, None]
    assert query("SELECT count(*) FROM dead_letters") == [(0,)]


def test_the_gateway_is_owed_word_of_an_id_once(one):
    one.accept("n1")
    for body, id in ((b"1", "n1"), (b"2", "n2"), (b"3", "n2"), (b"4", None)):
        one.write(DeadLettered(body, "invalid_message", ["why"], id, report_owed=id is not None))
    owed = query("SELECT convert_from(body, 'UTF8') FROM dead_letters WHERE report_due_at IS NOT NULL")
    assert owed == [("2",)]
