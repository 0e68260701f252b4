"""How operations are described in the OpenAPI document: what they take, answer and refuse."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse, extend_schema
from pydantic import BaseModel

from deliveries.api.answers import Error
from deliveries.api.authentication import SCOPES
from deliveries.api.codes import CODES
from deliveries.api.request_schema import components
from deliveries.faults import NO_CONTROL

View = TypeVar("View", bound=Callable[..., Any])

#: What any operation with a key may answer.
ALWAYS = (
    "bad_request",
    "not_authenticated",
    "authentication_failed",
    "key_expired",
    "scope_missing",
    "not_acceptable",
    "throttled",
    "database_unavailable",
)
RESEND_ERRORS = (
    "invalid_request",
    "already_sent",
    "under_way",
    "just_resent",
    "sample",
    "changed",
    "too_large",
    "unsupported_media_type",
)

NOTIFICATION_ID = OpenApiParameter(
    "notification_id",
    {"type": "string", "pattern": NO_CONTROL},
    OpenApiParameter.PATH,
    description="any text, percent-encoded",
)
DELIVERY_ID = OpenApiParameter("id", {"type": "integer", "minimum": 0, "format": "int64"}, OpenApiParameter.PATH)
HEADERS = [
    OpenApiParameter(
        "Retry-After", int, OpenApiParameter.HEADER, required=True, response=[429, 503], description="seconds"
    ),
    OpenApiParameter("WWW-Authenticate", str, OpenApiParameter.HEADER, required=True, response=[401]),
]


class BearerKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The key, in the document."""

    target_class = "deliveries.api.authentication.BearerKey"
    name = "key"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "description": "An API key: `manage.py apikey <name>`"}


def documented(
    summary: str,
    description: str,
    answers: dict[int, Any],
    *,
    errors: Sequence[str] = (),
    request: Any = None,
    parameters: Sequence[OpenApiParameter] = (),
    examples: Sequence[OpenApiExample] = (),
) -> Callable[[View], View]:
    """Describes an action behind a key; `errors` are its codes besides those that any action has."""

    def describe(view: View) -> View:
        described: View = extend_schema(
            summary=summary,
            description=f"{description}\n\nNeeds a key with the scope `{SCOPES[view.__name__].value}`.",
            request=request,
            examples=examples,
            parameters=[*parameters, *HEADERS],
            responses=answers | refusals(*errors, *ALWAYS),
        )(view)
        return described

    return describe


def refusals(*codes: str) -> dict[int, OpenApiResponse]:
    """The error answers with these codes, by their status."""
    meanings: dict[int, list[str]] = {}
    for code in codes:
        meanings.setdefault(CODES[code].status, []).append(f"`{code}`: {CODES[code].meaning}")
    return {status: OpenApiResponse(Error, "\n\n".join(lines)) for status, lines in sorted(meanings.items())}


def query_parameters(model: type[BaseModel]) -> list[OpenApiParameter]:
    """The model's fields as parameters of the address."""
    properties: dict[str, dict[str, Any]] = model.model_json_schema(ref_template="#/components/schemas/{model}")[
        "properties"
    ]
    return [
        OpenApiParameter(name, given(schema), description=schema.get("description", ""))
        for name, schema in properties.items()
    ]


def given(schema: dict[str, Any]) -> dict[str, Any]:
    """A field's schema where it is given: without the null that stands for leaving it out."""
    alternatives = [one for one in schema.get("anyOf", [schema]) if one.get("type") != "null"]
    [only] = alternatives
    return {name: value for name, value in only.items() if name not in ("title", "description")}


def with_slash(endpoints: list[tuple[str, ...]], **_: Any) -> list[tuple[str, ...]]:
    """Of each address the one that links use: a preprocessing hook of drf-spectacular."""
    return [endpoint for endpoint in endpoints if endpoint[0].endswith("/")]


def with_requests(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """Adds the schemas that come from the contract: a postprocessing hook of drf-spectacular."""
    result["components"]["schemas"] |= components()
    result["paths"]["/api/v1/notifications/"]["post"]["requestBody"]["required"] = True
    return result
