"""Dead letters by reason: thousands are a handful of causes, each redriven at a rate or discarded as a whole."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import quote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminTextInputWidget

from deliveries import operations, redriving
from deliveries.console.columns import NOTHING, age, brief
from deliveries.console.operating import OperableAdmin, actor
from deliveries.console.samples import count_badge
from deliveries.console.words import no_worker
from deliveries.ledger.audit import LONGEST_REASON
from deliveries.masking import conceal_text
from deliveries.operations import Who
from deliveries.redriving import COUNTED_LETTERS, HIGHEST_RATE, MOST_LETTERS, USUAL_RATE, Cause, Queue

#: Causes that the page names; where there are more, most are of one letter each.
NAMED = 50

STAMP = "%Y-%m-%d %H:%M:%S"


class Why(forms.Form):
    """Why it is done."""

    reason = forms.CharField(
        max_length=LONGEST_REASON, widget=UnfoldAdminTextInputWidget(), help_text="It is kept in the audit log."
    )


class WhyAndHowFast(Why):
    """Why they are redriven, and how fast."""

    rate = forms.IntegerField(
        min_value=1,
        max_value=HIGHEST_RATE,
        initial=USUAL_RATE,
        label="Letters a minute",
        widget=UnfoldAdminIntegerFieldWidget(),
        help_text="The workers redrive them evenly, behind what is being redriven already.",
    )


class CausesAdmin(OperableAdmin):
    """Dead letters, with a page that groups the open ones."""

    fieldsets: ClassVar[Any] = None
    change_list_template = "admin/deliveries/letters.html"

    def get_urls(self) -> list[URLPattern]:
        views = {
            "": self.causes_view,
            "redrive/": self.redrive_view,
            "discard/": self.discard_view,
            "stop/": self.stop_view,
        }
        urls = [
            path(f"causes/{address}", self.admin_site.admin_view(view), name=_name(address))
            for address, view in views.items()
        ]
        return [*urls, *super().get_urls()]

    def causes_view(self, request: HttpRequest) -> HttpResponse:
        """The causes, the most first. Raises PermissionDenied."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        causes, queue = redriving.causes(), redriving.queue()
        context = self.admin_site.each_context(request) | {
            "title": "Dead letters by reason",
            "opts": self.opts,
            "causes": [_shown(cause) for cause in causes[:NAMED]],
            "more": len(causes) - NAMED,
            "counted": any(cause.cut for cause in causes) and f"{COUNTED_LETTERS:,}",
            "empty_state": self.empty_state,
            "may_operate": self.has_operate_permission(request),
            "queue": queue and _progress(queue),
        }
        return TemplateResponse(request, "admin/deliveries/letter_causes.html", context)

    def redrive_view(self, request: HttpRequest) -> HttpResponse:
        def act(cause: Cause, form: forms.Form, who: Who) -> str:
            queued = redriving.queue_up(cause, form.cleaned_data["rate"], who)
            return f"{queued:,} will be redriven, {form.cleaned_data['rate']:,} a minute." if queued else ""

        consequence = (
            f"Each that is open is tried once more when its turn comes, {MOST_LETTERS:,} of them at most: a message is "
            "read again, and a notification whose attempts were used up is sent again. What still cannot be redriven "
            "stays open, with a note why."
        )
        return self._ask_or_do(request, "redrive", consequence, WhyAndHowFast, act)

    def discard_view(self, request: HttpRequest) -> HttpResponse:
        def act(cause: Cause, _form: forms.Form, who: Who) -> str:
            outcomes = operations.discard(redriving.letters_of(cause), who)
            discarded = sum(outcome.done for outcome in outcomes)
            return f"{discarded:,} discarded." if discarded else ""

        consequence = (
            f"Each that is open is closed for good, {MOST_LETTERS:,} of them at most: nothing is sent. They stay in "
            "the list as discarded."
        )
        return self._ask_or_do(request, "discard", consequence, Why, act)

    def stop_view(self, request: HttpRequest) -> HttpResponse:
        """Stops the redrive. Raises PermissionDenied."""
        self._refuse_others(request)
        form = Why(request.POST if request.method == "POST" else None, label_suffix="")
        if not form.is_valid():
            consequence = "Nothing more of what waits is redriven; it stays open. What was redriven stays redriven."
            return self._ask(request, "stop", "Stop redriving?", consequence, form)
        left = redriving.stop(Who(actor(request), form.cleaned_data["reason"]))
        _tell(request, f"Stopped: {left:,} stay open." if left else "", "Nothing was being redriven any more.")
        return HttpResponseRedirect(reverse("admin:deliveries_deadletter_causes"))

    def _ask_or_do(
        self,
        request: HttpRequest,
        verb: str,
        consequence: str,
        of: type[Why],
        act: Callable[[Cause, forms.Form, Who], str],
    ) -> HttpResponse:
        """Asks (GET), or does it to the letters of a cause (POST). Raises PermissionDenied."""
        self._refuse_others(request)
        key = request.GET.get("key", "")
        cause = next(
            (cause for cause in redriving.causes() if cause.key == key and cause.code == request.GET.get("code")), None
        )
        form = of(request.POST if request.method == "POST" else None, label_suffix="")
        if cause is not None and not form.is_valid():
            count = f"{'at least ' if cause.cut else ''}{cause.letters:,}"
            title = f"{verb.capitalize()} {count} dead letter{'' if cause.letters == 1 else 's'}?"
            return self._ask(request, verb, title, consequence, form, cause)
        done = act(cause, form, Who(actor(request), form.cleaned_data["reason"])) if cause is not None else ""
        _tell(request, done, "None of them is open any more, or all wait to be redriven already.")
        return HttpResponseRedirect(reverse("admin:deliveries_deadletter_causes"))

    def _ask(
        self,
        request: HttpRequest,
        verb: str,
        title: str,
        consequence: str,
        form: forms.Form,
        cause: Cause | None = None,
    ) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": title,
            "opts": self.opts,
            "operation": {"title": verb.capitalize(), "consequence": consequence},
            "about": cause and f"{cause.code}: {_words(cause)}",
            "form": form,
            "address": request.get_full_path(),
            "back": reverse("admin:deliveries_deadletter_causes"),
        }
        return TemplateResponse(request, "admin/deliveries/confirmation.html", context)

    def _refuse_others(self, request: HttpRequest) -> None:
        if not (self.has_view_permission(request) and self.has_operate_permission(request)):
            raise PermissionDenied


def _name(address: str) -> str:
    return f"deliveries_deadletter_causes{'_' + address.rstrip('/') if address else ''}"


def _tell(request: HttpRequest, done: str, otherwise: str) -> None:
    messages.add_message(request, messages.SUCCESS if done else messages.WARNING, done or otherwise)


def _words(cause: Cause) -> str:
    """Its reason, where what differs is left out; a full stop behind that would be a fourth dot."""
    return conceal_text(cause.cause).replace("….", "…") or NOTHING


def _shown(cause: Cause) -> dict[str, Any]:
    return {
        "code": cause.code,
        "key": cause.key,
        "words": _words(cause),
        "sample": count_badge(cause.samples),
        "letters": f"{cause.letters:,}{'+' if cause.cut else ''}",
        "again": cause.messages > cause.letters and f"{cause.messages - cause.letters:,}",
        "queued": cause.queued and f"{cause.queued:,}",
        "kept": cause.kept and f"{cause.kept:,}",
        "note": conceal_text(cause.note),
        "first": f"{cause.first_seen_at:{STAMP}}",
        "first_age": age(cause.first_seen_at),
        "last": f"{cause.last_seen_at:{STAMP}}",
        "last_age": age(cause.last_seen_at),
        "example": cause.example,
        "example_address": reverse("admin:deliveries_deadletter_change", args=[quote(cause.example)]),
        "can_be_redriven": cause.queued < cause.letters,
    }


def _progress(queue: Queue) -> dict[str, Any]:
    left = (queue.ends_at - timezone.now()).total_seconds()
    return {
        "done": f"{queue.done:,}",
        "total": f"{queue.total:,}",
        "bar_done": str(queue.done),  # a number would be written with a separator
        "bar_total": str(queue.total),
        "left": f"about {brief(left)} left" if left > 1 else "the last are due",
        "by": queue.asked.actor if queue.asked else "",
        "reason": conceal_text(queue.asked.reason) if queue.asked else "",
        "no_worker": no_worker(),
    }
