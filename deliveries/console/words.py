"""The console in plain words: how a notification stands, why, what to do next; and what came of what was asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import groupby

from django.conf import settings
from django.contrib import messages
from django.db.models.functions import Now
from django.utils import timezone

from deliveries.endings import DRY_RUN
from deliveries.masking import conceal_text
from deliveries.models import ENDS, Notification, PushDelivery, Status, Worker
from deliveries.operations import Outcome

#: What came of an operation that did something, behind the number of rows.
DONE = {
    "resent": "will be sent again",
    "cancelling": "will not be sent any more",
    "redriven": "accepted, and on the way",
    "known": "closed: a notification of the same id is there already",
    "discarded": "discarded",
    "believed": "counted as dead from now on",
    "forgotten": "counted as living, and will be tried again",
    "lifted": "lifted: what waited for it is due",
    "paused": "paused: nothing is sent through it until somebody resumes",
    "resumed": "resumed: what waited is sent, and sends climb back to their full pace within a minute",
    "revoked": "revoked: calls with such a key answer 401 from now on",
}

SENTENCES = 5  # of one kind, in one message

#: What to do about our own reasons. Those of a provider bring their advice with them.
ADVICE = {
    "opted_out": "Nothing to do: the user does not want pushes.",
    DRY_RUN: "Nothing to do: it was a trial. To have it sent, accept it anew without dry_run.",
    "no_device": "Nothing to do here: the app registers a device with the user service when it is opened.",
    "unknown_user": "Ask the producer of the message where this user id comes from.",
    "user_refused": "Ask the operators of the user service.",
    "template_missing": "Create the template in the template service, or mend the producer's template id.",
    "template_refused": "Compare the request's variables, below, with what the template needs.",
    "expired": "If it was to wait longer, give it a later expires_at or a longer ttl.",
    "exhausted": "When what failed, below, is well again, resend it, or redrive its dead letter.",
    "crash_loop": "Look at the last log lines of the workers that stopped, and at their memory. Then resend it.",
    "unreadable_request": "Find out who changed its row, and send the notification anew under another id.",
    "cancelled": "Nothing to do. If it is wanted after all, resend it.",
    "device_gone": "The user service no longer lists this device.",
    "unknown_outcome": "It may have arrived; its guarantee, at_most_once, forbids another try.",
}


def cause(notification: Notification) -> str:
    """How it stands and why, in a sentence or two."""
    if notification.status == Status.SENT:
        return _sent(notification)
    reason = notification.error_message or notification.error_code
    if notification.status == Status.CANCELLED:
        return conceal_text(reason) or "It was cancelled."
    if notification.status == Status.SKIPPED and notification.error_code != DRY_RUN:  # which says so itself
        return f"Nothing was sent. {reason}"
    if notification.status in ENDS:
        return reason
    if notification.cancel_reason:
        return f"Nothing more of it is sent, and it is about to end. {conceal_text(notification.cancel_reason)}"
    return f"{_waiting(notification)} {f'Until now: {reason}' if reason else ''}".strip()


def cause_of_delivery(delivery: PushDelivery) -> str:
    """How the push to one device stands and why."""
    if delivery.status == Status.SENT:
        again = " It was sent before, and nobody knows whether that arrived too." if delivery.unknown_count else ""
        return f"It was accepted for this device.{again}"
    reason = conceal_text(delivery.error_message) or delivery.error_code
    if delivery.status in ENDS:
        return reason or "It was not sent."
    if delivery.status == Status.SENDING:
        return "It is being sent."
    due = delivery.next_attempt_at
    waits = f"It waits for its next attempt at {due:%H:%M:%S} UTC." if due else "It is about to be sent."
    return f"{waits} {f'Until now: {reason}' if reason else ''}".strip()


def advice(notification: Notification) -> str:
    """What to do about it; empty where the cause says it or nothing needs doing."""
    if notification.status in ENDS:
        return ADVICE.get(notification.error_code, "")
    return no_worker()


def report(notification: Notification) -> str:
    """What the gateway has been told."""
    if settings.PUSH.api_gateway_url is None:
        return "There is no gateway to tell."
    if notification.reported_at is not None:
        return "The gateway has been told."
    if notification.report_refused_at is not None:
        return f"The gateway has not been told, and will not be: {notification.report_error}"
    if notification.status not in ENDS:
        return "The gateway is told when it has ended."
    if notification.report_attempts == 0:
        return "The gateway is about to be told."
    tried = f"{notification.report_attempts} attempts" if notification.report_attempts > 1 else "1 attempt"
    return f"The gateway is still owed word of it after {tried}: {notification.report_error}"


def no_worker() -> str:
    """What to do where no worker is alive; empty where one is."""
    return "" if _anybody_works() else f"No worker is alive. Start one: {worker_command()}"


def worker_command() -> str:
    """The command that starts a worker as this service is set up."""
    embedded = settings.PUSH.embedded_broker
    return "python manage.py serve" if embedded else "python manage.py rundramatiq"


def _sent(notification: Notification) -> str:
    devices = PushDelivery.objects.filter(notification=notification).values_list("status", "error_code")
    others = sorted(code for status, code in devices if status != Status.SENT)
    count = len(devices)
    accepted = f"Accepted for {count - len(others)} of {count} {'device' if count == 1 else 'devices'}."
    return f"{accepted} Not for the rest: {', '.join(others)}." if others else accepted


def told(outcomes: Sequence[Outcome]) -> Iterator[tuple[int, str]]:
    """What came of an operation: a message for each kind, what was done first, with its level."""
    for code, group in groupby(sorted(outcomes, key=_done_first), key=_code):
        refusals = [f"{outcome.subject}: {outcome.sentence}" for outcome in group]
        count = len(refusals)
        if code in DONE:
            yield messages.SUCCESS, f"{count} {DONE[code]}."
        else:
            yield messages.WARNING, f"{count} {'was' if count == 1 else 'were'} not: {_some(refusals)}"
    if warnings := [outcome.warning for outcome in outcomes if outcome.warning]:
        yield messages.WARNING, f"Of {len(warnings)}: {_some(warnings)}"


def unfit_words(unfit: int, chosen: int) -> str:
    """That the operation does not fit some of the chosen rows; nothing where it fits all."""
    if not unfit:
        return ""
    of_them = "any of them" if unfit == chosen else f"{unfit} of {chosen}"
    return f"Nothing will be done to {of_them}, as they stand now."


def _done_first(outcome: Outcome) -> tuple[bool, str]:
    return not outcome.done, outcome.code


def _code(outcome: Outcome) -> str:
    return outcome.code


def _some(sentences: list[str]) -> str:
    """The different ones among them, as many as a person reads."""
    different = list(dict.fromkeys(sentences))
    more = len(different) - SENTENCES
    return " ".join(different[:SENTENCES]) + (f" And {more} more." if more > 0 else "")


def _waiting(notification: Notification) -> str:
    resent = notification.resent_at
    again = f"It is being sent again, as was asked for at {resent:%H:%M:%S} UTC." if resent else ""
    return " ".join(filter(None, (again, _suspicion(notification), _what_it_waits_for(notification))))


def _suspicion(notification: Notification) -> str:
    if not notification.crashes:
        return ""
    times = "once" if notification.crashes == 1 else f"{notification.crashes} times"
    carried = "with few others" if notification.crashes == 1 else "on its own"
    return f"Its worker stopped {times} while it had it in work: it is carried {carried} now."


def _what_it_waits_for(notification: Notification) -> str:
    if notification.worker_id is not None:
        return "A worker has it in work."
    due = notification.next_attempt_at
    if due is not None and due > timezone.now():
        return f"It waits for its next attempt at {due:%H:%M:%S} UTC."
    return "It is due, and waits for a worker."


def _anybody_works() -> bool:
    lease = timedelta(seconds=settings.PUSH.delivery_lease)
    return Worker.objects.filter(heartbeat_at__gt=Now() - lease).exists()
