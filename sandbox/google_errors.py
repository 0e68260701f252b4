"""Google's error bodies, to the letter, so that clients may decide on them as on the real ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiohttp import web

from sandbox.answers import error_page, json_answer

Detail = dict[str, Any]
_TYPE = "type.googleapis.com/"
_APNS_ERROR = _TYPE + "google.firebase.fcm.v1.ApnsError"
_CREDENTIAL = (
    "Expected OAuth 2 access token, login cookie or other valid authentication credential. "
    "See https://developers.google.com/identity/sign-in/web/devconsole-project."
)
_METHOD = {
    "service": "fcm.googleapis.com",
    "method": "google.firebase.fcm.v1.FcmService.SendMessage",
}


class RefusedError(Exception):
    """FCM says no: HTTP status, google.rpc.Code, text and details; `retry_after` in seconds, None for no header."""

    def __init__(self, http: int, status: str, message: str, *details: Detail, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.http = http
        self.status = status
        self.details = details
        self.retry_after = retry_after

    @property
    def code(self) -> str:
        """FCM's own word where there is one, as the book counts it."""
        words = [detail["errorCode"] for detail in self.details if "errorCode" in detail]
        return words[0] if words else self.status

    @property
    def is_apples(self) -> bool:
        """Whether it is Apple's answer, which FCM knows only once it has really sent."""
        return any(detail["@type"] == _APNS_ERROR for detail in self.details)

    def answer(self) -> web.Response:
        error: dict[str, Any] = {"code": self.http, "message": str(self), "status": self.status}
        if self.details:
            error["details"] = list(self.details)
        wait = None if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return json_answer({"error": error}, self.http, wait)


class PageError(RefusedError):
    """Google's front end says no, with a page; the book counts it as `HTML 502`."""

    def __init__(self, http: int) -> None:
        super().__init__(http, f"HTML {http}", "")

    def answer(self) -> web.Response:
        return error_page(self.http)


def fcm_error(code: str) -> Detail:
    return {"@type": _TYPE + "google.firebase.fcm.v1.FcmError", "errorCode": code}


def bad_request(violations: Sequence[tuple[str, str]]) -> Detail:
    """(field, description) each; a violation at the root of the body has no field."""
    listed = [{"field": f, "description": d} if f else {"description": d} for f, d in violations]
    return {"@type": _TYPE + "google.rpc.BadRequest", "fieldViolations": listed}


def error_info(reason: str, **metadata: str) -> Detail:
    return {
        "@type": _TYPE + "google.rpc.ErrorInfo",
        "reason": reason,
        "domain": "googleapis.com",
        "metadata": {**_METHOD, **metadata},
    }


def apns_error(status: int, reason: str) -> Detail:
    return {"@type": _APNS_ERROR, "statusCode": status, "reason": reason}


def quota_failure(subject: str, description: str) -> Detail:
    violation = {"subject": subject, "description": description}
    return {"@type": _TYPE + "google.rpc.QuotaFailure", "violations": [violation]}


def invalid(field: str, text: str) -> RefusedError:
    """What FCM itself, past the JSON parser, says to a message that it cannot take."""
    details = (bad_request([(field, text)]), fcm_error("INVALID_ARGUMENT"))
    return RefusedError(400, "INVALID_ARGUMENT", text, *details)


def refused_by_apple(reason: str) -> RefusedError:
    """What FCM says where Apple does not take a message for what stands in it."""
    details = (fcm_error("INVALID_ARGUMENT"), apns_error(400, reason))
    return RefusedError(400, "INVALID_ARGUMENT", "Request contains an invalid argument.", *details)


def unparsable(violations: Sequence[tuple[str, str]]) -> RefusedError:
    """What the JSON parser in front of FCM says: no FcmError."""
    text = "\n".join(description for _, description in violations)
    return RefusedError(400, "INVALID_ARGUMENT", text, bad_request(violations))


def not_json(fault: str) -> RefusedError:
    text = f"Invalid JSON payload received. {fault}"
    return RefusedError(400, "INVALID_ARGUMENT", text, bad_request([("", text)]))


def credentials_missing() -> RefusedError:
    text = f"Request is missing required authentication credential. {_CREDENTIAL}"
    return RefusedError(401, "UNAUTHENTICATED", text, error_info("CREDENTIALS_MISSING"))


def credentials_expired() -> RefusedError:
    text = f"Request had invalid authentication credentials. {_CREDENTIAL}"
    return RefusedError(401, "UNAUTHENTICATED", text, error_info("ACCESS_TOKEN_EXPIRED"))


def credentials_unknown() -> RefusedError:
    text = f"Request had invalid authentication credentials. {_CREDENTIAL}"
    return RefusedError(401, "UNAUTHENTICATED", text)


def scope_missing() -> RefusedError:
    text = "Request had insufficient authentication scopes."
    return RefusedError(403, "PERMISSION_DENIED", text, error_info("ACCESS_TOKEN_SCOPE_INSUFFICIENT"))


def permission_denied() -> RefusedError:
    text = "Permission 'cloudmessaging.messages.create' denied on resource, or it may not exist."
    info = error_info("IAM_PERMISSION_DENIED", permission="cloudmessaging.messages.create")
    return RefusedError(403, "PERMISSION_DENIED", text, info)


def service_disabled() -> RefusedError:
    text = (
        "Firebase Cloud Messaging API has not been used in project 000000000000 before or it is disabled. "
        "Enable it, wait a few minutes and retry."
    )
    return RefusedError(
        403, "PERMISSION_DENIED", text, error_info("SERVICE_DISABLED", consumer="projects/000000000000")
    )


def wrong_project() -> RefusedError:
    return RefusedError(404, "NOT_FOUND", "Requested entity was not found.")


def project_quota(retry_after: int | None) -> RefusedError:
    """The project's sends a minute are used up; Google sends no FcmError with this one."""
    text = (
        "Quota exceeded for quota metric 'Send requests' and limit 'Send requests per minute' "
        "of service 'fcm.googleapis.com' for consumer 'project_number:000000000000'."
    )
    info = error_info(
        "RATE_LIMIT_EXCEEDED",
        quota_limit="SendsPerMinutePerProject",
        quota_metric="fcm.googleapis.com/send_requests",
    )
    return RefusedError(429, "RESOURCE_EXHAUSTED", text, info, retry_after=retry_after)


def malformed(field: str) -> RefusedError:
    return invalid(field, "The registration token is not a valid FCM registration token")


def device_quota(retry_after: int | None) -> RefusedError:
    return _target_quota("device", retry_after)


def topic_quota(retry_after: int | None) -> RefusedError:
    return _target_quota("topic", retry_after)


def internal() -> RefusedError:
    return RefusedError(500, "INTERNAL", "Internal error encountered.", fcm_error("INTERNAL"))


def timed_out() -> RefusedError:
    return RefusedError(504, "DEADLINE_EXCEEDED", "Deadline expired before operation could complete.")


def unavailable() -> RefusedError:
    text = "The service is currently unavailable."
    return RefusedError(503, "UNAVAILABLE", text, fcm_error("UNAVAILABLE"))


def _target_quota(target: str, retry_after: int | None) -> RefusedError:
    why = quota_failure(target, f"Too many messages to this {target}.")
    details = (fcm_error("QUOTA_EXCEEDED"), why)
    text = f"Quota exceeded for {target} message rate."
    return RefusedError(429, "RESOURCE_EXHAUSTED", text, *details, retry_after=retry_after)
