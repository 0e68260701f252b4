"""Health over HTTP, for load balancers and people, and what `GET /` says."""

from __future__ import annotations

from django.http import JsonResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import health
from deliveries.api.answers import Readiness
from deliveries.api.base import PublicView
from deliveries.api.openapi import refusals

FRESH = {"Cache-Control": "no-store"}


class HealthView(PublicView):
    """Everything at a glance: 503 when database or RabbitMQ is down, else 200."""

    @extend_schema(
        summary="Everything at a glance",
        responses={200: OpenApiTypes.OBJECT, 503: OpenApiTypes.OBJECT, **refusals("bad_request", "not_acceptable")},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        report = health.check()
        return Response(report, status=503 if report["status"] == "down" else 200, headers=FRESH)


class LiveView(PublicView):
    """200 while the process answers at all: on anything else, restart it."""

    @extend_schema(
        summary="Whether the process answers",
        responses={200: Readiness, **refusals("bad_request", "not_acceptable")},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response({"status": "ok"}, headers=FRESH)


class ReadyView(PublicView):
    """200 when requests can be served: the database is there, and as new as the code."""

    @extend_schema(
        summary="Whether requests can be served",
        responses={200: Readiness, 503: Readiness, **refusals("bad_request", "not_acceptable")},
    )
    def get(self, request: Request) -> Response:  # noqa: ARG002
        reason = health.not_ready()
        if reason is None:
            return Response({"status": "ok"}, headers=FRESH)
        return Response({"status": "down", "reason": reason}, status=503, headers=FRESH)


class Index(PublicView):
    """What this is, and where to go from here."""

    schema = None

    def get(self, request: Request) -> JsonResponse:
        here = request.build_absolute_uri
        return JsonResponse(
            {
                "service": "push notification delivery",
                "notifications": here("/api/v1/notifications/"),
                "notification": here("/api/v1/notifications/") + "{notification_id}/",
                "deliveries": here("/api/v1/deliveries/"),
                "delivery": here("/api/v1/deliveries/") + "{id}/",
                "authorization": "Bearer <key>, from `manage.py apikey <name>`",
                "schema": here("/api/v1/schema/"),
                "docs": here("/api/v1/docs/"),
                "health": here("/api/v1/health"),
                "live": here("/api/v1/health/live"),
                "ready": here("/api/v1/health/ready"),
                "console": here("/admin/"),
            },
            json_dumps_params={"indent": 2},
        )
