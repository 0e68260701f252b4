"""How the neighbours speak: every dialect is one `Profile` value, and nothing else in the code knows dialects."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote

from deliveries.models import Status

#: Words that mean high priority in every dialect.
HIGH_WORDS = frozenset({"high", "critical"})


@dataclass(frozen=True, slots=True)
class Report:
    """What the gateway is told: how a notification ended, when, and why when it did not go well."""

    notification_id: str
    status: Status
    at: datetime
    error: str | None


@dataclass(frozen=True, slots=True)
class Profile:
    """One dialect: paths with their placeholders, what is sent, and the words for each ending.

    `template_fields` are the keys of a rendering's order; one of another name than it has here is `key=name`.
    `report_body` takes the report and the gateway's word for its status. Of the answers every dialect is understood,
    as `spellings` has them.
    """

    user_paths: tuple[str, ...]
    template_path: str
    template_fields: tuple[str, ...]
    report_method: str
    report_path: str
    report_body: Callable[[Report, str], dict[str, Any]]
    words: Mapping[Status, str]
    high_priorities: frozenset[int]
    unescape_html: bool = field(default=False, kw_only=True)

    def is_high(self, priority: int | str | None) -> bool:
        """Whether a message's priority, a number or a word, asks for immediate delivery."""
        if isinstance(priority, str):
            return priority.lower() in HIGH_WORDS
        return priority in self.high_priorities

    def word(self, status: Status) -> str:
        """The gateway's word for an ending; what it has none for has failed."""
        return self.words.get(status, "failed")

    def ordered(
        self, template_id: str, template_code: str | None, variables: dict[str, Any], language: str
    ) -> tuple[str, dict[str, Any]]:
        """The path and the body of a rendering's order; a template without a code goes by its id."""
        code = template_code or template_id
        values = {
            "template_id": template_id,
            "id": template_id,
            "template_code": code,
            "template_name": code,
            "variables": variables,
            "language": language,
        }
        path = filled(self.template_path, template_id=template_id, template_code=code)
        fields = (field.partition("=") for field in self.template_fields)
        return path, {key: values[name or key] for key, _, name in fields}

    def told(self, report: Report) -> tuple[str, str, dict[str, Any]]:
        """The method, the path and the body of a report."""
        path = filled(self.report_path, notification_id=report.notification_id)
        return self.report_method, path, self.report_body(report, self.word(report.status))


def filled(path: str, **ids: str) -> str:
    """The path with ids in its placeholders, as they can stand in an address."""
    return path.format(**{name: quote(id, safe="") for name, id in ids.items()})


def _flat_report(report: Report, word: str) -> dict[str, Any]:
    body = {"notification_id": report.notification_id, "status": word, "timestamp": report.at.isoformat()}
    return body if report.error is None else body | {"error": report.error}


def _channel_report(report: Report, word: str) -> dict[str, Any]:
    said = {
        "error_message": report.error,
        "sent_at": report.at.isoformat() if report.status == Status.SENT else None,
    }
    return {"channel": "push", "status": word} | {key: value for key, value in said.items() if value is not None}


SPEC = Profile(
    user_paths=("/api/v1/users/{user_id}",),
    template_path="/api/v1/templates/render",
    template_fields=("template_id", "template_code", "variables", "language"),
    report_method="POST",
    report_path="/api/v1/push/status/",
    report_body=_flat_report,
    words={Status.SENT: "delivered"},
    high_priorities=frozenset({1, 7, 8, 9, 10}),
)

ANCESTOR = Profile(
    user_paths=("/api/v1/users/{user_id}/preferences", "/api/v1/users/{user_id}/push-token"),
    template_path="/api/v1/templates/render",
    template_fields=("template_id", "variables"),
    report_method="PATCH",
    report_path="/internal/notifications/{notification_id}",
    report_body=_channel_report,
    words={Status.SENT: "sent", Status.SKIPPED: "skipped"},
    high_priorities=frozenset({1, 7, 8, 9, 10}),
)

DNS_CORE = Profile(
    user_paths=("/api/v1/users/{user_id}/preferences/", "/api/v1/users/{user_id}/push-token"),
    template_path="/api/v1/templates/render",
    template_fields=("template_id", "variables"),
    report_method="POST",
    report_path="/api/v1/notifications/push/status",
    report_body=_flat_report,
    words={Status.SENT: "delivered"},
    high_priorities=frozenset({7, 8, 9, 10}),
    unescape_html=True,  # its template service escapes for HTML whatever it renders
)

PROFILES = {"spec": SPEC, "ancestor": ANCESTOR, "dns-core": DNS_CORE}


def in_force(push: Any) -> Profile:
    """The dialect that the settings name, with what they say otherwise."""
    said = {
        "user_paths": tuple(push.user_service_paths),
        "template_path": push.template_service_path,
        "template_fields": tuple(push.template_service_fields),
        "unescape_html": push.template_unescape_html,
        "report_path": push.api_gateway_path,
        "report_method": push.api_gateway_method,
    }
    unsaid = (None, ())
    return replace(
        PROFILES[push.upstream_profile], **{name: value for name, value in said.items() if value not in unsaid}
    )
