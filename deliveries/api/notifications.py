"""Notifications over HTTP: accepted by POST, looked at by GET, sent again or ended by their operators."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from rest_framework.mixins import RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from deliveries.api import bodies, intake, operations
from deliveries.api.answers import Accepted, AcceptedItem, Answered, Operated, RefusedItem, Results
from deliveries.api.base import ApiView
from deliveries.api.errors import Refused, shape
from deliveries.api.openapi import NOTIFICATION_ID, RESEND_ERRORS, documented
from deliveries.api.request_schema import CORRELATION_ID, EXAMPLES, HEADER_TEXT, NOTIFICATIONS
from deliveries.api.serializers import HISTORY_SHOWN, NotificationSerializer
from deliveries.api.throttling import take
from deliveries.models import Notification, PushAttempt, PushDelivery

MOST_ITEMS = 500


class NotificationViewSet(ApiView, RetrieveModelMixin, GenericViewSet[Notification]):
    """`POST` accepts notifications, `GET` tells what became of one."""

    queryset = Notification.objects.prefetch_related(
        Prefetch("deliveries", PushDelivery.objects.defer("title", "body", "data").order_by("id")),
        Prefetch("history", PushAttempt.objects.order_by("-id")[:HISTORY_SHOWN], to_attr="latest"),
    )
    serializer_class = NotificationSerializer

    def get_object(self) -> Notification:
        """Raises Refused where there is none."""
        found = self.get_queryset().filter(pk=self.kwargs["notification_id"]).first()
        if found is None:
            raise Refused("unknown_notification")
        return found

    @documented(
        "Send a notification, or a list of them",
        "Answers once they are in the ledger. The same `notification_id` again is the same notification: with the same "
        f"content the answer is the same, with another it is a 409. A list (of {MOST_ITEMS} at most) is answered with "
        "a result for each item, in order, as if it had come alone: 202 when all of them were accepted, 207 when not.",
        {202: Answered, 207: Results},
        errors=(
            "invalid_message",
            "invalid_list",
            "invalid_request",
            "conflict",
            "too_large",
            "unsupported_media_type",
        ),
        request=NOTIFICATIONS,
        parameters=[CORRELATION_ID],
        examples=EXAMPLES,
    )
    def create(self, request: Request) -> Response:
        body = bodies.read(request, bodies.MAX_LIST_BYTES)
        document = bodies.parsed(body, "invalid_message")
        if isinstance(document, list):
            return _accept_list(request, document)
        [answer] = intake.accept([intake.read(document, _correlation_id(request), body)], request)
        if isinstance(answer, Refused):
            raise answer
        return Response(answer.model_dump(), status=202)

    @documented(
        "What became of a notification",
        "With its deliveries, its report to the gateway, its latest 100 attempts that did not succeed at once, and "
        "what its operators did. An id that ends in `/resend` or `/cancel` cannot be asked for here.",
        {200: NotificationSerializer},
        errors=("unknown_notification",),
        parameters=[NOTIFICATION_ID],
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @documented(
        "Send a notification again",
        "Its devices and its text are looked up anew. Only with `force` is sent again what was accepted before.",
        {202: Operated},
        errors=(*RESEND_ERRORS, "unknown_notification"),
        request=operations.ResendBody,
        parameters=[NOTIFICATION_ID],
    )
    def resend(self, request: Request, notification_id: str) -> Response:
        return operations.resend(request, notification_id)

    @documented(
        "Cancel a notification",
        "It ends before its next send; what is at the provider already cannot be called back.",
        {202: Operated},
        errors=("invalid_request", "unknown_notification", "ended", "too_large", "unsupported_media_type"),
        request=operations.CancelBody,
        parameters=[NOTIFICATION_ID],
    )
    def cancel(self, request: Request, notification_id: str) -> Response:
        return operations.cancel(request, notification_id)


def _accept_list(request: Request, documents: list[Any]) -> Response:
    if not 1 <= len(documents) <= MOST_ITEMS:
        raise Refused("invalid_list", f"The list has {len(documents)} items; it may have 1 to {MOST_ITEMS}.")
    take(request.auth, len(documents) - 1, on_credit=True)  # type: ignore[arg-type]  # only keys get this far
    correlation_id = _correlation_id(request)
    answers = intake.accept([intake.read(document, correlation_id) for document in documents], request)
    all_accepted = not any(isinstance(answer, Refused) for answer in answers)
    return Response({"results": [_item(answer) for answer in answers]}, status=202 if all_accepted else 207)


def _item(answer: Accepted | Refused) -> dict[str, Any]:
    if isinstance(answer, Refused):
        return RefusedItem(status_code=answer.status_code, **shape(answer)).model_dump()
    return AcceptedItem(**answer.model_dump()).model_dump()


def _correlation_id(request: Request) -> str:
    """The header's. Raises Refused for one that could be nobody's, whether or not it is needed."""
    given = request.headers.get("X-Correlation-ID", "")
    if not HEADER_TEXT.fullmatch(given):
        fault = (
            "X-Correlation-ID",
            "should have 255 characters at most, all ASCII and none a control character",
        )
        raise Refused.for_faults("invalid_request", [fault])
    return given
