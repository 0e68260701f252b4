"""What operators ask for over HTTP: resend and cancel, by the same code as in the console and the commands."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from rest_framework.request import Request
from rest_framework.response import Response

from deliveries import operations
from deliveries.api import links
from deliveries.api.answers import Links, Operated
from deliveries.api.bodies import strict
from deliveries.api.errors import Refused
from deliveries.faults import NO_NUL
from deliveries.fields import whole
from deliveries.ledger.audit import LONGEST_REASON
from deliveries.models import ApiKey

#: PostgreSQL stores no NUL.
Reason = Annotated[
    str, Field(max_length=LONGEST_REASON, pattern=NO_NUL, description="why; kept in the audit log, with the key's name")
]


class CancelBody(BaseModel):
    """All of it may be left out."""

    model_config = ConfigDict(extra="forbid", strict=True)

    reason: Reason = ""


class ResendBody(CancelBody):
    """All of it may be left out."""

    force: bool = Field(False, description="send again what was accepted before, too: the user sees it twice")
    seen: Annotated[int, Field(ge=0, le=2**31 - 1), BeforeValidator(whole)] | None = Field(
        None,
        description="the notification's `resends` as you saw it; with another count by now, nothing is done",
    )


def resend(request: Request, notification_id: str, delivery_ids: tuple[int, ...] | None = None) -> Response:
    """Answers 202. Raises Refused."""
    body = strict(request, ResendBody)
    target = operations.Target(notification_id, delivery_ids, body.seen)
    [outcome] = operations.resend([target], _who(request, body), force=body.force)
    return _answer(request, outcome)


def cancel(request: Request, notification_id: str) -> Response:
    """Answers 202. Raises Refused."""
    [outcome] = operations.cancel([notification_id], _who(request, strict(request, CancelBody)))
    return _answer(request, outcome)


def _who(request: Request, body: CancelBody) -> operations.Who:
    key: ApiKey = request.auth  # type: ignore[assignment]  # the permission lets nobody else through
    return operations.Who(f"key {key.name}", body.reason)


def _answer(request: Request, outcome: operations.Outcome) -> Response:
    if not outcome.done:
        raise Refused(outcome.code, outcome.sentence)
    answer = Operated(
        notification_id=outcome.subject,
        code=outcome.code,
        message=outcome.sentence,
        warning=outcome.warning,
        links=Links(self=links.notification(request, outcome.subject)),
    )
    return Response(answer.model_dump(), status=202)
