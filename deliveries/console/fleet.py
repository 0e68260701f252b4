"""The fleet: which workers are alive, and what they say of the services around them, put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db.models import DurationField, ExpressionWrapper, F, QuerySet
from django.db.models.functions import Now

from deliveries.health import UPSTREAM_STATES, upstream_state
from deliveries.masking import conceal_text
from deliveries.models import Worker

TITLES = {
    "fcm": "FCM",
    "fcm_legacy": "FCM, legacy",
    "webpush": "Web Push",
    "user_service": "User service",
    "template_service": "Template service",
    "gateway": "Gateway",
    "ledger": "Database",
}
#: What nobody has told of yet.
UNKNOWN = "unknown"


def title(name: str) -> str:
    """What people call a provider or a service."""
    return TITLES.get(name, name)


def with_silence() -> QuerySet[Worker]:
    """Workers with how long each has been silent, by the database's clock, as the leases are."""
    silence = ExpressionWrapper(Now() - F("heartbeat_at"), output_field=DurationField())
    return Worker.objects.annotate(silence=silence)


def is_alive(worker: Worker) -> bool:
    silence: timedelta = worker.silence  # type: ignore[attr-defined]
    return silence < timedelta(seconds=settings.PUSH.delivery_lease)


def heard_lately() -> list[Worker]:
    """The workers of the last day, the one that was heard last at first. One query."""
    return list(with_silence().filter(heartbeat_at__gt=Now() - timedelta(days=1)).order_by("-heartbeat_at"))


def living(workers: Sequence[Worker]) -> list[Worker]:
    return [worker for worker in workers if is_alive(worker)]


@dataclass(frozen=True, slots=True)
class Standing:
    """How a service stands: the worst that a living worker says of it, and how many say so, of those that know it."""

    name: str
    state: str = UNKNOWN
    says: int = 0
    of: int = 0
    since: datetime | None = None
    next_probe: datetime | None = None
    failures: int = 0
    last_error: str = ""
    p95: float | None = None
    credentials: str = ""
    #: Of a provider that sends to many services: those in trouble, and with what.
    parts: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        return title(self.name)

    @property
    def on_workers(self) -> str:
        """`2 of 3 workers`: how many say so, of those that know it."""
        return f"{self.says} of {self.of} {'worker' if self.of == 1 else 'workers'}"


def standings(alive: Sequence[Worker]) -> dict[str, Standing]:
    """Of every service that a living worker tells of, by name."""
    told: dict[str, list[tuple[datetime, dict[str, Any]]]] = defaultdict(list)
    for worker in alive:
        for name, state in worker.breakers.items():
            told[name].append((worker.heartbeat_at, state))
    return {name: standing(name, states) for name, states in sorted(told.items())}


def standing(name: str, told: Sequence[tuple[datetime, dict[str, Any]]]) -> Standing:
    """From what workers said of it, and when."""
    ranks = [UPSTREAM_STATES.index(upstream_state(state)) for _, state in told]
    worst = max(ranks)
    those = [_Said(at, state) for rank, (at, state) in zip(ranks, told, strict=True) if rank == worst]
    since = [said.since for said in those if said.since]
    probes = [said.next_probe for said in those if said.next_probe]
    latest = max(those, key=_failures)
    p95 = [state["breaker"]["p95"] for _, state in told if state["breaker"].get("p95") is not None]
    return Standing(
        name,
        UPSTREAM_STATES[worst],
        len(those),
        len(told),
        min(since, default=None),
        min(probes, default=None),
        _failures(latest),
        conceal_text(latest.breaker.get("last_error", "")),
        max(p95, default=None),
        next((said.credentials for said in those if said.credentials), ""),
        tuple(sorted({(of, conceal_text(why)) for _, state in told for of, why in state.get("troubles", {}).items()})),
    )


@dataclass(frozen=True, slots=True)
class _Said:
    """What one worker's heartbeat says of a service. Its spans of time end at that beat, by the database's clock."""

    at: datetime
    state: dict[str, Any]

    @property
    def breaker(self) -> dict[str, Any]:
        told: dict[str, Any] = self.state["breaker"]
        return told

    @property
    def since(self) -> datetime | None:
        failing_for = self.breaker.get("failing_for")
        return None if failing_for is None else self.at - timedelta(seconds=failing_for)

    @property
    def next_probe(self) -> datetime | None:
        if self.breaker["state"] != "open" or "retry_after" not in self.breaker:
            return None
        return self.at + timedelta(seconds=self.breaker["retry_after"])

    @property
    def credentials(self) -> str:
        said: str = self.state.get("credentials", "ok")
        return "" if said == "ok" else conceal_text(said)


def _failures(said: _Said) -> int:
    failures: int = said.breaker.get("failures", 0)
    return failures
