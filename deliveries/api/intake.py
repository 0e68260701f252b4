"""Accepting over HTTP: one document or many, all that is new in one statement, and an answer for each."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from uuid import uuid4

import dramatiq
from django.conf import settings
from rest_framework.request import Request

from deliveries.api import links
from deliveries.api.answers import Accepted, Links
from deliveries.api.errors import Refused
from deliveries.api.repeats import Known, known
from deliveries.contract import MAX_BODY_BYTES, InvalidMessage, PushRequest, read_document, written
from deliveries.ledger import Accept, direct
from deliveries.models import Status
from deliveries.neighbours.profiles import in_force

logger = logging.getLogger(__name__)


def read(document: object, correlation_id: str, body: bytes | None = None) -> PushRequest | Refused:
    """The document as the contract reads it, `body` being its bytes; what may be left out is made up here.

    `correlation_id` is for a document that has none; empty: another one is made up.
    """
    defaults = {"notification_id": str(uuid4()), "correlation_id": correlation_id}
    try:
        body = written(document) if body is None else body
        if len(body) > MAX_BODY_BYTES:
            return Refused("too_large")
        return read_document(document, defaults, body=body, trust_tokens=settings.PUSH.trust_message_tokens)
    except InvalidMessage as invalid:
        return Refused.for_message(invalid)


def accept(pushes: Sequence[PushRequest | Refused], request: Request) -> list[Accepted | Refused]:
    """Commits all that are new, together, and wakes the workers once. Returns an answer for each, in order.

    Raises django.db.Error; nothing is accepted then, unless only the answer to the commit was lost.
    """
    firsts: dict[str, PushRequest] = {}
    for push in pushes:
        if isinstance(push, PushRequest):
            firsts.setdefault(push.notification_id, push)
    results = direct.write(_changes(firsts.values()))
    new = [push for push, accepted in zip(firsts.values(), results, strict=True) if accepted is not None]
    _tell(new)
    answers = {id(push): _accepted(request, push.notification_id, Status.PENDING, push.correlation_id) for push in new}
    repeats = [push for push in pushes if isinstance(push, PushRequest) and id(push) not in answers]
    stored = known({push.notification_id for push in repeats}) if repeats else {}
    return [
        push
        if isinstance(push, Refused)
        else answers.get(id(push)) or _again(request, push, stored[push.notification_id])
        for push in pushes
    ]


def _changes(pushes: Iterable[PushRequest]) -> list[Accept]:
    profile, ttl = in_force(settings.PUSH), settings.PUSH.notification_ttl
    return [Accept(push, "api", profile.is_high(push.priority), ttl) for push in pushes]


def _tell(new: Sequence[PushRequest]) -> None:
    for push in new:
        ids = {"notification_id": push.notification_id, "correlation_id": push.correlation_id}
        logger.info("Notification accepted", extra=ids)
    if new:
        dramatiq.get_broker().wake([push.notification_id for push in new])  # type: ignore[attr-defined]


def _again(request: Request, push: PushRequest, stored: Known) -> Accepted | Refused:
    """The answer to an id that was there before: as the first time, if it is the same notification."""
    differing = stored.differs_in(push)
    if not differing:
        return _accepted(request, push.notification_id, stored.status, stored.correlation_id, duplicate=True)
    return Refused(
        "conflict",
        f"{push.notification_id} is the id of another notification, which differs in: {', '.join(differing)}. "
        "Give this one an id of its own.",
        [(field, "differs from what was accepted under this id") for field in differing],
    )


def _accepted(
    request: Request, notification_id: str, status: str, correlation_id: str, *, duplicate: bool = False
) -> Accepted:
    return Accepted(
        notification_id=notification_id,
        status=Status(status),
        correlation_id=correlation_id,
        duplicate=duplicate,
        links=Links(self=links.notification(request, notification_id)),
    )
