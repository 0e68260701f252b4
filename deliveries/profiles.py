"""How the neighbours speak: every dialect is one `Profile` value, and nothing else in the code knows dialects."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from deliveries.models import Status

Path = tuple[str, ...]

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
    """One dialect: paths with their placeholders, where values stand in answers, and the words for each ending."""

    name: str
    user_path: str
    push_flags: tuple[Path, ...]
    token_fields: tuple[Path, ...]
    device_lists: tuple[Path, ...]
    template_path: str
    template_fields: tuple[str, ...]
    title_fields: tuple[Path, ...]
    body_fields: tuple[Path, ...]
    report_method: str
    report_path: str
    report_body: Callable[[Report], dict[str, Any]]
    high_priorities: frozenset[int]

    def is_high(self, priority: int | str | None) -> bool:
        """Whether a message's priority, a number or a word, asks for immediate delivery."""
        if isinstance(priority, str):
            return priority.lower() in HIGH_WORDS
        return priority in self.high_priorities


def dig(document: Mapping[str, Any], paths: tuple[Path, ...]) -> Any:
    """The first value that is there, in the order of the paths; None when there is none."""
    return next(found(document, paths), None)


def found(document: Mapping[str, Any], paths: tuple[Path, ...]) -> Iterator[Any]:
    """Every value that is there, in the order of the paths."""
    for path in paths:
        value: Any = document
        for key in path:
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None:
            yield value


def _spec_report(report: Report) -> dict[str, Any]:
    body = {
        "notification_id": report.notification_id,
        "status": "delivered" if report.status == Status.SENT else "failed",
        "timestamp": report.at.isoformat(),
    }
    return body if report.error is None else body | {"error": report.error}


_FLAGS = ("push", "push_enabled", "push_notifications", "allow_push", "pushEnabled")
_TOKENS = (
    "push_tokens",
    "device_tokens",
    "push_token",
    "device_token",
    "fcm_token",
    "user_push_token",
)

SPEC = Profile(
    name="spec",
    user_path="/api/v1/users/{user_id}",
    push_flags=tuple((*at, flag) for at in (("preferences",), ("preference",), ()) for flag in _FLAGS),
    token_fields=tuple((*at, field) for at in ((), ("user",), ("devices",)) for field in _TOKENS),
    device_lists=(("devices",), ("user", "devices")),
    template_path="/api/v1/templates/render",
    template_fields=("template_id", "template_code", "variables", "language"),
    title_fields=(("title",), ("subject",), ("content", "title"), ("name",)),
    body_fields=(("body",), ("body_text",), ("content", "body"), ("content",)),
    report_method="POST",
    report_path="/api/v1/push/status/",
    report_body=_spec_report,
    high_priorities=frozenset({1, 7, 8, 9, 10}),
)

PROFILES: dict[str, Profile] = {profile.name: profile for profile in (SPEC,)}
