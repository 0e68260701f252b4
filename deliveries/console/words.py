"""A notification's state in plain words: how it stands, why, what to do next, and what the gateway knows of it."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from deliveries.models import ENDS, Notification, PushDelivery, Status, Worker

#: What to do about our own reasons. Those of a provider bring their advice with them.
ADVICE = {
    "opted_out": "Nothing to do: the user does not want pushes.",
    "no_device": "Nothing to do here: the app registers a device with the user service when it is opened.",
    "unknown_user": "Ask the producer of the message where this user id comes from.",
    "user_refused": "Ask the operators of the user service.",
    "template_missing": "Create the template in the template service, or mend the producer's template id.",
    "template_refused": "Compare the request's variables, below, with what the template needs.",
    "expired": "If it was to wait longer, give it a later expires_at or a longer ttl.",
    "exhausted": "The history, below, shows every attempt; there is a dead letter of it too.",
    "unknown_outcome": "It may have arrived; its guarantee, at_most_once, forbids another try.",
}


def cause(notification: Notification) -> str:
    """How it stands and why, in a sentence or two."""
    if notification.status == Status.SENT:
        return _sent(notification)
    reason = notification.error_message or notification.error_code
    if notification.status in ENDS:
        lead = {Status.SKIPPED: "Nothing was sent.", Status.CANCELLED: "It was cancelled."}
        return f"{lead.get(Status(notification.status), '')} {reason}".strip()
    return f"{_waiting(notification)} {f'Until now: {reason}' if reason else ''}".strip()


def advice(notification: Notification) -> str:
    """What to do about it; empty where the cause says it or nothing needs doing."""
    if notification.status in ENDS:
        return ADVICE.get(notification.error_code, "")
    if not _anybody_works():
        return f"No worker is alive. Start one: {worker_command()}"
    return ""


def report(notification: Notification) -> str:
    """What the gateway has been told."""
    if notification.reported_at is not None:
        return "The gateway has been told."
    if notification.report_refused_at is not None:
        return f"The gateway refused to hear of it, for good: {notification.report_error}"
    if notification.status not in ENDS:
        return "The gateway is told when it has ended."
    if notification.report_attempts == 0:
        return "The gateway is about to be told."
    tried = f"{notification.report_attempts} attempts" if notification.report_attempts > 1 else "1 attempt"
    return f"The gateway is still owed word of it after {tried}: {notification.report_error}"


def worker_command() -> str:
    """The command that starts a worker as this service is set up."""
    embedded = settings.PUSH.embedded_broker
    return "python manage.py serve" if embedded else "python manage.py rundramatiq"


def _sent(notification: Notification) -> str:
    devices = PushDelivery.objects.filter(notification=notification).values_list("status", "error_code")
    others = sorted(code for status, code in devices if status != Status.SENT)
    count = len(devices)
    accepted = f"Accepted by FCM for {count - len(others)} of {count} {'device' if count == 1 else 'devices'}."
    return f"{accepted} Not for the rest: {', '.join(others)}." if others else accepted


def _waiting(notification: Notification) -> str:
    if notification.worker_id is not None:
        return "A worker has it in work."
    due = notification.next_attempt_at
    if due is not None and due > timezone.now():
        return f"It waits for its next attempt at {due:%H:%M:%S} UTC."
    return "It is due, and waits for a worker."


def _anybody_works() -> bool:
    lease = timedelta(seconds=settings.PUSH.delivery_lease)
    return Worker.objects.filter(heartbeat_at__gt=timezone.now() - lease).exists()
