"""Every error of the API in one shape: {"error": {"code", "message", "fields": [{"field", "message"}]}}."""

from __future__ import annotations

import logging
from typing import Any

from django.db import InterfaceError, OperationalError
from django.http import Http404
from rest_framework.exceptions import APIException, NotFound
from rest_framework.response import Response

from deliveries.contract import MAX_BODY_BYTES, InvalidMessage

logger = logging.getLogger(__name__)


class Invalid(APIException):
    """A notification that cannot be accepted; `fields` tells every fault at once."""

    status_code = 400
    default_code = "invalid_message"  # as a dead letter's

    def __init__(self, invalid: InvalidMessage) -> None:
        super().__init__(str(invalid))
        self.fields = [{"field": name, "message": fault} for name, fault in invalid.faults]


class TooLarge(APIException):
    """A body beyond what a message may have."""

    status_code = 413
    default_code = "too_large"
    default_detail = f"A notification has {MAX_BODY_BYTES} bytes at most."


class Unavailable(APIException):
    """The database is away, so nothing can be promised."""

    status_code = 503
    default_code = "database_unavailable"
    default_detail = (
        "The database does not answer. Send the same request again; with a notification_id of your "
        "own it is accepted once, however often it comes."
    )
    wait = 5  # seconds, for Retry-After


class Bug(APIException):
    """An error of ours; its traceback is in the log and nowhere else."""

    default_code = "internal_error"
    default_detail = "This is an error of ours. The log has the details."


def respond(error: Exception, context: dict[str, Any]) -> Response:
    """The answer to any exception that a view raised: DRF's `EXCEPTION_HANDLER`."""
    known = _known(error)
    if isinstance(known, Bug):
        request = context["request"]
        logger.error("%s %s failed", request.method, request.path, exc_info=error)
    return Response(
        {
            "error": {
                "code": getattr(known.detail, "code", known.default_code),
                "message": str(known.detail),
                "fields": getattr(known, "fields", []),
            }
        },
        status=known.status_code,
        headers=_headers(known),
    )


def _known(error: Exception) -> APIException:
    if isinstance(error, APIException):
        return error
    if isinstance(error, Http404):
        return NotFound("There is nothing at this address.")
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("The database is away: %s", str(error).strip())
        return Unavailable()
    return Bug()


def _headers(error: APIException) -> dict[str, str]:
    headers = {
        "WWW-Authenticate": getattr(error, "auth_header", None),
        "Retry-After": getattr(error, "wait", None),
    }
    return {name: str(value) for name, value in headers.items() if value is not None}
