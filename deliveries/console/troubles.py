"""Faults in progress: one sentence for each, that says what, since when, what it holds up and what happens next.

What the ledger says of them is asked together with the rest of the present (`present.look`), and nothing is counted
further than a person reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from django.urls import reverse

from deliveries import health
from deliveries.console.columns import brief, clock
from deliveries.console.fleet import Standing, living, standings
from deliveries.console.holdups import HoldUp, counted, held_up, told
from deliveries.console.words import worker_command
from deliveries.models import Brake, Worker
from deliveries.prune_guard import stopped

#: Seconds for which something may have been due until it counts as a backlog.
BACKLOG = 60.0
MOST_DUE, MOST_LETTERS, MOST_REFUSED = 10_000, 1_000, 10_000

DUE = """
SELECT count(*) FROM (
    (SELECT FROM notifications WHERE worker_id IS NULL AND next_attempt_at <= now() AND high_priority LIMIT %(due)s)
    UNION ALL
    (SELECT FROM notifications WHERE worker_id IS NULL AND next_attempt_at <= now() AND NOT high_priority LIMIT %(due)s)
) AS due
"""

# Of the latest, which are found by their key.
NEW_LETTERS = """
SELECT json_object_agg(code, count) FROM (
    SELECT code, count(*) FROM (
        SELECT code, state, first_seen_at FROM dead_letters ORDER BY id DESC LIMIT %(letters)s) AS latest
    WHERE state = 'open' AND first_seen_at > now() - interval '1 hour' GROUP BY code) AS new
"""

#: The fields of `Ledger`, each a statement, and how far they count.
LEDGER = (health.READ_ONLY, health.OLDEST_DUE, DUE, NEW_LETTERS, health.REFUSED_REPORTS)
LIMITS = {"due": MOST_DUE + 1, "letters": MOST_LETTERS + 1}

HELD_ON = (
    "Their tokens are held: tried as usual, and the user service is not told of them. Check the credentials and the "
    "project (FCM_PROJECT_ID). Then forget what is held, or believe it if those devices are really gone."
)

#: What has to wait while a service fails; of a provider it is its pushes.
HOLDS_UP = {
    "user_service": "New notifications wait for it",
    "template_service": "New notifications wait for it",
    "gateway": "Pushes are sent; word of how they ended waits for it",
}


@dataclass(frozen=True, slots=True)
class Trouble:
    """A fault in progress. `address` is the page that says more, or ""."""

    level: Literal["error", "warning"]
    sentence: str
    address: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """What the ledger says of what waits and what was given up."""

    read_only: bool
    oldest_due: float | None  # seconds
    due: int
    new_letters: dict[str, int] | None
    refused_reports: int


def troubles(workers: Sequence[Worker], ledger: Ledger) -> list[Trouble]:
    """All faults in progress, what is worst first. One query, for what is held up; RabbitMQ is asked once in 5 s."""
    alive, holdups = living(workers), held_up()
    shut_out = {holdup.brake.provider for holdup in holdups if holdup.brake.scope == Brake.Scope.PROCESS}
    found = [
        *_database(ledger),
        *_nobody_works(workers, alive),
        *_rabbitmq(health.rabbitmq(), anybody_works=bool(alive)),
        *holding(holdups),
        *(trouble for one in standings(alive).values() for trouble in _service(one, shut_out)),
        *pruning(alive),
        *_waiting(ledger),
    ]
    return sorted(found, key=lambda trouble: trouble.level)  # "error" comes before "warning"


def holding(holdups: list[HoldUp]) -> Iterator[Trouble]:
    """What is not sent for a while: for one device or topic alone it is not told."""
    for holdup in told(holdups):
        level: Literal["error", "warning"] = "error" if holdup.brake.scope == Brake.Scope.PROCESS else "warning"
        paused = holdup.brake.scope == Brake.Scope.OPERATOR
        yield Trouble(level, holdup.sentence, reverse("admin:providers") if paused else _list("brake"))
    if untold := len(holdups) - len(told(holdups)):
        yield Trouble("error", f"{untold} more worker processes are not let in.", _list("brake"))


def pruning(alive: Iterable[Worker]) -> Iterator[Trouble]:
    """Each provider of whose dead tokens there are too many to be believed."""
    for name, verdicts in stopped(worker.breakers for worker in alive).items():
        yield Trouble("error", f"Pruning has stopped: {verdicts.in_words(name)}. {HELD_ON}", _list("deadtoken"))


def _database(ledger: Ledger) -> Iterator[Trouble]:
    if ledger.read_only:
        yield Trouble("error", f"{health.UNWRITABLE} Nothing is accepted or sent until it takes changes again.")


def _nobody_works(workers: Sequence[Worker], alive: Sequence[Worker]) -> Iterator[Trouble]:
    if not alive:
        since = f" since {clock(workers[0].heartbeat_at)} UTC" if workers else ""
        what = f"No worker has been alive{since}: nothing is sent, and what is accepted waits until it expires."
        yield Trouble("error", f"{what} Start one: {worker_command()}", _list("worker"))


def _rabbitmq(said: dict[str, Any], *, anybody_works: bool) -> Iterator[Trouble]:
    """Embedded there is none, and nothing to say."""
    if said["status"] == "down":
        yield Trouble(
            "error", "RabbitMQ does not answer: no message comes in. What was accepted before, or by HTTP, is sent."
        )
    if said["status"] != "up":
        return
    queue = said["queue"]
    if queue["exists"] is False:
        yield Trouble("error", f"RabbitMQ has no queue {queue['name']}: a worker makes it when it starts.")
    if queue["consumers"] == 0 and anybody_works:
        waiting = f"{queue['messages']:,} messages wait in it"
        why = "the workers cannot reach RabbitMQ, or it refuses them; their logs say why"
        yield Trouble("error", f"Nobody consumes {queue['name']}: {why}. {waiting}.", _list("worker"))
    if said["blocked"]:
        yield Trouble(
            "error", "RabbitMQ has a memory or disk alarm and takes no messages: producers wait. Its log says."
        )


def _service(standing: Standing, shut_out: set[str]) -> Iterator[Trouble]:
    """A service that fails. Of a provider that does not let workers in, the brakes of those have told already."""
    on = "" if standing.says == standing.of else f", on {standing.on_workers}"
    if standing.name == "ledger":
        if standing.state != "closed":
            yield Trouble("error", f"The database refuses changes of {standing.on_workers}.", _list("worker"))
    elif standing.state == "no credentials":
        if standing.name not in shut_out:
            what = f"{standing.title} does not let us in{on}: {standing.credentials}"
            yield Trouble("error", what, reverse("admin:providers"))
    elif standing.state in ("open", "half-open"):
        holds_up = HOLDS_UP.get(standing.name, "Its pushes wait")
        what = f"{failing(standing)} (breaker {standing.state}, {next_step(standing)}{on}). {holds_up}."
        yield Trouble("error", what, reverse("admin:providers"))


def failing(standing: Standing) -> str:
    """`User service failing since 13:58:00 UTC: 500`."""
    since = f" since {clock(standing.since)} UTC" if standing.since else ""
    return f"{standing.title} failing{since}{f': {standing.last_error}' if standing.last_error else ''}"


def next_step(standing: Standing) -> str:
    """When a breaker that is not closed lets the next call through."""
    return f"next probe {clock(standing.next_probe)}" if standing.next_probe else "being probed now"


def _waiting(ledger: Ledger) -> Iterator[Trouble]:
    """What waits for a worker, was given up, or nobody wants to hear of."""
    if (ledger.oldest_due or 0.0) > BACKLOG:
        due, longest = counted(ledger.due, MOST_DUE), brief(ledger.oldest_due or 0.0)
        what = f"{due} notifications are due, the oldest for {longest}: workers are too few, or too slow."
        yield Trouble("warning", what, _list("notification"))
    if ledger.new_letters:
        total = counted(sum(ledger.new_letters.values()), MOST_LETTERS)
        by_code = sorted(ledger.new_letters.items(), key=lambda item: -item[1])
        codes = ", ".join(f"{counted(count, MOST_LETTERS)} {code}" for code, count in by_code)
        what = (
            f"New dead letters in the last hour: {total} ({codes}). They wait for somebody to redrive or discard them."
        )
        yield Trouble("warning", what, _list("deadletter"))
    if ledger.refused_reports:
        refused = counted(ledger.refused_reports, MOST_REFUSED - 1)
        what = f"The gateway has refused to hear of {refused} endings within a day, for good. Each says what it said."
        yield Trouble("warning", what, _list("notification"))


def _list(model: str) -> str:
    return reverse(f"admin:deliveries_{model}_changelist")
