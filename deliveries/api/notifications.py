"""Notifications over HTTP: accepted by POST, looked at by GET."""

from __future__ import annotations

import logging
from typing import Any
from uuid import uuid4

import dramatiq
from django.conf import settings
from django.db.models import Prefetch
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.reverse import reverse
from rest_framework.viewsets import GenericViewSet

from deliveries.api.base import ApiView
from deliveries.api.errors import Invalid, TooLarge
from deliveries.api.serializers import NotificationSerializer
from deliveries.contract import MAX_BODY_BYTES, InvalidMessage, PushRequest, read
from deliveries.ledger import direct
from deliveries.models import Notification, PushAttempt, PushDelivery, Status
from deliveries.profiles import in_force

logger = logging.getLogger(__name__)

#: Of a history that grew for days, this many of its latest lines are shown.
HISTORY_SHOWN = 100


class NotificationViewSet(ApiView, RetrieveModelMixin, GenericViewSet[Notification]):
    """`POST` accepts a notification, `GET` tells what became of it."""

    queryset = Notification.objects.prefetch_related(
        Prefetch("deliveries", PushDelivery.objects.order_by("id")),
        Prefetch("history", PushAttempt.objects.order_by("-id")[:HISTORY_SHOWN], to_attr="latest"),
    )
    serializer_class = NotificationSerializer
    lookup_field = "notification_id"

    def create(self, request: Request) -> Response:
        """Answers 202 once the notification is committed; for a known id too, with its status."""
        push = _read(request)
        high = in_force(settings.PUSH).is_high(push.priority)
        if direct.accept(push, high, settings.PUSH.notification_ttl) is None:
            known = Notification.objects.get(pk=push.notification_id)
            return _accepted(request, known.pk, known.status, known.correlation_id, duplicate=True)
        ids = {"notification_id": push.notification_id, "correlation_id": push.correlation_id}
        logger.info("Notification accepted", extra=ids)
        dramatiq.get_broker().wake([push.notification_id])  # type: ignore[attr-defined]
        return _accepted(request, push.notification_id, Status.PENDING, push.correlation_id)


def _read(request: Request) -> PushRequest:
    """The body as the contract reads it; what may be left out is made up here. Raises Invalid."""
    correlation_id = request.headers.get("X-Correlation-ID")
    try:
        return read(
            _body(request),
            message_id=str(uuid4()),
            correlation_id=correlation_id,
            trust_tokens=settings.PUSH.trust_message_tokens,
        )
    except InvalidMessage as invalid:
        raise Invalid(invalid) from None


def _body(request: Request) -> bytes:
    """The body, whatever its content type; raises TooLarge.

    Django takes a body without Content-Length (chunked) for empty; a server that ends the stream
    itself lets us read it.
    """
    ends = request.META.get("wsgi.input_terminated")
    source: Any = request.META["wsgi.input"] if ends else request
    body: bytes = source.read(MAX_BODY_BYTES + 1)
    if len(body) > MAX_BODY_BYTES:
        raise TooLarge
    return body


def _accepted(
    request: Request, notification_id: str, status: str, correlation_id: str, *, duplicate: bool = False
) -> Response:
    itself = reverse("notification", kwargs={"notification_id": notification_id}, request=request)
    answer = {
        "notification_id": notification_id,
        "status": status,
        "correlation_id": correlation_id,
        "duplicate": duplicate,
        "links": {"self": itself},
    }
    return Response(answer, status=202)
