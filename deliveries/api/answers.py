"""What the API answers where there is no row behind it: the shapes, for the code and for the OpenAPI document."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, RootModel

from deliveries.api.codes import CODES
from deliveries.models import Status


class Answer(BaseModel):
    """Nothing in it is optional."""

    model_config = ConfigDict(extra="forbid", use_enum_values=True, json_schema_serialization_defaults_required=True)


class Links(Answer):
    """Where to go from here."""

    self: str


class Accepted(Answer):
    """The notification is in the ledger. `duplicate`: it was before, and `status` is what has become of it."""

    notification_id: str
    status: Status
    correlation_id: str
    duplicate: bool
    links: Links


class AcceptedItem(Accepted):
    """An item of a list that was accepted."""

    status_code: Literal[202] = 202


class Fault(Answer):
    """A field, or a parameter, and what is wrong with it. The whole body has an empty name."""

    field: str
    message: str


class ErrorDetail(Answer):
    """What went wrong: a code for programs, a sentence for people, and every field at fault."""

    code: str = Field(json_schema_extra={"enum": list(CODES)})
    message: str
    fields: list[Fault]


class Error(Answer):
    """The shape of all errors."""

    error: ErrorDetail


class RefusedItem(Answer):
    """An item of a list that was not accepted: its error is the one that it would have had alone."""

    status_code: Literal[400, 409, 413]
    error: ErrorDetail


class Results(Answer):
    """One result for each item, in order."""

    results: list[AcceptedItem | RefusedItem]


class Answered(RootModel[Accepted | Results]):
    """What became of one notification, or of each in a list."""


class Operated(Answer):
    """What came of a resend or a cancellation. `warning` is empty, or says what else to know of it."""

    notification_id: str
    code: Literal["resent", "cancelling"]
    message: str
    warning: str
    links: Links


class Readiness(Answer):
    """Whether requests can be served."""

    model_config = ConfigDict(json_schema_serialization_defaults_required=False)

    status: Literal["ok", "down"]
    reason: str = Field("", description="why not, where it is down")
