"""The API describes itself: the OpenAPI document, and a page that shows it, from our own files alone."""

from __future__ import annotations

from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer2, OpenApiYamlRenderer2
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.renderers import BaseRenderer, TemplateHTMLRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries.api.base import PublicView

#: The page has one script of its own and one style element; everything else is a file of ours.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


@cache
def document() -> dict[str, Any]:
    """The OpenAPI document. It depends on the code and the settings alone."""
    generated: dict[str, Any] = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    return generated


class SchemaView(PublicView):
    """In JSON; in YAML for who asks for `application/yaml`."""

    schema = None
    renderer_classes: tuple[type[BaseRenderer], ...] = (OpenApiJsonRenderer2, OpenApiYamlRenderer2)

    def get(self, request: Request) -> Response:  # noqa: ARG002
        return Response(document())


class DocsView(PublicView, SpectacularSwaggerSplitView):
    """Swagger UI, which asks for the document and lets one try it out."""

    schema = None
    renderer_classes = [TemplateHTMLRenderer]  # noqa: RUF012 - as drf-spectacular declares it
    title = "Push notification delivery"

    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        response: Response = super().get(request, *args, **kwargs)  # type: ignore[no-untyped-call]
        response.headers["Content-Security-Policy"] = POLICY
        return response
