"""Providers and the services around us: how each stands on all workers; pausing and resuming what a provider sends.

A page of the console that belongs to no table.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.safestring import SafeString

from deliveries import operations
from deliveries.console import words
from deliveries.console.audit import actions_on
from deliveries.console.badges import BAD, GOOD, QUIET, WARNING, badge
from deliveries.console.columns import NOTHING, age, brief, clock
from deliveries.console.fleet import UNKNOWN, Standing, heard_lately, living, standings, title
from deliveries.console.holdups import HoldUp, held_up
from deliveries.console.operating import Chosen, Confirmation, Operation, actor
from deliveries.models import AuditEntry, Brake
from deliveries.operations import Outcome, Who

PAUSES = (AuditEntry.Action.PAUSE, AuditEntry.Action.RESUME)

LOOKS = {"closed": GOOD, "half-open": WARNING, "open": BAD, "no credentials": BAD, UNKNOWN: QUIET}
NOBODY_TELLS = "No worker tells of it. Start one: {}"
WORDS = {"closed": "well", "half-open": "being probed", "open": "failing"}


def pause(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return [operations.pause(row.key, who) for row in chosen]


def resume(chosen: Sequence[Chosen], who: Who, _force: bool) -> list[Outcome]:
    return [operations.resume(row.key, who) for row in chosen]


PAUSE = Operation(
    AuditEntry.Action.PAUSE,
    "No worker begins another send through it, not of what is in work either, until somebody resumes it; a restart "
    "changes nothing. Nothing is lost: what waits is sent afterwards. But what expires meanwhile ends as expired, with "
    "your reason, and is not sent.",
    frozenset({"sending"}),
    pause,
    needs_reason=True,
)
RESUME = Operation(
    AuditEntry.Action.RESUME,
    "What waits is sent, each once; sends climb from nothing to their full pace within a minute. What has expired "
    "meanwhile stays expired: it can be resent.",
    frozenset({"paused"}),
    resume,
)


@dataclass(frozen=True, slots=True)
class Card:
    """One provider, as the page shows it."""

    standing: Standing
    holdups: list[HoldUp]
    actions_taken: list[dict[str, str]]

    @property
    def name(self) -> str:
        return self.standing.name

    @property
    def paused(self) -> HoldUp | None:
        """The pause of an operator, while it is on."""
        return next((held for held in self.holdups if held.brake.awaits_a_person), None)

    @property
    def state(self) -> SafeString:
        if self.paused:
            return badge("paused", WARNING)
        throttled = any(held.is_on and held.brake.scope == Brake.Scope.PROJECT for held in self.holdups)
        return badge("throttled", WARNING) if throttled else state_badge(self.standing)

    @property
    def rows(self) -> list[tuple[str, str]]:
        """What there is to know of it, by name."""
        quota = settings.PUSH.fcm_quota
        credentials = "refused: " + self.standing.credentials if self.standing.credentials else "accepted"
        credentials = credentials if self.standing.of else "not known"
        return [
            *facts(self.standing),
            ("Credentials", credentials),
            ("Full pace", f"{quota / 60:,g} sends a second after a pause (FCM_QUOTA: {quota:,} a minute)"),
            *(("Push service", f"{origin}: {trouble}") for origin, trouble in self.standing.parts),
        ]


def state_badge(standing: Standing) -> SafeString:
    """How a provider or a service stands, on all workers that know it."""
    return badge(WORDS.get(standing.state, standing.state), LOOKS[standing.state])


def facts(standing: Standing) -> list[tuple[str, str]]:
    """What the workers' breakers say, by name."""
    state = standing.state if standing.state != "no credentials" else NOTHING
    return [
        (
            "Breaker",
            f"{state}, on {standing.on_workers}" if standing.of else NOBODY_TELLS.format(words.worker_command()),
        ),
        ("Failing since", _moment(standing.since)),
        ("Next probe", _moment(standing.next_probe)),
        ("Last error", standing.last_error or "none"),
        ("p95 of its calls", NOTHING if standing.p95 is None else brief(standing.p95)),
    ]


def _moment(time: datetime | None) -> str:
    return f"{clock(time)} UTC ({age(time)})" if time else NOTHING


def page(request: HttpRequest) -> HttpResponse:
    """What carries the pushes, and what they need on the way. Raises PermissionDenied."""
    if not request.user.has_perm("deliveries.view_worker"):
        raise PermissionDenied
    told, holdups = standings(living(heard_lately())), held_up()
    names = _names(holdups)
    taken = actions_on(names, PAUSES)
    services = [told.get(name, Standing(name)) for name in _services()]
    context = admin.site.each_context(request) | {
        "title": "Providers",
        "cards": [_card(name, told, holdups, taken) for name in names],
        "services": [(service, state_badge(service), facts(service)) for service in services],
        "may_operate": request.user.has_perm("deliveries.operate"),
    }
    return TemplateResponse(request, "admin/deliveries/providers.html", context)


def confirmation(request: HttpRequest, name: str, operation: Operation) -> HttpResponse:
    """Asks (GET), or does it (POST). Raises PermissionDenied, or Http404 for a provider that is not there."""
    if not (request.user.has_perm("deliveries.view_worker") and request.user.has_perm("deliveries.operate")):
        raise PermissionDenied
    if name not in _names(held_up()):
        raise Http404
    data = request.POST if request.method == "POST" else None
    form = Confirmation(operation, False, data)
    if data is not None and form.is_valid():
        who = Who(actor(request), form.cleaned_data["reason"])
        for level, message in words.told(operation.act([Chosen(name, title(name), "", "", "")], who, False)):
            messages.add_message(request, level, message)
        return HttpResponseRedirect(reverse("admin:providers"))
    context = admin.site.each_context(request) | {
        "title": f"{operation.title} {title(name)}?",
        "operation": operation,
        "form": form,
        "address": reverse(f"admin:{operation.name}_provider", args=[name]),
        "back": reverse("admin:providers"),
    }
    return TemplateResponse(request, "admin/deliveries/confirmation.html", context)


def urls(site: admin.AdminSite) -> list[URLPattern]:
    """The page's addresses, for the console's site."""
    return [
        path("providers/", site.admin_view(page), name="providers"),
        *(
            path(
                f"providers/<str:name>/{operation.name}/",
                site.admin_view(partial(confirmation, operation=operation)),
                name=f"{operation.name}_provider",
            )
            for operation in (PAUSE, RESUME)
        ),
    ]


def _card(name: str, told: dict[str, Standing], holdups: list[HoldUp], taken: Sequence[dict[str, str]]) -> Card:
    mine = [held for held in holdups if held.brake.provider == name]
    return Card(told.get(name, Standing(name)), mine, [action for action in taken if action["subject"] == name])


def _names(holdups: Sequence[HoldUp]) -> list[str]:
    """The providers in force, and those that were when somebody paused them."""
    paused = [held.brake.provider for held in holdups if held.brake.scope == Brake.Scope.OPERATOR]
    return list(dict.fromkeys([*settings.PROVIDERS, *paused]))


def _services() -> list[str]:
    gateway = [] if settings.PUSH.api_gateway_url is None else ["gateway"]
    return ["user_service", "template_service", *gateway]
