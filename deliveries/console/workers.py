"""Workers: which engines run, how busy they are, and what their breakers say of the services around us."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.contrib import admin
from django.db.models import DurationField, ExpressionWrapper, F, Q, QuerySet
from django.db.models.functions import Now
from django.http import HttpRequest

from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import NOTHING, when, when_short
from deliveries.console.words import pruning_notices, worker_command
from deliveries.health import upstream_state
from deliveries.models import Worker


@admin.register(Worker)
class WorkerAdmin(LedgerAdmin):
    """The list of workers, and the page of each."""

    search_fields = ()
    ordering = ("-heartbeat_at",)
    list_display = (
        "__str__",
        "state",
        "in_flight",
        "upstreams",
        when_short("started_at"),
        when_short("heartbeat_at"),
    )
    readonly_fields = ("state", "upstreams")
    fieldsets = (
        (None, {"fields": ("state", "host", "pid", "id", "in_flight", "upstreams")}),
        ("When", {"fields": (when("started_at"), when("heartbeat_at"))}),
    )

    @property
    def empty_state(self) -> str:  # type: ignore[override]
        return f"No worker has reported for a day. Start one: {worker_command()}"

    def matching(self, term: str) -> Q:
        return Q(host=term)

    def notices(self) -> list[str]:
        return pruning_notices()

    def get_queryset(self, _request: HttpRequest) -> QuerySet[Worker]:
        """With how long each has been silent, by the database's clock, as the leases are."""
        silence = ExpressionWrapper(Now() - F("heartbeat_at"), output_field=DurationField())
        return Worker.objects.annotate(silence=silence)

    @admin.display(description="state")
    def state(self, worker: Worker) -> str:
        lease = timedelta(seconds=settings.PUSH.delivery_lease)
        silence: timedelta = worker.silence  # type: ignore[attr-defined]
        return "alive" if silence < lease else "gone: its notifications go to others"

    @admin.display(description="breakers")
    def upstreams(self, worker: Worker) -> str:
        told = sorted(worker.breakers.items())
        return ", ".join(f"{name}: {upstream_state(state)}" for name, state in told) or NOTHING
