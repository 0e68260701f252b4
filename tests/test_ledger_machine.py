"""Any interleaving of workers, dispatchers, operators, time and lost answers keeps the ledger's promises.

Transactions are the steps. The examples are always the same ones; `--hypothesis-profile chaos` draws many others.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from deliveries import pipeline, sending, work
from deliveries.ledger import Accept, claiming
from deliveries.ledger.audit import Audited
from deliveries.ledger.cancelling import Cancel
from deliveries.ledger.connection import conninfo
from deliveries.ledger.resending import Resend
from tests.ledger_world import LEASE, REPORTS, SENDS, ModelWorker, OneClock, World, open_ledger, request

CHAOS = settings.get_current_profile_name() == "chaos"
ALWAYS_THE_SAME = settings(
    max_examples=60,
    stateful_step_count=50,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
MOST_WORKERS = 3
MOST_NOTIFICATIONS = 6
#: Rounds of two minutes within which one worker alone ends everything: more than all attempts and expiries need.
ROUNDS = 60

PICK = st.integers(0, 5)
WHO = Audited("user ada", "because")


class LedgerMachine(RuleBasedStateMachine):
    """What may happen, in any order."""

    def __init__(self, clock: OneClock) -> None:
        super().__init__()
        self.world = World(clock)
        self.accepted: list[str] = []
        self.world.start_worker()
        self.world.start_worker()

    def worker(self, pick: int) -> ModelWorker:
        return self.world.workers[pick % len(self.world.workers)]

    def some(self, pick: int, what: str) -> ModelWorker:
        """One of the workers of whom something is true."""
        found = [worker for worker in self.world.workers if getattr(worker, what)]
        return found[pick % len(found)]

    def id(self, pick: int) -> str:
        return self.accepted[-1 - pick % len(self.accepted)]

    def any(self, what: str) -> bool:
        return any(getattr(worker, what) for worker in self.world.workers)

    @precondition(lambda self: len(self.world.workers) < MOST_WORKERS)
    @rule()
    def a_worker_starts(self) -> None:
        self.world.start_worker()

    @precondition(lambda self: self.any("reachable") and len(self.accepted) < MOST_NOTIFICATIONS)
    @rule(
        pick=PICK,
        user=st.sampled_from(["one", "two", "three"]),
        at_most_once=st.booleans(),
        ttl=st.sampled_from([3000, 90]),
        repeats=st.integers(0, 2),
        known=st.booleans(),
        at_once=st.booleans(),
    )
    def messages_come(
        self, pick: int, user: str, at_most_once: bool, ttl: int, repeats: int, known: bool, at_once: bool
    ) -> None:
        ids = [f"n{len(self.accepted) + 1}"] * (1 + repeats) + self.accepted[-1:] * known
        if ids[0] not in self.accepted:
            self.accepted.append(ids[0])
        asked = [request(id, user, at_most_once=at_most_once, ttl=ttl) for id in ids]
        worker = self.some(pick, "reachable")
        worker.receive([Accept(one, "queue", pick == 1, 3600) for one in asked])
        if at_once and worker.waiting:
            worker.do_all()

    @precondition(lambda self: self.any("waiting"))
    @rule(pick=PICK, units=st.integers(1, 4))
    def a_writer_commits(self, pick: int, units: int) -> None:
        worker = self.some(pick, "waiting")
        worker.commit(min(units, worker.waiting))

    @precondition(lambda self: self.any("waiting"))
    @rule(pick=PICK)
    def a_writer_commits_all_and_answers(self, pick: int) -> None:
        self.some(pick, "waiting").do_all()

    @precondition(lambda self: self.any("unanswered"))
    @rule(pick=PICK)
    def the_answer_to_a_commit_arrives(self, pick: int) -> None:
        self.some(pick, "unanswered").hear()

    @precondition(lambda self: any(w.unanswered and w.reachable for w in self.world.workers))
    @rule(pick=PICK)
    def the_answer_to_a_commit_is_lost(self, pick: int) -> None:
        lost = [worker for worker in self.world.workers if worker.unanswered and worker.reachable]
        lost[pick % len(lost)].commit_again()

    @precondition(lambda self: self.any("reachable"))
    @rule(pick=PICK, at_once=st.booleans())
    def a_dispatcher_ticks(self, pick: int, at_once: bool) -> None:
        worker = self.some(pick, "reachable")
        worker.tick()
        while at_once and worker.waiting:
            worker.do_all()

    @precondition(lambda self: self.any("reachable") and self.accepted)
    @rule(pick=PICK, which=PICK)
    def a_worker_is_woken_up(self, pick: int, which: int) -> None:
        self.some(pick, "reachable").wake_up([self.id(which)])

    @precondition(lambda self: self.world.sends.open)
    @rule(pick=PICK, outcome=st.sampled_from(sorted(SENDS)))
    def the_provider_answers(self, pick: int, outcome: str) -> None:
        calls = self.world.sends.open
        self.world.answer_send(calls[pick % len(calls)], outcome)

    @precondition(lambda self: self.world.reports.open)
    @rule(pick=PICK, outcome=st.sampled_from(sorted(REPORTS)))
    def the_gateway_answers(self, pick: int, outcome: str) -> None:
        calls = self.world.reports.open
        self.world.answer_report(calls[pick % len(calls)], outcome)

    @precondition(lambda self: self.any("reachable"))
    @rule(pick=PICK, reports=st.booleans())
    def all_goes_well_for_a_while(self, pick: int, reports: bool) -> None:
        self.carry_on(self.some(pick, "reachable"), reports=reports)

    @precondition(lambda self: self.world.workers)
    @rule(pick=PICK, arrived=st.booleans())
    def a_worker_is_killed(self, pick: int, arrived: bool) -> None:
        self.worker(pick).die(arrived=arrived)

    @precondition(lambda self: self.any("reachable"))
    @rule(pick=PICK, arrived=st.booleans())
    def a_worker_leaves(self, pick: int, arrived: bool) -> None:
        self.some(pick, "reachable").leave(arrived=arrived)

    @precondition(lambda self: self.any("reachable"))
    @rule(pick=PICK, seconds=st.sampled_from([0.0, LEASE + 1, 2 * LEASE]))
    def a_worker_is_cut_off(self, pick: int, seconds: float) -> None:
        self.some(pick, "reachable").reachable = False
        if seconds:
            self.world.pass_time(seconds)

    @precondition(lambda self: not all(worker.reachable for worker in self.world.workers))
    @rule(pick=PICK, beats=st.booleans())
    def a_worker_comes_back(self, pick: int, beats: bool) -> None:
        away = [worker for worker in self.world.workers if not worker.reachable]
        worker = away[pick % len(away)]
        worker.reachable = True
        if beats:
            worker.heart.beat()

    @precondition(lambda self: any(len(worker.flights) for worker in self.world.workers))
    @rule(pick=PICK, which=PICK)
    def a_coroutine_ends_without_a_word(self, pick: int, which: int) -> None:
        busy = [worker for worker in self.world.workers if len(worker.flights)]
        busy[pick % len(busy)].lose(which)

    @rule(seconds=st.sampled_from([3.1, 11.7, 31.3, LEASE + 1, 400.0, 4000.0]))
    def time_passes(self, seconds: float) -> None:
        self.world.pass_time(seconds)

    @rule(user=st.sampled_from(["one", "two", "three"]), devices=st.sampled_from(["a", "b", "ab", "abc", "d"]))
    def a_user_changes_devices(self, user: str, devices: str) -> None:
        self.world.users[user] = list(devices)

    @rule()
    def the_user_service_goes_or_comes(self) -> None:
        self.world.users_are_down = not self.world.users_are_down

    @precondition(lambda self: self.accepted)
    @rule(pick=PICK, force=st.booleans(), some=st.booleans(), seen=st.sampled_from([None, 0, 1]))
    def an_operator_resends(self, pick: int, force: bool, some: bool, seen: int | None) -> None:
        id = self.id(pick)
        ids = sorted(row.id for row in self.world.watch.rows.deliveries.values() if row.notification_id == id)
        chosen = tuple(ids[pick % 2 :: 2]) if some else None
        self.world.by_operator(Resend(id, WHO, chosen, seen, force))

    @precondition(lambda self: self.accepted)
    @rule(pick=PICK)
    def an_operator_cancels(self, pick: int) -> None:
        self.world.by_operator(Cancel(self.id(pick), WHO))

    @invariant()
    def the_promises_hold(self) -> None:
        self.world.watch.check()

    def carry_on(self, worker: ModelWorker, *, reports: bool) -> None:
        """Until this worker has nothing more to do, with good answers only."""
        while worker.unanswered or worker.waiting or self.answer_well(worker, reports=reports):
            if worker.unanswered:
                worker.hear()
            elif worker.waiting:
                worker.do_all()

    def answer_well(self, worker: ModelWorker, *, reports: bool) -> bool:
        for call in [call for call in self.world.sends.open if call.worker is worker]:
            self.world.answer_send(call, "accepted")
            return True
        for call in [call for call in self.world.reports.open if call.worker is worker and reports]:
            self.world.answer_report(call, "accepted")
            return True
        return False

    def teardown(self) -> None:
        """Once all workers are gone and the neighbours are well, one worker brings everything to its end."""
        try:
            self.end()
        finally:
            self.world.close()

    def end(self) -> None:
        for worker in list(self.world.workers):
            worker.die(arrived=True)
        self.world.users_are_down = False
        self.world.pass_time(LEASE + 1)
        last = self.world.start_worker()
        for _ in range(ROUNDS):
            self.world.pass_time(2 * LEASE)
            last.tick()
            self.carry_on(last, reports=True)
            self.world.watch.check()
            if all(row.reported_at or row.report_refused_at for row in self.world.watch.rows.notifications.values()):
                break
        self.world.watch.check_end()


@pytest.fixture
def clock(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneClock]:
    """The clock of a ledger of the machine's own, and of the modules that look at one."""
    connection = open_ledger(conninfo())
    clock = OneClock(connection)
    for module in (pipeline, sending, work, claiming):
        monkeypatch.setattr(module, "time", clock)
    yield clock
    connection.execute("DROP SCHEMA machine CASCADE")
    connection.close()


@pytest.mark.timeout(0 if CHAOS else 120)
def test_any_interleaving_keeps_the_promises(clock: OneClock) -> None:
    run_state_machine_as_test(lambda: LedgerMachine(clock), settings=settings() if CHAOS else ALWAYS_THE_SAME)
