"""What an answer of FCM without a receipt means: one table, the first row that fits decides.

Only the HTTP status, the codes and the kinds of details count; Google rewords its texts freely.
https://firebase.google.com/docs/cloud-messaging/error-codes
https://firebase.google.com/docs/reference/fcm/rest/v1/ErrorCode
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson

from providers.errors import (
    CredentialTrouble,
    DeadToken,
    ForeignToken,
    ProviderError,
    Rejected,
    RetryLater,
    ServerTrouble,
    UnknownOutcome,
)
from providers.http import Answer
from providers.verdicts import PROJECT_QUOTA, TARGET_QUOTA, Reply, Row, judge

_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_FIELD = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)


def verdict(answer: Answer) -> ProviderError:
    """The error that an answer without a receipt stands for."""
    return judge(answer, read(answer), TABLE)


def read(answer: Answer) -> Reply:
    """Takes from the body what it has; an HTML page or foreign JSON gives a Reply with a status."""
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        document = None
    error = document.get("error") if isinstance(document, dict) else None
    if not isinstance(error, dict):
        return Reply(answer.status)
    details = list(_details(error))
    return Reply(
        answer.status,
        code=_first_word(details, "FcmError", "errorCode"),
        reason=_first_word(details, "ErrorInfo", "reason"),
        status=_word(error.get("status")),
        text=str(error.get("message", "")),
        fields=tuple(_bad_fields(details))[:5],
        apns_gone=any(kind == "ApnsError" and _gone(detail) for kind, detail in details),
    )


def _details(error: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The details, each with the last part of its @type. Their order varies."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        if isinstance(detail, dict):
            yield str(detail.get("@type", "")).rpartition(".")[2], detail


def _first_word(details: list[tuple[str, dict[str, Any]]], kind: str, key: str) -> str:
    return next((_word(detail.get(key)) for name, detail in details if name == kind), "")


def _word(value: object) -> str:
    """A code from the wire, if it looks like one: it is stored, counted and shown."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def _bad_fields(details: list[tuple[str, dict[str, Any]]]) -> Iterator[str]:
    """Names of fields, without the descriptions: those quote what was in them."""
    for kind, detail in details:
        violations = detail.get("fieldViolations") if kind == "BadRequest" else None
        for violation in violations if isinstance(violations, list) else ():
            field = violation.get("field") if isinstance(violation, dict) else None
            if isinstance(field, str) and _FIELD.fullmatch(field):
                yield field


def _gone(apns: dict[str, Any]) -> bool:
    return apns.get("statusCode") == 410 or apns.get("reason") == "Unregistered"


def _apns_gone(reply: Reply) -> bool:
    return reply.apns_gone


def _token_is_blamed(reply: Reply) -> bool:
    """INVALID_ARGUMENT means a dead token only where nothing else is complained of."""
    if reply.fields:
        return set(reply.fields) <= {"message.token", "message.fid"}
    return "registration token is not a valid" in reply.text


_MEND = "Mend the message; the token is kept."
_UPLOAD_KEY = "Upload a valid one: Firebase console > Project settings > Cloud Messaging."

# fmt: off
TABLE = (
    Row(2, None, UnknownOutcome,
        "FCM answered {http} without a message name; it may have accepted the push."),
    Row(0, "UNSPECIFIED_ERROR", Rejected, "FCM refused the push and does not say why."),
    Row(404, "UNREGISTERED", DeadToken,
        "The app was removed or its registration expired. Forget this token."),
    Row(400, "INVALID_ARGUMENT", DeadToken,
        "Apple says that this device is gone. Forget this token.", _apns_gone),
    Row(400, "INVALID_ARGUMENT", DeadToken,
        "This is not a registration token. Forget it.", _token_is_blamed),
    Row(400, None, Rejected, "FCM refused {fields}. " + _MEND),
    Row(403, "SENDER_ID_MISMATCH", ForeignToken,
        "This token belongs to another Firebase project and is left alone for a day. If there are "
        "many of these, the credentials or FCM_PROJECT_ID are wrong."),
    Row(401, "THIRD_PARTY_AUTH_ERROR", Rejected,
        "Apple or the web push service refused the app's own key. " + _UPLOAD_KEY),
    Row(401, "APNS_AUTH_ERROR", Rejected, "Apple refused the app's own key. " + _UPLOAD_KEY),
    Row(401, "", CredentialTrouble,
        "FCM refused our access token, and then a fresh one. Check the service account in "
        "GOOGLE_APPLICATION_CREDENTIALS."),
    Row(403, "", CredentialTrouble,
        "The service account may not send in this project. Enable the Firebase Cloud Messaging "
        "API and grant cloudmessaging.messages.create."),
    Row(404, "", CredentialTrouble,
        "FCM knows no such project or address; the token is kept. Check FCM_PROJECT_ID and "
        "FCM_ENDPOINT."),
    Row(429, "QUOTA_EXCEEDED", TARGET_QUOTA, "Too many pushes to this device or topic; FCM asks to wait."),
    Row(429, None, PROJECT_QUOTA, "The project's sends per minute are used up; FCM asks to wait."),
    Row(408, None, RetryLater, "FCM gave up waiting for the request."),
    Row(5, None, ServerTrouble, "FCM is in trouble (HTTP {http})."),
    Row(3, None, CredentialTrouble,
        "FCM_ENDPOINT redirects (HTTP {http}), which is never followed. Correct it."),
    Row(0, None, Rejected, "FCM refused {fields} (HTTP {http}). " + _MEND),
)
# fmt: on
