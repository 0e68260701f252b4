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

from providers.credentials import NEW_KEY, SCOPE
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
from providers.verdicts import PROJECT_QUOTA, TARGET_QUOTA, Condition, Reply, Row, has_reason, judge

_WORD = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
_FIELD = re.compile(r"[\w.\[\]-]{1,100}", re.ASCII)
_UNNAMED = "an unnamed field"


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
        kinds=frozenset(kind for kind, _ in details),
        fields=tuple(dict.fromkeys(_bad_fields(details))),
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
    """Names of fields, without the descriptions: those quote what was in them. What is no name is a complaint too."""
    for kind, detail in details:
        violations = detail.get("fieldViolations") if kind == "BadRequest" else None
        for violation in violations if isinstance(violations, list) else ():
            field = violation.get("field") if isinstance(violation, dict) else None
            yield field if isinstance(field, str) and _FIELD.fullmatch(field) else _UNNAMED


def _gone(apns: dict[str, Any]) -> bool:
    return apns.get("statusCode") == 410 or apns.get("reason") == "Unregistered"


def _blames_the_token(reply: Reply) -> bool:
    """INVALID_ARGUMENT means a dead token only where nothing else is complained of."""
    blamed = set(reply.fields)
    return bool(blamed) and blamed <= {"message.token", "message.fid"} and "ApnsError" not in reply.kinds


def _blames_the_token_in_words(reply: Reply) -> bool:
    return reply.kinds.isdisjoint({"BadRequest", "ApnsError"}) and "registration token is not a valid" in reply.text


_APPLE_SAYS_GONE = Condition("its `ApnsError` says 410 or `Unregistered`", lambda reply: reply.apns_gone)
_TOKEN_IS_BLAMED = Condition(
    "its `BadRequest` blames nothing but `message.token` or `message.fid`, and it has no `ApnsError`", _blames_the_token
)
_TOKEN_IS_BLAMED_IN_WORDS = Condition(
    "it has neither a `BadRequest` nor an `ApnsError`, and its text says that the registration token is not valid",
    _blames_the_token_in_words,
)
_NAMES_A_FIELD = Condition("its `BadRequest` names a field", lambda reply: bool({*reply.fields} - {_UNNAMED}))
_NOT_FOUND = Condition("its status is `NOT_FOUND`", lambda reply: reply.status == "NOT_FOUND")

_MALFORMED = "This is not a registration token of FCM: it is dead. Forget it, and check what the app registers."
_AGAIN = "The token is dead. Forget it; the app registers a new one when it is next opened."
_UPLOAD_KEY = (
    "the token is kept. Upload a valid key in Firebase console > Project settings > Cloud Messaging, then resend."
)
_WAITS = "device tokens are kept, and sends wait."

# fmt: off
TABLE = (
    Row("accepted_without_a_name", 2, None, UnknownOutcome,
        "FCM answered {http} without a name for the push: it may have accepted it; the token is kept. "
        "If this goes on, check that FCM_ENDPOINT is FCM."),
    Row("unspecified_error", 0, "UNSPECIFIED_ERROR", Rejected,
        "FCM refused the push and does not say why; the token is kept. "
        "Resend it once; if it is refused again, ask Firebase support."),
    Row("unregistered", 404, "UNREGISTERED", DeadToken,
        "The app was removed from the device, or its registration expired. " + _AGAIN),
    Row("apple_says_gone", 400, "INVALID_ARGUMENT", DeadToken,
        "Apple says that the app is gone from this device. " + _AGAIN, _APPLE_SAYS_GONE),
    Row("not_a_token", 400, "INVALID_ARGUMENT", DeadToken, _MALFORMED, _TOKEN_IS_BLAMED),
    Row("not_a_token_in_words", 400, "INVALID_ARGUMENT", DeadToken, _MALFORMED, _TOKEN_IS_BLAMED_IN_WORDS),
    Row("refused_field", 400, "INVALID_ARGUMENT", Rejected,
        "FCM refused {fields} of the push; the token is kept. Correct the notification and send it anew.",
        _NAMES_A_FIELD),
    Row("unreadable_field", 400, "", Rejected,
        "FCM cannot read {fields} of the push; the token is kept. "
        "That is an error of this service: report it with the notification's id.", _NAMES_A_FIELD),
    Row("refused", 400, None, Rejected,
        "FCM refused the push without naming a field; the token is kept. "
        "It is too large, or a value is wrong: correct the notification and send it anew."),
    Row("another_senders_token", 403, "SENDER_ID_MISMATCH", ForeignToken,
        "The token belongs to another Firebase project: it is kept, and left alone for a day. "
        "If there are many of these, GOOGLE_APPLICATION_CREDENTIALS or FCM_PROJECT_ID is of the wrong project; "
        "if there are few, let the app register anew."),
    Row("third_party_key_refused", 401, "THIRD_PARTY_AUTH_ERROR", Rejected,
        "Apple or the web push service refused the app's own key, which Firebase keeps; " + _UPLOAD_KEY),
    Row("apns_key_refused", 401, "APNS_AUTH_ERROR", Rejected,
        "Apple refused the app's own key, which Firebase keeps; " + _UPLOAD_KEY),
    Row("access_token_refused", 401, "", CredentialTrouble,
        f"FCM refused our access token, and then a fresh one; {_WAITS} "
        f"Make a new key for GOOGLE_APPLICATION_CREDENTIALS: {NEW_KEY}."),
    Row("permission_denied", 403, "", CredentialTrouble,
        f"The service account may not send in this project; {_WAITS} In Google Cloud console > IAM, grant it the role "
        "Firebase Cloud Messaging API Admin (roles/firebasecloudmessaging.admin), or correct FCM_PROJECT_ID.",
        has_reason("IAM_PERMISSION_DENIED")),
    Row("api_disabled", 403, "", CredentialTrouble,
        f"The Firebase Cloud Messaging API is switched off in this project; {_WAITS} In Google Cloud console > "
        "APIs & Services > Library, enable Firebase Cloud Messaging API (fcm.googleapis.com).",
        has_reason("SERVICE_DISABLED")),
    Row("scope_missing", 403, "", CredentialTrouble,
        f"Our access token was made without the scope {SCOPE}; {_WAITS} "
        "Correct token_uri in the file of GOOGLE_APPLICATION_CREDENTIALS, or make a new key: "
        f"{NEW_KEY}.",
        has_reason("ACCESS_TOKEN_SCOPE_INSUFFICIENT")),
    Row("not_let_in", 403, "", CredentialTrouble,
        f"We may not send in this project, or a proxy says so in FCM's place; {_WAITS} Look for a proxy, then check "
        "that the project has Firebase Cloud Messaging API enabled and that the service account has the role "
        "Firebase Cloud Messaging API Admin."),
    Row("wrong_project", 404, "", CredentialTrouble,
        f"FCM knows no such project; {_WAITS} Correct FCM_PROJECT_ID, or the project_id in the file of "
        "GOOGLE_APPLICATION_CREDENTIALS.", _NOT_FOUND),
    Row("wrong_address", 404, "", CredentialTrouble,
        f"There is no FCM at the address that we send to; {_WAITS} Correct FCM_ENDPOINT."),
    Row("target_quota", 429, "QUOTA_EXCEEDED", TARGET_QUOTA,
        "Too many pushes to this device or topic: FCM takes no more for now, so they wait; the token is kept. "
        "Nothing is lost; if it happens often, send it fewer."),
    Row("project_quota", 429, None, PROJECT_QUOTA,
        f"The project's sends per minute are used up; {_WAITS} Nothing is lost; if it happens often, ask for more in "
        "Google Cloud console > APIs & Services > Firebase Cloud Messaging API > Quotas."),
    Row("timed_out", 408, None, RetryLater,
        "FCM gave up waiting for the request, so nothing was sent; the token is kept. "
        "If this goes on, look at the network between here and FCM."),
    Row("server_trouble", 5, None, ServerTrouble,
        "FCM is in trouble (HTTP {http}) and did not take the push; the token is kept. "
        "If this goes on, see https://status.firebase.google.com."),
    Row("redirected", 3, None, CredentialTrouble,
        "FCM_ENDPOINT redirects (HTTP {http}), which is never followed; " + _WAITS + " Correct it."),
    Row("refused_otherwise", 0, None, Rejected,
        "FCM refused the push in a way that is not documented (HTTP {http}); the token is kept. "
        "Look its error code up in FCM's documentation, then resend it."),
)
# fmt: on
