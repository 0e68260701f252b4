"""Puts the parts of the pipeline together from the settings, on the engine's loop."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from pydantic import SecretStr

from deliveries.brakes import Brakes
from deliveries.dead_letters import DeadLetterOffice, Publish
from deliveries.dead_tokens import DeadTokenOffice
from deliveries.heartbeat import Heartbeat
from deliveries.ledger import Writer
from deliveries.ledger.connection import conninfo
from deliveries.lifting import BrakeWatch
from deliveries.neighbours.profiles import in_force
from deliveries.neighbours.upstreams import Upstream, headers_of
from deliveries.pipeline import Pipeline
from deliveries.prune_guard import PruneGuard
from deliveries.recipients import Recipients
from deliveries.redrive_office import RedriveOffice
from deliveries.rendering import Renderer
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.sending import Sender
from deliveries.tallying import TallyOffice
from deliveries.token_fates import TokenFates
from providers.breaker import Breaker
from providers.http import HttpClient
from providers.registry import Carriers, build


@dataclass(frozen=True, slots=True)
class Assembly:
    """What the engine runs."""

    pipeline: Pipeline
    dead_letters: DeadLetterOffice
    redrives: RedriveOffice
    dead_tokens: DeadTokenOffice | None
    guard: PruneGuard
    brakes: Brakes
    brake_watch: BrakeWatch
    tallies: TallyOffice
    upstreams: tuple[Upstream, ...]
    carriers: Carriers
    http: HttpClient

    def offices(
        self,
    ) -> list[DeadLetterOffice | RedriveOffice | DeadTokenOffice | PruneGuard | BrakeWatch | TallyOffice]:
        """What goes its rounds on a clock of its own: it pays debts, watches over them, lifts brakes, or counts."""
        offices = (
            self.guard,
            self.dead_letters,
            self.redrives,
            self.dead_tokens,
            self.brake_watch,
            self.tallies,
        )
        return [office for office in offices if office is not None]

    def health(self) -> dict[str, Any]:
        """The state of every neighbour as this process sees it, by name."""
        neighbours = {upstream.name: {"breaker": upstream.breaker.snapshot()} for upstream in self.upstreams}
        carriers = self.carriers.health()
        return neighbours | {name: carriers[name] | {"verdicts": self.guard.told(name)} for name in carriers}

    async def close(self) -> None:
        await self.carriers.close()
        await self.http.close()


def assemble(writer: Writer, heartbeat: Heartbeat, publish: Publish, executor: Executor) -> Assembly:
    """Builds everything from the settings; to be called on the loop that will run it."""
    push = settings.PUSH
    alive, now = heartbeat.alive, heartbeat.clock.now
    http = HttpClient()
    profile = in_force(push)
    retries = RetryPolicy.of(
        attempts=push.max_retry_attempts, min_wait=push.retry_min_wait, max_wait=push.retry_max_wait
    )
    users = _upstream("user_service", push.user_service_url, push.user_service_header, http)
    templates = _upstream("template_service", push.template_service_url, push.template_service_header, http)
    gateway = None
    if push.api_gateway_url is not None:
        gateway = _upstream("gateway", push.api_gateway_url, push.api_gateway_header, http)
    carriers = Carriers([build(name, http, options) for name, options in settings.PROVIDERS.items()])
    reporter = Reporter(gateway, profile, retries.report, now)
    brakes = Brakes(writer.hand.worker_id, push.fcm_quota / 60)
    guard = PruneGuard(writer, push.dead_token_limit, lambda: heartbeat.others)
    fates = TokenFates(guard, push.dead_token_memory, tells=push.user_service_dead_token_path is not None)
    sender = Sender(carriers, retries, brakes, fates, alive, now)
    return Assembly(
        Pipeline(
            writer, Recipients(users, profile), Renderer(templates, profile), sender, reporter, retries, alive, now
        ),
        DeadLetterOffice(writer, reporter, retries.report, publish, executor),
        RedriveOffice(writer),
        _dead_token_office(writer, http, retries, guard),
        guard,
        brakes,
        BrakeWatch(writer, carriers, brakes, heartbeat.alive),
        TallyOffice(conninfo(), writer.hand, heartbeat.alive),
        (users, templates, gateway) if gateway else (users, templates),
        carriers,
        http,
    )


def _dead_token_office(
    writer: Writer, http: HttpClient, retries: RetryPolicy, guard: PruneGuard
) -> DeadTokenOffice | None:
    """With a breaker of its own: a path for dead tokens that fails must not hold up the lookups."""
    push = settings.PUSH
    if push.user_service_dead_token_path is None:
        return None
    told = _upstream("user_service", push.user_service_url, push.user_service_header, http)
    return DeadTokenOffice(writer, told, push.user_service_dead_token_path, retries.report, guard)


def _upstream(name: str, base_url: str, header: SecretStr | None, http: HttpClient) -> Upstream:
    push = settings.PUSH
    breaker = Breaker(name, push.circuit_breaker_fail_max, push.circuit_breaker_timeout)
    return Upstream(name, base_url, http, breaker, headers_of(header))
