"""What the pages of a notification and of a delivery have in common: why it stands so, what happened, what it says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from deliveries.console import brakes, exporting, words
from deliveries.console.badges import status_badge
from deliveries.console.base import LATEST
from deliveries.console.brakes import HeldUpAdmin
from deliveries.console.columns import NOTHING, device, indented, long, when, when_short, withheld
from deliveries.console.payload import may_read, payload
from deliveries.console.raw import RawAdmin
from deliveries.console.timeline import steps
from deliveries.masking import conceal_text
from deliveries.models import ENDS, AuditEntry, Brake, DeadLetter, Notification, PushAttempt, PushDelivery, Status

#: What operators do that belongs into the story of a push.
TOLD = (AuditEntry.Action.RESEND, AuditEntry.Action.CANCEL)


class PushAdmin(RawAdmin, HeldUpAdmin):
    """A table of pushes. A page tells one of them from its cause to its payload."""

    change_form_template = "admin/deliveries/push.html"
    fieldsets: ClassVar[Any] = ((None, {"fields": ()}),)
    also_audited = (AuditEntry.Action.LOOK,)
    list_filter_submit = True
    #: What is fetched along with the rows of a list.
    list_prefetch: ClassVar[tuple[str, ...]] = ()
    #: The columns of a CSV file, and how each is read.
    exported: ClassVar[dict[str, Callable[[Any], object]]]

    def push(self, row: Any) -> tuple[Notification, list[PushDelivery]]:
        """The notification that the page is of, and those of its deliveries that it tells of."""
        raise NotImplementedError

    def standing_words(self, row: Any) -> tuple[str, str]:
        """The cause, and what to do next."""
        raise NotImplementedError

    def get_urls(self) -> list[URLPattern]:
        named = f"deliveries_{self.opts.model_name}"
        export = self.admin_site.admin_view(lambda request: exporting.view(self, request))
        return [path("export/", export, name=f"{named}_export"), *super().get_urls()]

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        export = {"export": (exporting.chosen, "export", f"Export chosen {self.opts.verbose_name_plural} as CSV")}
        return super().get_actions(request) | export

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        more = {
            "export_address": reverse(f"admin:deliveries_{self.opts.model_name}_export"),
            "most": f"{exporting.MOST:,}",
        }
        return super().changelist_view(request, more | (extra_context or {}))

    def raw(self, row: Any) -> list[tuple[str, str]]:
        """What it says and whom it reaches, as it is."""
        notification, devices = self.push(row)
        asked = [("The request", json.dumps(notification.request, indent=2, ensure_ascii=False))]
        return [*asked, *(shown for each in devices for shown in _raw(notification, each))]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        row = context["original"]
        notification, devices = self.push(row)
        context |= _story(notification, devices) | _content(request, notification, devices)
        cause, advice = self.standing_words(row)
        context |= {
            "row": row,
            "cause": cause,
            "advice": "" if row.is_sample else advice,
            "is_live": notification.status not in ENDS or notification.reported_at is None,
            "links": _links(notification, devices),
            "badge": status_badge(row.status),
            "report": words.report(notification),
            "devices": [_device(each, is_link=each != row) for each in devices],
            "payload_of": device(devices[0]) if devices else "",
        }
        return super().render_change_form(request, context, *args, **kwargs)


def _story(notification: Notification, devices: Sequence[PushDelivery]) -> dict[str, Any]:
    """The timeline: the whole notification's, or that of the one device."""
    history = PushAttempt.objects.filter(notification=notification)
    if len(devices) == 1:
        history = history.filter(Q(delivery=devices[0]) | Q(delivery=None))
    actions = AuditEntry.objects.filter(subject=notification.pk, action__in=TOLD).order_by("-at")
    attempts = list(history.order_by("-id")[:LATEST])
    return {
        "steps": steps(notification, devices, attempts, actions[:LATEST]),
        "cut": LATEST if len(attempts) == LATEST else 0,
        "expires": when("expires_at")(notification),
    }


def _content(request: HttpRequest, notification: Notification, devices: Sequence[PushDelivery]) -> dict[str, Any]:
    """What was asked, and what goes to the first of the devices; hidden from those who may not read it."""
    if not may_read(request):
        return {"asked": _asked(notification), "hidden": withheld("What it says")}
    return {
        "asked": _asked(notification),
        "request_json": indented(notification.request),
        "payload": payload(notification, devices[0]) if devices else None,
    }


def _device(delivery: PushDelivery, *, is_link: bool) -> dict[str, Any]:
    """A line of the table of devices."""
    unknown = f" and {delivery.unknown_count} unknown" if delivery.unknown_count else ""
    return {
        "name": device(delivery),
        "address": reverse("admin:deliveries_pushdelivery_change", args=[delivery.pk]) if is_link else "",
        "badge": status_badge(delivery.status),
        "code": delivery.error_code or NOTHING,
        "why": conceal_text(delivery.error_message) or NOTHING,
        "tries": f"{delivery.attempts}{unknown}",
        "sending": when_short("sending_at")(delivery),
        "sent": when_short("sent_at")(delivery),
        "answer": delivery.provider_message_id or NOTHING,
    }


def _raw(notification: Notification, delivery: PushDelivery) -> Iterator[tuple[str, str]]:
    yield f"Delivery {delivery.pk}: its {delivery.target}", delivery.device_token
    sent = payload(notification, delivery, raw=True)
    said = f"What goes to it, {sent.size} of {sent.most} bytes" if sent.text else "What goes to it"
    yield said, sent.text or sent.trouble


def _asked(notification: Notification) -> list[tuple[str, str]]:
    return [
        ("Notification id", long(notification.pk)),
        ("User", long(notification.user_id)),
        ("Template", long(notification.template_id) if notification.template_id else NOTHING),
        ("Correlation id", long(notification.correlation_id)),
        ("Came by", notification.source),
        ("Priority", "high" if notification.high_priority else "normal"),
        ("Guarantee", "at most once" if notification.at_most_once else "at least once"),
    ]


def _links(notification: Notification, devices: Sequence[PushDelivery]) -> list[SafeString]:
    """To what has to do with it: the user's others, its dead letter, the brake that holds it."""
    pushes = reverse("admin:deliveries_notification_changelist", query={"q": notification.user_id})
    links = [_link(pushes, f"All of user {notification.user_id}")] if notification.user_id else []
    letter = DeadLetter.objects.filter(notification_id=notification.pk).defer("body").order_by("-id").first()
    if letter:
        address = reverse("admin:deliveries_deadletter_change", args=[letter.pk])
        links.append(_link(address, f"Its dead letter, {letter.state}"))
    rounds = [each.brake_round for each in devices if each.brake_round and each.status == Status.PENDING]
    for brake in Brake.objects.filter(Q(round__in=rounds) | Q(earlier_rounds__overlap=rounds))[:1] if rounds else ():
        address = reverse("admin:deliveries_brake_change", args=[brake.pk])
        links.append(_link(address, f"Held by the brake of {brake.subject}, {brakes.standing(brake)}"))
    return links


def _link(address: str, words: str) -> SafeString:
    return format_html('<a href="{}">{}</a>', address, words)
