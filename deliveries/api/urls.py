"""The addresses of the API. Each works with and without its trailing slash; links carry it.

A notification's id may have slashes of its own, so the addresses under it are tried before it: an id that ends in
`/resend` or `/cancel` cannot be read at its address. One that ends in a slash needs the trailing slash after it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, path, re_path, register_converter
from django.urls.converters import PathConverter

from deliveries.api.base import Unknown
from deliveries.api.deliveries import DeliveryViewSet
from deliveries.api.docs import DocsView, SchemaView
from deliveries.api.notifications import NotificationViewSet
from deliveries.api.probes import HealthView, Index, LiveView, ReadyView
from deliveries.faults import CONTROL


class IdConverter(PathConverter):
    """A notification id, as the contract allows it; slashes too (when we see it, %2F is one)."""

    regex = rf"[^{CONTROL}]+"


register_converter(IdConverter, "id")


def either(route: str, view: Callable[..., Any], name: str) -> list[URLPattern]:
    """The route with a trailing slash, by which it is named, and without."""
    return [path(f"{route}/", view, name=name), path(route, view)]


ONE_NOTIFICATION = "api/v1/notifications/<id:notification_id>"
ONE_DELIVERY = "api/v1/deliveries/<int:id>"

urlpatterns = [
    path("", Index.as_view()),
    *either("api/v1/health", HealthView.as_view(), "health"),
    *either("api/v1/health/live", LiveView.as_view(), "live"),
    *either("api/v1/health/ready", ReadyView.as_view(), "ready"),
    *either("api/v1/notifications", NotificationViewSet.as_view({"post": "create"}), "notifications"),
    *either(f"{ONE_NOTIFICATION}/resend", NotificationViewSet.as_view({"post": "resend"}), "notification-resend"),
    *either(f"{ONE_NOTIFICATION}/cancel", NotificationViewSet.as_view({"post": "cancel"}), "notification-cancel"),
    *either(ONE_NOTIFICATION, NotificationViewSet.as_view({"get": "retrieve"}), "notification"),
    *either("api/v1/deliveries", DeliveryViewSet.as_view({"get": "list"}), "deliveries"),
    *either(f"{ONE_DELIVERY}/resend", DeliveryViewSet.as_view({"post": "resend"}), "delivery-resend"),
    *either(ONE_DELIVERY, DeliveryViewSet.as_view({"get": "retrieve"}), "delivery"),
    *either("api/v1/schema", SchemaView.as_view(), "schema"),
    *either("api/v1/docs", DocsView.as_view(), "docs"),
    re_path(r"^api(/|$)", Unknown.as_view()),
]
