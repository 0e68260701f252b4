"""Deliveries over HTTP: a list to look for them, each with its history, and sent again one by one."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from rest_framework.mixins import ListModelMixin, RetrieveModelMixin
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer
from rest_framework.viewsets import GenericViewSet

from deliveries.api import operations
from deliveries.api.answers import Operated
from deliveries.api.base import ApiView
from deliveries.api.errors import Refused
from deliveries.api.filters import DeliveryFilters, asked, narrowed
from deliveries.api.openapi import DELIVERY_ID, RESEND_ERRORS, documented, query_parameters
from deliveries.api.paging import ById
from deliveries.api.serializers import HISTORY_SHOWN, DeliverySerializer, DeliveryWithHistorySerializer
from deliveries.models import PushAttempt, PushDelivery


class DeliveryViewSet(ApiView, ListModelMixin, RetrieveModelMixin, GenericViewSet[PushDelivery]):
    """One notification to one device each; their texts stay inside."""

    queryset = PushDelivery.objects.defer("title", "body", "data")
    pagination_class = ById

    def get_serializer_class(self) -> type[BaseSerializer[PushDelivery]]:
        return DeliverySerializer if self.action == "list" else DeliveryWithHistorySerializer

    def get_queryset(self) -> QuerySet[PushDelivery]:
        deliveries = super().get_queryset()
        return narrowed(deliveries, asked(self.request)) if self.action == "list" else deliveries

    def get_object(self) -> PushDelivery:
        """Raises Refused where there is none."""
        history = Prefetch("history", PushAttempt.objects.order_by("-id")[:HISTORY_SHOWN], to_attr="latest")
        found = self.get_queryset().prefetch_related(history).filter(pk=self.kwargs["id"]).first()
        if found is None:
            raise Refused("unknown_delivery")
        return found

    @documented(
        "Look for deliveries",
        "The newest first. All filters must hold.",
        {200: DeliverySerializer(many=True)},
        errors=("invalid_request",),
        parameters=query_parameters(DeliveryFilters),
    )
    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().list(request, *args, **kwargs)

    @documented(
        "What became of a delivery",
        "With its latest 100 attempts that did not succeed at once.",
        {200: DeliveryWithHistorySerializer},
        errors=("unknown_delivery",),
        parameters=[DELIVERY_ID],
    )
    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return super().retrieve(request, *args, **kwargs)

    @documented(
        "Send to one device again",
        "As for its whole notification, which is opened again for it.",
        {202: Operated},
        errors=(*RESEND_ERRORS, "unknown_delivery"),
        request=operations.ResendBody,
        parameters=[DELIVERY_ID],
    )
    def resend(self, request: Request, id: int) -> Response:  # noqa: ARG002 - get_object has it
        delivery = self.get_object()
        return operations.resend(request, delivery.notification_id, (delivery.pk,))
