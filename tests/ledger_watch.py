"""Watches the ledger's machine: what each transaction may change, and what must be true after every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID

import psycopg
from psycopg.rows import namedtuple_row

from deliveries.ledger import (
    Abandon,
    Accept,
    Attempted,
    Braked,
    DeadLettered,
    Landed,
    Reported,
    Settle,
    Started,
    StartSends,
    TokenDied,
    Wake,
)
from deliveries.ledger.cancelling import Cancel
from deliveries.ledger.change import Change
from deliveries.ledger.holding import EARLY, process_key
from deliveries.ledger.invariants import CHECKS, Check
from deliveries.ledger.resending import SAME_PRESS, Resend
from deliveries.ledger.writer import Unit
from deliveries.masking import token_hash
from deliveries.models import ENDS, TRANSITIONS, Status
from deliveries.work import Work

if TYPE_CHECKING:
    from tests.ledger_world import Call

READ_NOTIFICATIONS = """
SELECT notification_id AS id, status, error_code, attempts, at_most_once, cancel_reason, resends, resent_at,
       resolve_again, worker_id, fence, next_attempt_at, expires_at, ended_at,
       reported_at, report_refused_at, report_attempts, reported_status
FROM notifications
"""
READ_DELIVERIES = """
SELECT id, notification_id, device_token, status, send_token, unknown_count, forced_resends, attempts, exhausted,
       error_code, next_attempt_at, sent_at
FROM push_deliveries
"""
READ_BRAKES = "SELECT key, until, round, pace FROM brakes"
READ_DEAD = "SELECT token_hash, remembered_until FROM dead_tokens WHERE held_at IS NULL"
LIVING = "SELECT id FROM workers WHERE heartbeat_at > now() - make_interval(secs => %s)"

#: Which of the checks must hold at any time; those with a `grace` only once somebody has had the time to see to it.
ANY_TIME = [check for check in CHECKS if check.must_hold and "%(grace)s" not in check.query]
IN_THE_END = [check for check in CHECKS if check.must_hold]

#: A repeat of these is without effect, and has the same result. Claims take up what has become due since.
REPEATABLE = (Accept, Braked, StartSends, Landed, Abandon, Attempted, Settle, Reported, DeadLettered, TokenDied)

#: A send may begin so much before its place: `deliveries.ledger.holding.EARLY`.
A_MOMENT = timedelta(seconds=EARLY)

#: Time that is none: only transactions take it.
AT_ONCE = timedelta(seconds=1)


@dataclass(frozen=True)
class Rows:
    """The ledger at one moment."""

    notifications: dict[str, Any]
    deliveries: dict[int, Any]
    brakes: dict[str, Any]
    dead_tokens: dict[str, Any]


class Watch:
    """Keeps what cannot be read from rows alone, and collects in `troubles` whatever breaks a promise."""

    def __init__(self, connection: psycopg.Connection[Any], lease: float) -> None:
        self._connection = connection
        self._lease = lease
        self.troubles: list[str] = []
        self.sends: list[Call] = []
        self.reports: list[Call] = []
        self.resends: dict[tuple[str, int], int] = {}  # by id and fence
        self.ends: dict[tuple[str, int], str] = {}
        self.heard: dict[str, tuple[int, str]] = {}  # what the ledger knows that the gateway knows, with the fence
        self._carriers: set[tuple[str, int]] = set()
        self._last: tuple[UUID | None, datetime] | None = None  # the last transaction: whose, and when
        self.rows = Rows({}, {}, {}, {})
        self._read()

    @contextmanager
    def written_by(self, worker: UUID | None, changes: Sequence[Change]) -> Iterator[None]:
        """Judges the transaction within by what it has changed."""
        before = self.rows
        living = {row[0] for row in self._connection.execute(LIVING, [self._lease])}
        now = self._now()
        yield
        self._last = (worker, now)
        self._read()
        judge = _Judge(self, before, self.rows, now)
        if worker is None:
            judge.operator(changes[0])
        else:
            judge.worker(worker, changes, living)
        self._take_note()

    @contextmanager
    def repeat(self, worker: UUID, units: Sequence[Unit], results: list[list[Any]]) -> Iterator[None]:
        """Judges a repeat that follows at once: it changes nothing and has the same results."""
        at_once = self._last is not None and self._last[0] == worker and self._now() - self._last[1] < AT_ONCE
        before = self.rows
        yield
        changes = [change for unit in units for change in unit.changes]
        if not at_once or not all(isinstance(change, REPEATABLE) for change in changes):
            return
        again = [list(unit.results) for unit in units]
        if _held_anew(results, again):  # nothing was sent: the worker has not heard that it might
            return
        self.expect(before == self.rows, "a repeat changed rows", changes)
        self.expect(_plain(results) == _plain(again), "a repeat has another result", changes, results, again)

    def expect(self, holds: bool, *what: Any) -> None:
        if not holds:
            self.troubles.append(" ".join(map(str, what)))

    def carried(self, worker: UUID, work: Work) -> None:
        """Each claim is carried once, by one worker."""
        key = (work.id, work.fence)
        self.expect(key not in self._carriers, "carried twice:", key, worker)
        self._carriers.add(key)

    def send_begins(self, call: Call) -> None:
        row = self.rows.notifications[call.id]
        before = [c for c in self.sends if (c.id, c.subject) == (call.id, call.subject) and (c.accepted or c.unknown)]
        epoch = self.resends[call.id, call.fence]
        again = [c for c in before if self.resends[c.id, c.fence] == epoch]
        self.expect(not row.at_most_once or not again, "at most once, but sent again:", call, again)
        at_once = [c for c in before if not c.answer.done() and (c.worker, c.fence) == (call.worker, call.fence)]
        self.expect(not at_once, "sent twice at once:", call)  # a worker that was cut off may get its own row again

    def report_begins(self, call: Call) -> None:
        self.expect(self.ends.get((call.id, call.fence)) == call.subject, "reported what is not so:", call)
        fence, word = self.heard.get(call.id, (0, ""))
        since = [c for c in self.reports if c.id == call.id and c.fence > fence]
        known = fence < call.fence and word == call.subject and not since
        self.expect(not known, "the gateway knows that already:", call)

    def check(self) -> None:
        """What must be true after every step."""
        accepted = Counter((call.id, call.subject) for call in self.sends if call.accepted)
        for row in self.rows.deliveries.values():
            times = accepted.pop((row.notification_id, row.device_token), 0)
            self.expect(times <= 1 + row.unknown_count + row.forced_resends, "I2:", row, "was accepted", times)
        self.expect(not accepted, "I2: accepted without a row:", accepted)
        self._check_rows(ANY_TIME)
        assert not self.troubles, "\n".join(self.troubles)

    def check_end(self) -> None:
        """What must be true once everything has been carried to its end."""
        for row in self.rows.notifications.values():
            self.expect(row.status in ENDS and row.worker_id is None, "I8: stuck:", row)
            self.expect(bool(row.reported_at or row.report_refused_at), "I3: not reported:", row)
            told = [(call.fence, place, call.subject) for place, call in enumerate(self.reports) if _took(call, row.id)]
            if row.reported_at:
                self.expect(bool(told) and max(told)[-1] == row.status, "I3: the gateway was told", told, "of", row)
        for row in self.rows.deliveries.values():
            self.expect(row.status in ENDS, "I8: stuck:", row)
        self._check_rows(IN_THE_END)
        assert not self.troubles, "\n".join(self.troubles)

    def _check_rows(self, checks: list[Check]) -> None:
        found = " UNION ALL ".join(f"SELECT {place}, id FROM ({c.query}) AS f" for place, c in enumerate(checks))
        parameters = {"since": None, "lease": self._lease, "grace": 0.0}
        for place, id in self._connection.execute(found, parameters):
            self.expect(False, checks[place].name, checks[place].promise, id)

    def _read(self) -> None:
        self.rows = Rows(
            {row.id: row for row in self._all(READ_NOTIFICATIONS)},
            {row.id: row for row in self._all(READ_DELIVERIES)},
            {row.key: row for row in self._all(READ_BRAKES)},
            {row.token_hash: row for row in self._all(READ_DEAD)},
        )

    def _now(self) -> datetime:
        [[now]] = self._connection.execute("SELECT now()")
        return now

    def _all(self, statement: str) -> Iterable[Any]:
        with self._connection.cursor(row_factory=namedtuple_row) as cursor:
            return cursor.execute(statement).fetchall()

    def _take_note(self) -> None:
        for row in self.rows.notifications.values():
            self.resends[row.id, row.fence] = row.resends
            if row.status in ENDS:
                self.ends[row.id, row.fence] = row.status


class _Judge:
    """One transaction: the rows before and after it."""

    def __init__(self, watch: Watch, before: Rows, after: Rows, now: datetime) -> None:
        self._watch = watch
        self._now = now
        self._expect = watch.expect
        self._before = before
        self._after = after
        gone = before.notifications.keys() - after.notifications.keys()
        self._expect(not gone and before.deliveries.keys() <= after.deliveries.keys(), "rows are gone", gone)
        self._notifications = [
            (before.notifications.get(id), row)
            for id, row in after.notifications.items()
            if before.notifications.get(id) != row
        ]
        self._deliveries = [
            (before.deliveries.get(id), row) for id, row in after.deliveries.items() if before.deliveries.get(id) != row
        ]
        self._legal()

    def _legal(self) -> None:
        for _, new in self._notifications:
            waits = new.status not in ENDS and new.next_attempt_at is not None
            latest = max(new.expires_at, self._now)
            self._expect(not waits or new.next_attempt_at <= latest, "waits beyond its expiry:", new)
            self._expect(new.status != "sending" or new.worker_id is not None, "sending without a worker:", new)
        for old, new in [*self._notifications, *self._deliveries]:
            legal = old is None or old.status == new.status or Status(new.status) in TRANSITIONS[Status(old.status)]
            self._expect(legal, "no legal change of status:", old, new)

    def worker(self, id: UUID, changes: Sequence[Change], living: set[UUID]) -> None:
        """A worker changes what it holds at the fence it names, takes what is nobody's, and lands its own sends."""
        named = {
            (c.notification_id, c.fence) for c in changes if isinstance(c, StartSends | Abandon | Settle | Reported)
        }
        wakes = any(isinstance(change, Wake) for change in changes)
        accepts = {change.request.notification_id for change in changes if isinstance(change, Accept)}
        taken = set()
        for old, new in self._notifications:
            if old is None:
                self._expect(new.id in accepts, "nobody accepted", new)
            elif new.fence > old.fence:
                taken.add(new.id)
                is_due = old.worker_id is None and old.next_attempt_at is not None and old.next_attempt_at <= self._now
                free = is_due or old.worker_id == id or (old.worker_id is not None and old.worker_id not in living)
                self._expect(free, "taken from somebody:", old, new)
                self._expect(new.worker_id is None or id in living, "taken by one who is late:", old, new)
            elif not (wakes and _is_woken(old, new) and old.worker_id is None):
                self._expect(new.fence == old.fence, "a fence went back:", old, new)
                self._expect((old.id, old.fence) in named and old.worker_id == id, "not its own:", id, old, new)
            if old is not None:
                self._expect(old.status not in ENDS or old.status == new.status, "an end is an end:", old, new)
                self._hear(old, new)
        self._sends(id, changes, living, taken)

    def _sends(self, id: UUID, changes: Sequence[Change], living: set[UUID], taken: set[str]) -> None:
        named = {(c.notification_id, c.fence) for c in changes if isinstance(c, StartSends | Abandon)}
        landed = {(change.id, change.send_token) for change in changes if isinstance(change, Landed)}
        for old, new in self._deliveries:
            owner = self._before.notifications[new.notification_id]
            ours = owner.worker_id == id and (owner.id, owner.fence) in named
            lands = old is not None and old.status == "sending" and (old.id, old.send_token) in landed
            woken = old is not None and owner.worker_id is None and _is_woken(old, new)
            self._expect(ours or lands or woken or owner.id in taken, "not its own:", id, owner, old, new)
            if new.status == "sending" and (old is None or old.send_token != new.send_token):
                self._expect(id in living, "started by one who is late:", new)
                self._expect(owner.cancel_reason == "", "started after a cancel:", owner, new)
                self._starts_in_time(id, old, new)

    def _starts_in_time(self, id: UUID, old: Any, new: Any) -> None:
        """No send begins in a pause that was known before, before its time, or to a token that is known to be dead."""
        hashed = token_hash(new.device_token)
        for key in ("fcm", process_key(id, "fcm"), hashed):
            brake = self._before.brakes.get(key)
            self._expect(brake is None or brake.until <= self._now + A_MOMENT, "started in a pause:", brake, new)
        waited = old is None or old.next_attempt_at is None or old.next_attempt_at <= self._now + A_MOMENT
        self._expect(waited, "started before its time:", old, new)
        dead = self._before.dead_tokens.get(hashed) if old is None else None
        self._expect(dead is None or dead.remembered_until <= self._now, "started though its token is dead:", new)

    def _hear(self, old: Any, new: Any) -> None:
        if not new.reported_at or old.reported_at:
            return
        calls = [call for call in self._watch.reports if call.fence == new.fence and _took(call, new.id)]
        _, word = self._watch.heard.get(new.id, (0, ""))
        self._expect(bool(calls) or word == new.status, "the gateway was never told:", new)
        self._watch.heard[new.id] = (new.fence, calls[-1].subject if calls else word)

    def operator(self, change: Change) -> None:
        if isinstance(change, Cancel):
            self._expect(not self._deliveries, "a cancel changed deliveries")
            for old, new in self._notifications:
                same = old._replace(cancel_reason=new.cancel_reason, next_attempt_at=new.next_attempt_at)
                self._expect(same == new and old.status not in ENDS, "a cancel is a wish:", old, new)
        if isinstance(change, Resend):
            self._resend(change)

    def _resend(self, change: Resend) -> None:
        for old, new in self._notifications:
            self._expect(
                old.id == change.notification_id and new.fence == old.fence + 1, "a resend of another", old, new
            )
            self._expect(old.worker_id is None and old.status in ENDS, "resent while under way:", old)
            self._expect(change.seen in (None, old.resends), "resent though it had changed:", old)
            pressed = (new.resent_at - old.resent_at).total_seconds() if old.resent_at else SAME_PRESS
            self._expect(pressed >= SAME_PRESS, "resent twice by one press:", old, new)
            fresh = (new.status, new.attempts, new.cancel_reason, new.reported_at, new.report_refused_at)
            self._expect(fresh == ("pending", 0, "", None, None), "resent, but not as new:", new)
            self._expect(new.next_attempt_at == self._now < new.expires_at, "resent, but not due:", new)
        self._expect(bool(self._notifications) or not self._deliveries, "deliveries were opened alone")
        for old, new in self._deliveries:
            self._expect(change.delivery_ids is None or old.id in change.delivery_ids, "not chosen:", new)
            accepted = old.status == "sent" or old.forced_resends > 0
            self._expect(change.force or not accepted, "resent without force:", old)
            self._expect(new.forced_resends == old.forced_resends + accepted, "force is not counted:", new)


def _took(call: Call, id: str) -> bool:
    return call.accepted and call.id == id


def _is_woken(old: Any, new: Any) -> bool:
    """Whether it is due earlier, and otherwise as it was."""
    return old == new._replace(next_attempt_at=old.next_attempt_at) and new.next_attempt_at <= old.next_attempt_at


def _held_anew(results: list[list[Any]], again: list[list[Any]]) -> bool:
    """Whether a place on a ramp that had come was given away by the first time: the repeat has to wait for another."""
    return any(
        isinstance(second, Started) and first is not None and second.holds.keys() - first.holds.keys()
        for unit, repeated in zip(results, again, strict=True)
        for first, second in zip(unit, repeated, strict=True)
    )


def _plain(results: list[list[Any]]) -> list[list[Any]]:
    """Without the seconds that a notification has left, which pass."""
    return [[getattr(result, "fence", result) for result in unit] for unit in results]
