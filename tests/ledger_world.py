"""A small world around the ledger: a few workers with their real pipelines, in which nothing moves until it is told.

Real are the database, the writer's transactions, the pipeline with sender and reporter, the dispatcher and its claims.
Pretended are what lies beyond (provider, gateway, user service), whose answers wait in a book, and time: the database,
the loop and the workers go by one clock, so that a lease, a wait or an hour passes at once, and always in the same way.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import psycopg

from deliveries.brakes import Brakes
from deliveries.contract import PushRequest
from deliveries.dispatcher import Dispatcher
from deliveries.flights import Flights
from deliveries.heartbeat import BEAT, FORGET
from deliveries.ledger import Accept, ReleaseWorker, Writer
from deliveries.ledger.change import Change, Hand
from deliveries.ledger.connection import connect
from deliveries.ledger.direct import NOBODY
from deliveries.ledger.writer import Unit, Waiter, _settle_all
from deliveries.lifting import BrakeWatch
from deliveries.models import ENDS
from deliveries.neighbours.profiles import SPEC
from deliveries.neighbours.upstreams import Refusal
from deliveries.outcomes import TryAgain
from deliveries.pipeline import Pipeline
from deliveries.places import Places
from deliveries.prune_guard import PruneGuard
from deliveries.quarantine import Quarantine
from deliveries.recipients import Recipients
from deliveries.rendering import Renderer
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.sending import Sender
from deliveries.starting import Starter
from deliveries.token_fates import TokenFates
from deliveries.work import Work
from providers.base import PushMessage, SendReceipt, Target
from providers.errors import CredentialTrouble, DeadToken, Rejected, ServerTrouble, Throttled, UnknownOutcome
from providers.registry import Carriers
from tests.clocks import Clock
from tests.ledger_watch import Watch

LEASE = 60.0
WEEK = 7 * 24 * 3600.0
TABLES = (
    "notifications",
    "push_deliveries",
    "push_attempts",
    "dead_letters",
    "dead_tokens",
    "workers",
    "audit_log",
    "brakes",
)

#: A gateway that is told every ending by its own word hears of every change.
PROFILE = replace(SPEC, words={end: str(end.value) for end in ENDS})

#: What may come of a send: whether the provider takes it, and what the worker hears.
SENDS: dict[str, tuple[bool, Callable[[], Exception | None]]] = {
    "accepted": (True, lambda: None),
    "accepted, but the answer is lost": (True, lambda: UnknownOutcome("timeout", "No answer came.")),
    "lost on the way": (False, lambda: UnknownOutcome("timeout", "No answer came.")),
    "rejected": (False, lambda: Rejected("INVALID_ARGUMENT", "The message is wrong.")),
    "dead token": (False, lambda: DeadToken("UNREGISTERED", "The app is gone.")),
    "server trouble": (False, lambda: ServerTrouble("INTERNAL", "Something broke.")),
    "not let in": (False, lambda: CredentialTrouble("UNAUTHENTICATED", "No.", http_status=401, retry_after=60.0)),
    "quota": (False, lambda: Throttled("QUOTA", "Too many.", scope="project", http_status=429, retry_after=20.0)),
    "throttled": (False, lambda: Throttled("QUOTA", "Too many.", scope="target", http_status=429, retry_after=30.0)),
}
#: The same of a report to the gateway.
REPORTS: dict[str, tuple[bool, Callable[[], Exception | None]]] = {
    "accepted": (True, lambda: None),
    "accepted, but the answer is lost": (True, lambda: TryAgain("gateway_unreachable", "No answer came.")),
    "refused": (False, lambda: Refusal(400, "Not so.")),
    "down": (False, lambda: TryAgain("gateway_error", "It answered 500.")),
}

CARRIED: ContextVar[Work] = ContextVar("CARRIED")


class OneClock(Clock):
    """Everybody's time in seconds. The database has it by a function that takes the place of its own `now()`."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        super().__init__()
        self.connection = connection

    def today(self) -> datetime:
        return datetime.fromtimestamp(self.now, UTC)

    def sleep(self, seconds: float) -> None:
        super().sleep(seconds)
        self.connection.execute("SELECT set_config('machine.now', %s::text, false)", [repr(self.now)])


def open_ledger(conninfo: str) -> psycopg.Connection[Any]:
    """A connection to tables of the machine's own, like the real ones, on the machine's clock."""
    connection = connect(conninfo)
    connection.execute("DROP SCHEMA IF EXISTS machine CASCADE")
    connection.execute("CREATE SCHEMA machine")
    for function in ("now", "statement_timestamp"):
        connection.execute(
            f"CREATE FUNCTION machine.{function}() RETURNS timestamptz STABLE LANGUAGE sql"
            " AS $$ SELECT to_timestamp(current_setting('machine.now')::float8) $$"
        )
    for table in TABLES:
        connection.execute(f"CREATE UNLOGGED TABLE machine.{table} (LIKE public.{table} INCLUDING ALL)")
    connection.execute("SET search_path = machine, pg_catalog")
    connection.execute("SET synchronous_commit = off")
    for table, column in connection.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = 'machine' AND column_default ~ 'statement_timestamp|now'"
    ).fetchall():
        connection.execute(f"ALTER TABLE {table} ALTER {column} SET DEFAULT now()")
    return connection


class StillLoop(asyncio.SelectorEventLoop):
    """An event loop that runs only when it is told to, until nothing in it can go on."""

    def __init__(self, clock: Clock) -> None:
        self._clock_of_all = clock
        super().__init__()

    def time(self) -> float:
        return self._clock_of_all.now

    def settle(self) -> None:
        while self._ready:  # type: ignore[attr-defined]
            self.call_soon(self.stop)
            self.run_forever()


@dataclass(eq=False, slots=True)
class Call:
    """A send or a report that is under way: `subject` is the device token, or the word for the ending."""

    worker: ModelWorker
    id: str
    fence: int
    subject: str
    answer: asyncio.Future[Any]
    accepted: bool = False
    unknown: bool = True  # whether it may have been accepted, as far as the worker knows
    at: float = 0.0

    def __repr__(self) -> str:
        return f"{self.id}/{self.subject} by {self.worker} at fence {self.fence}"


class Book:
    """What a neighbour was asked, and what it took."""

    def __init__(self, world: World, begins: Callable[[Call], None]) -> None:
        self._world = world
        self._begins = begins
        self.calls: list[Call] = []
        self.open: list[Call] = []

    async def ask(self, worker: ModelWorker, subject: str) -> Any:
        work = CARRIED.get()
        call = Call(worker, work.id, work.fence, subject, self._world.loop.create_future(), at=self._world.clock.now)
        self._begins(call)
        self.calls.append(call)
        self.open.append(call)
        return await call.answer

    def answer(self, call: Call, *, accepted: bool, result: Any, error: Exception | None, unknown: bool) -> None:
        """The neighbour has decided; the worker hears of it, if it is still there."""
        self.open.remove(call)
        call.accepted, call.unknown = accepted, unknown
        if call.answer.done():
            return
        if error is None:
            call.answer.set_result(result)
        else:
            call.answer.set_exception(error)
        self._world.loop.settle()


class World:
    """The database, the neighbours' books and the workers."""

    def __init__(self, clock: OneClock) -> None:
        self.connection = clock.connection
        for table in TABLES:
            self.connection.execute(f"DELETE FROM {table}")
        self.clock = clock
        self.clock.sleep(1000.0 - clock.now)
        self.loop = StillLoop(clock)
        self.watch = Watch(self.connection, LEASE)
        self.sends = Book(self, self.watch.send_begins)
        self.reports = Book(self, self.watch.report_begins)
        self.watch.sends, self.watch.reports = self.sends.calls, self.reports.calls
        self.users = {"one": ["a"], "two": ["a", "b"], "three": ["a", "b", "c"]}
        self.users_are_down = False
        self.retries = RetryPolicy.of(attempts=2, min_wait=2.0, max_wait=10.0)
        self.workers: list[ModelWorker] = []
        self._started = 0
        self._log = _Log(self.watch)

    def start_worker(self) -> ModelWorker:
        self._started += 1
        self.workers.append(ModelWorker(self, self._started))
        return self.workers[-1]

    def pass_time(self, seconds: float) -> None:
        """Whoever reaches the database has beaten all the while."""
        self.clock.sleep(seconds)
        for worker in self.workers:
            if worker.reachable:
                worker.heart.beat(in_time=True)

    def by_operator(self, change: Change) -> Any:
        """Commits a change as the doors do."""
        self.clock.sleep(0.001)
        with (
            self.watch.written_by(None, [change]),
            self.connection.transaction(),
            self.connection.cursor() as cursor,
        ):
            [result] = type(change).apply(cursor, [change], NOBODY)
        return result

    def answer_send(self, call: Call, outcome: str) -> None:
        accepted, error = SENDS[outcome]
        unknown = accepted or outcome == "lost on the way"
        self.sends.answer(
            call, accepted=accepted, result=SendReceipt("projects/p/messages/1", 200), error=error(), unknown=unknown
        )

    def answer_report(self, call: Call, outcome: str) -> None:
        accepted, error = REPORTS[outcome]
        self.reports.answer(call, accepted=accepted, result={}, error=error(), unknown=False)

    def close(self) -> None:
        for worker in list(self.workers):
            worker.die(arrived=False)
        self._log.close()
        self.loop.close()


class _Log(logging.Handler):
    """An error in the log is a bug: nothing here fails that the pipeline could not have thought of."""

    def __init__(self, watch: Watch) -> None:
        super().__init__(logging.ERROR)
        self._watch = watch
        self._logger = logging.getLogger("deliveries")
        self._logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        if record.name == "deliveries.brakes":  # that credentials are wrong is said as an error, and is none here
            return
        self._watch.troubles.append(self.format(record))

    def close(self) -> None:
        self._logger.removeHandler(self)
        super().close()


class Heart:
    """The heartbeat of a worker, as deliveries.heartbeat keeps it, without its clock and its connection."""

    def __init__(self, world: World, hand: Hand) -> None:
        self._world = world
        self._hand = hand
        self._last = float("-inf")
        self._since = float("inf")

    def alive(self) -> bool:
        return self._world.clock.now - self._last < LEASE * 0.8

    @property
    def steady_for(self) -> float:
        return self._world.clock.now - self._since if self.alive() else 0.0

    def beat(self, *, in_time: bool = False) -> None:
        threads = {"threads_alive": 1, "threads_expected": 1}
        more = {"host": "test", "pid": 1, "in_flight": 0, "breakers": "{}"} | threads
        self._world.connection.execute(BEAT, self._hand.parameters() | more)
        if not in_time and not self.alive():
            self._since = self._world.clock.now
        self._last = self._world.clock.now


class ModelWorker:
    """A worker process: whatever the engine puts together, on the world's loop, its writer driven step by step."""

    def __init__(self, world: World, number: int) -> None:
        self.world = world
        self.id = UUID(int=number)
        self.reachable = True
        self.unanswered: list[Unit] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._rounds: dict[Callable[[], Coroutine[Any, Any, None]], asyncio.Task[None]] = {}
        hand = Hand(self.id, LEASE)
        self.heart = Heart(world, hand)
        self.writer = Writer(lambda: world.connection, hand)
        self.places = Places(1000)  # more than a dispatcher takes while it claims: nothing here may wait
        self.flights = Flights(self.places)
        now, carriers = world.clock.today, Carriers([_Provider(self)])
        retries = world.retries
        self.brakes = Brakes(hand.worker_id, 1e6)
        fates = TokenFates(PruneGuard(self.writer, 1.0, dict), WEEK, tells=False)
        self.pipeline = Pipeline(
            self.writer,
            Recipients(_Users(world), SPEC),  # type: ignore[arg-type]
            Renderer(_Users(world), SPEC),  # type: ignore[arg-type]
            Sender(carriers, retries, self.brakes, fates, self.heart.alive, now),
            Reporter(_Gateway(self), PROFILE, retries.report, now),  # type: ignore[arg-type]
            retries,
            self.heart.alive,
            now,
        )
        starter = Starter(self.writer, self.places, self._begin)
        held, probes = self.flights.held, self.brakes.probes
        self.dispatcher = Dispatcher(self.writer, starter, self.heart, held, probes, LEASE)  # type: ignore[arg-type]
        self.brake_watch = BrakeWatch(self.writer, carriers, self.brakes, self.heart.alive)
        self.quarantine = Quarantine(starter, self.heart)  # type: ignore[arg-type]
        world.connection.execute(FORGET)
        self.heart.beat()

    def __repr__(self) -> str:
        return f"worker {self.id.int}"

    @property
    def waiting(self) -> int:
        """How many units its writer could commit now."""
        return 0 if self.unanswered or not self.reachable else len(self.writer._waiting)

    def receive(self, accepts: list[Accept]) -> None:
        """A batch of messages, as the engine accepts it."""
        self._run(self._accept(accepts))

    def tick(self) -> None:
        """The next round of dispatcher, quarantine and brakes, of each if it is not busy with the last one."""
        for go_round in (self.dispatcher.tick, self.quarantine.tick, self.brake_watch.tick):
            if go_round not in self._rounds or self._rounds[go_round].done():
                self._rounds[go_round] = self._run(go_round())

    def wake_up(self, ids: list[str]) -> None:
        self._run(self.dispatcher.claim(ids))

    def commit(self, units: int) -> None:
        """One transaction of the writer, with the first units that wait; its answer is on the way."""
        self.unanswered = [self.writer._waiting.popleft() for _ in range(units)]
        self._transact()

    def commit_again(self) -> None:
        """The answer to the last transaction was lost with the connection: the writer tries it once more."""
        before = [list(unit.results) for unit in self.unanswered]
        with self.world.watch.repeat(self.id, self.unanswered, before):
            self._transact()

    def hear(self) -> None:
        """The answer to the last transaction arrives."""
        units, self.unanswered = self.unanswered, []
        self.world.loop.call_soon(_settle_all, units)
        self.world.loop.settle()

    def do_all(self) -> None:
        """Commits what waits and hears of it."""
        self.commit(self.waiting)
        self.hear()

    def lose(self, place: int) -> None:
        """One of its coroutines ends without a word."""
        tasks = list(self.flights._tasks.values())
        tasks[place % len(tasks)].cancel()
        self.world.loop.settle()

    def die(self, *, arrived: bool) -> None:
        """kill -9: all that it knew is gone. `arrived`: what was on the way to a neighbour still gets there."""
        self._end(arrived)
        self.writer._waiting.clear()
        self.unanswered = []

    def leave(self, *, arrived: bool) -> None:
        """As the engine drains: coroutines end, what waits is committed, the rest is handed back, where that can be."""
        if not self.reachable:
            return self.die(arrived=arrived)
        self.places.close()
        self._end(arrived)
        self.writer._submit([Unit([ReleaseWorker()], Waiter(1))])
        if self.unanswered:
            self.hear()
        self.reachable = True
        return self.do_all()

    def _end(self, arrived: bool) -> None:
        self.reachable = False
        self.world.workers.remove(self)
        for task in self._errands:
            task.cancel()
        ending = self.world.loop.create_task(self.flights.cancel())
        self.world.loop.settle()
        assert ending.done()
        for book in (self.world.sends, self.world.reports):
            for call in [call for call in book.open if call.worker is self]:
                book.answer(call, accepted=arrived, result=None, error=None, unknown=True)

    def _transact(self) -> None:
        self.world.clock.sleep(0.001)
        with self.world.watch.written_by(self.id, [change for unit in self.unanswered for change in unit.changes]):
            self.writer._transact(self.unanswered)

    async def _accept(self, accepts: list[Accept]) -> None:
        results = await asyncio.gather(*(self.writer.write(accept) for accept in accepts))
        arrived = self.world.clock.now
        works = [
            Work(accept.request, result.fence, accept.high_priority, arrived + result.expires_in)
            for accept, [result] in zip(accepts, results, strict=True)
            if result is not None
        ]
        self.flights.queue(works, self._begin)

    def _begin(self, works: list[Work]) -> list[asyncio.Task[None]]:
        return self.flights.begin(works, self._carry)

    async def _carry(self, work: Work) -> None:
        CARRIED.set(work)
        self.world.watch.carried(self.id, work)
        await self.pipeline.carry(work)

    def _run(self, errand: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self.world.loop.create_task(errand)
        self._errands.add(task)
        task.add_done_callback(self._done)
        self.world.loop.settle()
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._errands.remove(task)
        if not task.cancelled() and task.exception() is not None:
            self.world.watch.troubles.append(f"{self} failed at an errand: {task.exception()!r}")


class _Users:
    """The user service."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def call(self, *request: Any) -> Any:
        if self._world.users_are_down:
            raise TryAgain("user_service_error", "It answered 500.")
        return {"devices": [{"token": token} for token in self._world.users[request[1].rpartition("/")[2]]]}


class _Gateway:
    """A worker's way to the gateway."""

    def __init__(self, worker: ModelWorker) -> None:
        self._worker = worker

    async def call(self, *request: Any) -> Any:
        return await self._worker.world.reports.ask(self._worker, request[-1]["status"])


class _Provider:
    """A worker's way to the provider."""

    name = "fcm"
    targets: frozenset[Target] = frozenset({"token"})

    def __init__(self, worker: ModelWorker) -> None:
        self._worker = worker

    async def send(self, message: PushMessage) -> SendReceipt:
        return await self._worker.world.sends.ask(self._worker, message.device_token)

    def mended(self) -> bool:
        return False

    def health(self) -> dict[str, Any]:
        return {}

    async def close(self) -> None:
        pass


def request(id: str, user: str, *, at_most_once: bool, ttl: int) -> PushRequest:
    return PushRequest(
        notification_id=id,
        user_id=user,
        title="Hi",
        correlation_id=id,
        ttl=ttl,
        guarantee="at_most_once" if at_most_once else "at_least_once",
    )
