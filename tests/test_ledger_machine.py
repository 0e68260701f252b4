"""Any interleaving of workers, dispatchers, operators, time and lost answers keeps the ledger's promises.

Transactions are the steps. The examples are always the same ones; `--hypothesis-profile chaos` draws many others.
One that fails is printed as the shortest list of calls that fails in the same way, with a line that makes it again
(`@reproduce_failure`), and is the first that the next run with that profile tries.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from deliveries import brakes, pipeline, sending, work
from deliveries.ledger import Accept, Lift, claiming, releasing
from deliveries.ledger.audit import Audited
from deliveries.ledger.cancelling import Cancel
from deliveries.ledger.connection import conninfo
from deliveries.ledger.resending import Resend
from deliveries.retries import RetryPolicy
from tests.ledger_world import LEASE, REPORTS, SENDS, ModelWorker, OneClock, World, open_ledger, request

CHAOS = settings.get_current_profile_name() == "chaos"
ALWAYS_THE_SAME = settings(
    max_examples=150,
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
USERS = ("one", "two", "three")
WHO = Audited("user ada", "because")


#: Whatever may happen, as the names of the machine's methods and what they are given.
EVENTS: list[st.SearchStrategy[tuple[str, dict[str, Any]]]] = []

Happening = TypeVar("Happening", bound=Callable[..., None])


def happens(often: int, **given: st.SearchStrategy[Any]) -> Callable[[Happening], Happening]:
    """A method as one of the events, so many times as likely as others."""

    def listed(method: Happening) -> Happening:
        EVENTS.extend([st.tuples(st.just(method.__name__), st.fixed_dictionaries(given))] * often)
        return method

    return listed


class LedgerMachine(RuleBasedStateMachine):
    """What may happen, in any order. `pick` and `which` choose among those of whom it can be said.

    There is one rule only, for hypothesis leaves half of the rules out of most examples: here, that would be the work.
    """

    def __init__(self, clock: OneClock) -> None:
        super().__init__()
        self.world = World(clock)
        self.ids: list[str] = []

    @initialize(
        messages=st.lists(st.tuples(st.sampled_from(USERS), st.booleans()), min_size=1, max_size=3),
        attempts=st.integers(1, 2),
    )
    def a_day_begins(self, messages: list[tuple[str, bool]], attempts: int) -> None:
        """Two workers start, which try so many times, and one of them has work already."""
        self.world.retries = RetryPolicy.of(attempts=attempts, min_wait=2.0, max_wait=10.0)
        self.world.start_worker()
        self.world.start_worker()
        for user, at_most_once in messages:
            self.messages_come(0, user, at_most_once, ttl=3000, repeats=0, known=False)
        self.world.workers[0].do_all()

    @happens(4, pick=PICK, units=st.integers(1, 5), answer=st.sampled_from(["comes", "comes later", "is lost"]))
    def a_writer_goes_on(self, pick: int, units: int, answer: str) -> None:
        """It commits the first units that wait; the answer to that arrives, or is lost, at once or another time."""
        busy = self.those("waiting") + self.those("unanswered")
        if not busy:
            return
        worker = busy[pick % len(busy)]
        if not worker.unanswered:
            worker.commit(min(units, worker.waiting))
        if answer == "is lost" and worker.reachable:
            worker.commit_again()
        if answer != "comes later":
            worker.hear()

    @happens(
        1,
        pick=PICK,
        user=st.sampled_from(USERS),
        at_most_once=st.booleans(),
        ttl=st.sampled_from([3000, 90]),
        repeats=st.integers(0, 1),
        known=st.booleans(),
    )
    def messages_come(self, pick: int, user: str, at_most_once: bool, ttl: int, repeats: int, known: bool) -> None:
        if len(self.ids) == MOST_NOTIFICATIONS:
            return
        new = f"n{len(self.ids) + 1}"
        asked = [request(new, user, at_most_once=at_most_once, ttl=ttl)] * (1 + repeats)
        if known and self.ids:
            asked.append(request(self.ids[-1], user, at_most_once=False, ttl=3000))
        self.ids.append(new)
        self.reachable(pick).receive([Accept(one, "queue", high_priority=pick == 1, ttl=3600) for one in asked])

    @happens(3, pick=PICK, outcome=st.sampled_from(list(SENDS)), commits=st.booleans())
    def the_provider_answers(self, pick: int, outcome: str, commits: bool) -> None:
        if calls := self.world.sends.open:
            call = calls[pick % len(calls)]
            self.world.answer_send(call, outcome)
            if commits and call.worker.waiting:
                call.worker.do_all()

    @happens(2, pick=PICK, outcome=st.sampled_from(list(REPORTS)), commits=st.booleans())
    def the_gateway_answers(self, pick: int, outcome: str, commits: bool) -> None:
        if calls := self.world.reports.open:
            call = calls[pick % len(calls)]
            self.world.answer_report(call, outcome)
            if commits and call.worker.waiting:
                call.worker.do_all()

    @happens(2, pick=PICK, which=PICK, woken_up=st.booleans(), to_the_end=st.booleans())
    def a_dispatcher_claims(self, pick: int, which: int, woken_up: bool, to_the_end: bool) -> None:
        worker = self.reachable(pick)
        if woken_up:
            worker.wake_up([self.id(which)])
        else:
            worker.tick()
        while to_the_end and worker.waiting:
            worker.do_all()

    @happens(2, pick=PICK, steps=st.integers(1, 9))
    def all_goes_well_for_a_while(self, pick: int, steps: int) -> None:
        self.carry_on(self.reachable(pick), steps)

    @happens(1, pick=PICK, how=st.sampled_from(["killed", "leaves", "forgets", "starts"]), arrived=st.booleans())
    def a_worker_goes_or_comes(self, pick: int, how: str, arrived: bool) -> None:
        """Or one of its coroutines ends without a word. `arrived`: whatever it had sent."""
        worker = self.world.workers[pick % len(self.world.workers)]
        if how == "killed":
            worker.die(arrived=arrived)
        elif how == "leaves":
            worker.leave(arrived=arrived)
        elif how == "forgets" and worker.flights:
            worker.lose(pick)
        if not self.world.workers or (how == "starts" and len(self.world.workers) < MOST_WORKERS):
            self.world.start_worker()

    @happens(2, pick=PICK, lost=st.booleans(), beats=st.booleans())
    def a_worker_is_cut_off_or_comes_back(self, pick: int, lost: bool, beats: bool) -> None:
        """For so long that its rows are `lost` to others, perhaps; what it still has to write comes late."""
        worker = self.world.workers[pick % len(self.world.workers)]
        worker.reachable = not worker.reachable
        if worker.reachable and beats:
            worker.heart.beat()
        if not worker.reachable and lost:
            self.world.pass_time(LEASE + 1)
            for other in self.those("reachable"):
                other.tick()
                while other.waiting:
                    other.do_all()

    @happens(
        1,
        seconds=st.sampled_from([11.7, 31.3, LEASE + 1, 400.0, 4000.0, 90_000.0]),
        user=st.sampled_from(USERS),
        devices=st.sampled_from(["", "a", "b", "ab", "abc", "d"]),
        down=st.booleans(),
    )
    def time_passes(self, seconds: float, user: str, devices: str, down: bool) -> None:
        """And the user service changes."""
        self.world.pass_time(seconds)
        self.world.users[user] = list(devices) or self.world.users[user]
        self.world.users_are_down = down

    @happens(
        2,
        pick=PICK,
        force=st.booleans(),
        some=st.booleans(),
        seen=st.sampled_from([None, 0, 1]),
        twice=st.booleans(),
    )
    def an_operator_resends(self, pick: int, force: bool, some: bool, seen: int | None, twice: bool) -> None:
        id = self.id(pick)
        ids = sorted(row.id for row in self.world.watch.rows.deliveries.values() if row.notification_id == id)
        chosen = tuple(ids[pick % 2 :: 2]) if some else None
        for _ in range(1 + twice):
            self.world.by_operator(Resend(id, WHO, chosen, seen, force))

    @happens(1, pick=PICK)
    def an_operator_cancels(self, pick: int) -> None:
        self.world.by_operator(Cancel(self.id(pick), WHO))

    @happens(1, pick=PICK)
    def an_operator_lifts_a_brake(self, pick: int) -> None:
        if keys := sorted(self.world.watch.rows.brakes):
            key = keys[pick % len(keys)]
            self.world.by_operator(Lift(key, by=WHO))

    @rule(event=st.one_of(EVENTS))
    def something_happens(self, event: tuple[str, dict[str, Any]]) -> None:
        name, given = event
        getattr(self, name)(**given)

    def those(self, what: str) -> list[ModelWorker]:
        """The workers of whom something is true."""
        return [worker for worker in self.world.workers if getattr(worker, what)]

    def reachable(self, pick: int) -> ModelWorker:
        """A worker that reaches the database; where none does, one comes back."""
        found = self.those("reachable") or self.world.workers[:1]
        worker = found[pick % len(found)]
        worker.reachable = True
        return worker

    def id(self, pick: int) -> str:
        return self.ids[-1 - pick % len(self.ids)]

    @invariant()
    def the_promises_hold(self) -> None:
        self.world.watch.check()

    def carry_on(self, worker: ModelWorker, steps: int | None = None) -> None:
        """Takes so many steps of this worker, or all that there are, with good answers only."""
        while steps != 0 and self.goes_on_well(worker):
            steps = None if steps is None else steps - 1

    def goes_on_well(self, worker: ModelWorker) -> bool:
        sends = [call for call in self.world.sends.open if call.worker is worker]
        reports = [call for call in self.world.reports.open if call.worker is worker]
        if worker.unanswered:
            worker.hear()
        elif worker.waiting:
            worker.do_all()
        elif sends:
            self.world.answer_send(sends[0], "accepted")
        elif reports:
            self.world.answer_report(reports[0], "accepted")
        else:
            return False
        return True

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
            self.carry_on(last)
            self.world.watch.check()
            if all(row.reported_at or row.report_refused_at for row in self.world.watch.rows.notifications.values()):
                break
        self.world.watch.check_end()


@pytest.fixture
def clock(transactional_db: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[OneClock]:
    """The clock of a ledger of the machine's own, and of the modules that look at one."""
    connection = open_ledger(conninfo())
    clock = OneClock(connection)
    for module in (brakes, pipeline, sending, work, claiming, releasing):
        monkeypatch.setattr(module, "time", clock)
    yield clock
    connection.execute("DROP SCHEMA machine CASCADE")
    connection.close()


@pytest.mark.timeout(0 if CHAOS else 600)
def test_any_interleaving_keeps_the_promises(clock: OneClock) -> None:
    run_state_machine_as_test(lambda: LedgerMachine(clock), settings=settings() if CHAOS else ALWAYS_THE_SAME)
