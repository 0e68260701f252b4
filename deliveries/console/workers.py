"""Workers: which engines run, how busy they are, and what their breakers say of the services around us."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from deliveries.console.badges import BAD, GOOD, badge
from deliveries.console.base import LedgerAdmin
from deliveries.console.columns import NOTHING, age, when, when_short
from deliveries.console.fleet import heard_lately, is_alive, living, standing, title, with_silence
from deliveries.console.providers import LOOKS
from deliveries.console.troubles import pruning
from deliveries.console.words import worker_command
from deliveries.models import Worker


@admin.register(Worker)
class WorkerAdmin(LedgerAdmin):
    """The list of workers, and the page of each."""

    search_fields = ()
    ordering = ("-heartbeat_at",)
    list_display = (
        "__str__",
        "state",
        "heartbeat",
        "in_flight",
        "threads",
        "upstreams",
        when_short("started_at"),
    )
    readonly_fields = ("state", "becomes", "heartbeat", "threads", "upstreams")
    fieldsets = (
        (None, {"fields": ("state", "becomes", "host", "pid", "id", "in_flight", "threads", "upstreams")}),
        ("When", {"fields": (when("started_at"), when("heartbeat_at"))}),
    )

    @property
    def empty_state(self) -> str:  # type: ignore[override]
        return f"No worker has reported for a day. Start one: {worker_command()}"

    def matching(self, term: str) -> Q:
        return Q(host=term)

    def notices(self) -> list[str]:
        return [trouble.sentence for trouble in pruning(living(heard_lately()))]

    def get_queryset(self, _request: HttpRequest) -> QuerySet[Worker]:
        return with_silence()

    @admin.display(description="state")
    def state(self, worker: Worker) -> SafeString:
        return badge("alive", GOOD) if is_alive(worker) else badge("gone", BAD, self.becomes(worker))

    @admin.display(description="its notifications")
    def becomes(self, worker: Worker) -> str:
        if is_alive(worker):
            return f"{worker.in_flight} in work."
        return (
            f"{worker.in_flight} were in work when it was heard last. The others take them over, as its lease is over, "
            "and carry them on; a send whose outcome nobody knows is counted as unknown. Its log says why it stopped."
        )

    @admin.display(description="last heartbeat")
    def heartbeat(self, worker: Worker) -> str:
        return age(worker.heartbeat_at)

    @admin.display(description="threads alive")
    def threads(self, worker: Worker) -> str:
        if worker.threads_expected is None:
            return NOTHING
        return f"{worker.threads_alive} of {worker.threads_expected}"

    @admin.display(description="upstreams")
    def upstreams(self, worker: Worker) -> SafeString | str:
        told = [standing(name, [(worker.heartbeat_at, state)]) for name, state in sorted(worker.breakers.items())]
        badges = ((badge(f"{title(one.name)}: {one.state}", LOOKS[one.state], one.last_error),) for one in told)
        return format_html('<span class="badges">{}</span>', format_html_join(" ", "{}", badges)) if told else NOTHING
