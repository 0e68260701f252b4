"""Every error of the API in one shape: {"error": {"code", "message", "fields": [{"field", "message"}]}}."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.core.exceptions import SuspiciousOperation
from django.db import DatabaseError, InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from rest_framework.exceptions import APIException

from deliveries.api.codes import CODES
from deliveries.contract import InvalidMessage
from deliveries.ledger.faults import is_passing

logger = logging.getLogger(__name__)

RETRY_AFTER = 5  # seconds, while the database is away


class Refused(APIException):
    """A request that is not done: a code of `CODES`, a sentence, and each field at fault with what is wrong with it.

    `retry_after` is in seconds.
    """

    def __init__(
        self,
        code: str,
        message: str = "",
        fields: Iterable[tuple[str, str]] = (),
        *,
        retry_after: int | None = None,
    ) -> None:
        self.status_code = CODES[code].status
        self.retry_after = retry_after
        super().__init__(message or CODES[code].meaning, code)
        self.fields = [{"field": name, "message": fault} for name, fault in fields]

    @classmethod
    def for_faults(cls, code: str, faults: list[tuple[str, str]]) -> Refused:
        """One whose message is all of its faults."""
        return cls(code, "; ".join(f"{name}: {fault}" if name else fault for name, fault in faults), faults)

    @classmethod
    def for_message(cls, invalid: InvalidMessage) -> Refused:
        return cls.for_faults("invalid_message", invalid.faults)


def shape(error: APIException) -> dict[str, Any]:
    """The error as it is answered."""
    return {
        "error": {
            "code": getattr(error.detail, "code", error.default_code),
            "message": str(error.detail),
            "fields": getattr(error, "fields", []),
        }
    }


def respond(error: Exception, context: dict[str, Any]) -> HttpResponse:
    """The answer to any exception that a view raised: DRF's `EXCEPTION_HANDLER`."""
    known = _known(error)
    if known.status_code == 500:
        request = context["request"]
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return _answer(known)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's `handler400`: what is refused before any view has it."""
    if request.path.startswith("/api/"):
        return _answer(Refused("bad_request"))
    return defaults.bad_request(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's `handler500`; it has logged the error."""
    return _answer(Refused("internal_error")) if request.path.startswith("/api/") else defaults.server_error(request)


def _answer(error: APIException) -> JsonResponse:
    """In JSON, whatever the view renders otherwise."""
    headers = _headers(error)
    return JsonResponse(
        shape(error), status=error.status_code, headers=headers, json_dumps_params={"ensure_ascii": False}
    )


def _known(error: Exception) -> APIException:
    if isinstance(error, APIException):
        return error
    if isinstance(error, Http404):
        return Refused("not_found")
    if isinstance(error, SuspiciousOperation):
        return Refused("bad_request")
    if isinstance(error, OperationalError | InterfaceError) or _is_passing(error):
        logger.warning("The database does not answer: %s", str(error).strip())
        return Refused("database_unavailable", retry_after=RETRY_AFTER)
    return Refused("internal_error")


def _is_passing(error: Exception) -> bool:
    """Whether the database could not do it for now, whatever class the error is of: a server that only reads."""
    return isinstance(error, DatabaseError) and error.__cause__ is not None and is_passing(error.__cause__)


def _headers(error: APIException) -> dict[str, str]:
    retry_after = getattr(error, "retry_after", None)
    headers = {"WWW-Authenticate": getattr(error, "auth_header", None), "Retry-After": retry_after}
    return {name: str(value) for name, value in headers.items() if value is not None}
