"""What all views of the API have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import ceil
from typing import Any, NoReturn

from django.http import HttpResponse
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from deliveries.api.authentication import BearerKey, HasScope
from deliveries.api.errors import Refused, respond
from deliveries.api.throttling import KeyRate


class ApiView(APIView):
    """Behind a key, in JSON, and with errors in one shape."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (BearerKey,)
    permission_classes: Sequence[type[BasePermission]] = (HasScope,)
    throttle_classes: Sequence[type[BaseThrottle]] = (KeyRate,)
    renderer_classes: Sequence[type[BaseRenderer]] = (JSONRenderer,)
    parser_classes = ()  # deliveries.api.bodies alone reads what comes in
    http_method_names = ["get", "post", "head"]  # noqa: RUF012 - no OPTIONS: the OpenAPI document describes what there is

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], HttpResponse]:
        return respond

    def throttled(self, request: Request, wait: float) -> NoReturn:  # noqa: ARG002
        raise Refused("throttled", retry_after=ceil(wait))


class PublicView(ApiView):
    """The same for everybody: it asks for no key, and so touches no database."""

    authentication_classes = ()
    permission_classes = ()
    throttle_classes = ()


class Unknown(PublicView):
    """Answers 404 in our shape wherever the API has nothing, whatever the method."""

    schema = None

    def initial(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise Refused("not_found", "There is nothing at this address. GET / lists the addresses.")
