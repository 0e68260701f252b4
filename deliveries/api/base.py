"""What all views of the API have in common."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import NotFound
from rest_framework.permissions import BasePermission
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from deliveries.api.authentication import BearerKey, HasKey
from deliveries.api.errors import respond


class ApiView(APIView):
    """Behind a key, in JSON, and with errors in one shape."""

    authentication_classes: Sequence[type[BaseAuthentication]] = (BearerKey,)
    permission_classes: Sequence[type[BasePermission]] = (HasKey,)
    renderer_classes = (JSONRenderer,)
    parser_classes = ()  # deliveries.contract alone reads what comes in

    def get_exception_handler(self) -> Callable[[Exception, dict[str, Any]], Response]:
        return respond


class OpenApiView(ApiView):
    """The same for everybody: it asks for no key, and so touches no database."""

    authentication_classes = ()
    permission_classes = ()


class Unknown(OpenApiView):
    """Answers 404 in our shape wherever the API has nothing, whatever the method."""

    def initial(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise NotFound("There is nothing at this address. GET / lists the addresses.")
