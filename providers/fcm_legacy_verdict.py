"""What an answer of FCM's legacy wire format without a receipt means, in the codes of HTTP v1.

Most of its errors come in a 200, as `results[0].error`.
https://firebase.google.com/docs/cloud-messaging/http-server-ref#error-codes
"""

from __future__ import annotations

import re
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
from providers.fcm_verdict import PROJECT_QUOTA, TARGET_QUOTA, Reply, Row, judge
from providers.http import Answer

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")

_SWITCHED_OFF = (
    "The legacy API is not there (HTTP {http}): Google has switched it off. Set GOOGLE_APPLICATION_CREDENTIALS to a "
    "service-account file instead of FCM_SERVER_KEY; if a server of your own still speaks it, correct FCM_API_URL."
)
_MEND = "Mend the message; the token is kept."

# fmt: off
TABLE = (
    Row(0, "NotRegistered", DeadToken,
        "The app was removed or its registration expired. Forget this token.", word="UNREGISTERED"),
    Row(0, "InvalidRegistration", DeadToken,
        "This is not a registration token. Forget it.", word="INVALID_ARGUMENT"),
    Row(0, "MissingRegistration", Rejected,
        "FCM found no device token in the push.", word="INVALID_ARGUMENT"),
    Row(0, "MismatchSenderId", ForeignToken,
        "This token belongs to another Firebase project and is left alone for a day. If there are "
        "many of these, FCM_SERVER_KEY is wrong.", word="SENDER_ID_MISMATCH"),
    Row(0, "InvalidPackageName", Rejected,
        "The token is of another app than the one that is asked for; it is kept.", word="INVALID_ARGUMENT"),
    Row(0, "MessageTooBig", Rejected, "FCM finds the push too large. " + _MEND, word="INVALID_ARGUMENT"),
    Row(0, "InvalidDataKey", Rejected, "FCM keeps a key of the data for itself. " + _MEND, word="INVALID_ARGUMENT"),
    Row(0, "InvalidTtl", Rejected, "FCM refused the time to live. " + _MEND, word="INVALID_ARGUMENT"),
    Row(0, "InvalidParameters", Rejected, "FCM refused a field of the push. " + _MEND, word="INVALID_ARGUMENT"),
    Row(0, "DeviceMessageRateExceeded", TARGET_QUOTA,
        "Too many pushes to this device; FCM asks to wait.", word="QUOTA_EXCEEDED"),
    Row(0, "TopicsMessageRateExceeded", TARGET_QUOTA,
        "Too many pushes to this topic; FCM asks to wait.", word="QUOTA_EXCEEDED"),
    Row(0, "InvalidApnsCredential", Rejected,
        "Apple refused the app's own key. Upload a valid one: Firebase console > Project settings > Cloud Messaging.",
        word="THIRD_PARTY_AUTH_ERROR"),
    Row(0, "Unavailable", ServerTrouble, "FCM is in trouble (HTTP {http}).", word="UNAVAILABLE"),
    Row(0, "InternalServerError", ServerTrouble, "FCM is in trouble (HTTP {http}).", word="INTERNAL"),
    Row(0, "DeprecatedApi", CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row(2, "", UnknownOutcome, "FCM answered {http} without a result; it may have accepted the push."),
    Row(2, None, Rejected, "FCM refused the push with a word that is not in its documentation. " + _MEND),
    Row(400, None, Rejected, "FCM refused the request. " + _MEND, word="INVALID_ARGUMENT"),
    Row(401, None, CredentialTrouble,
        "FCM refused the server key. Check FCM_SERVER_KEY, or set GOOGLE_APPLICATION_CREDENTIALS instead.",
        word="UNAUTHENTICATED"),
    Row(403, None, CredentialTrouble,
        "The server key may not send. Check FCM_SERVER_KEY and what its project allows it, or set "
        "GOOGLE_APPLICATION_CREDENTIALS instead.", word="PERMISSION_DENIED"),
    Row(404, None, CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row(410, None, CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row(408, None, RetryLater, "FCM gave up waiting for the request."),
    Row(429, None, PROJECT_QUOTA, "The project's quota is used up; FCM asks to wait.", word="RESOURCE_EXHAUSTED"),
    Row(5, None, ServerTrouble, "FCM is in trouble (HTTP {http})."),
    Row(3, None, CredentialTrouble,
        "FCM_API_URL redirects (HTTP {http}), which is never followed. Correct it."),
    Row(0, None, Rejected, "FCM refused the request (HTTP {http}). " + _MEND),
)
# fmt: on


def verdict(answer: Answer) -> ProviderError:
    """The error that an answer without a receipt stands for."""
    return judge(answer, read(answer), TABLE)


def read(answer: Answer) -> Reply:
    """Takes the error's word from the first result or, where there is none, from the body itself."""
    said = result(answer).get("error") or _document(answer).get("error")
    return Reply(answer.status, code=_word(said))


def result(answer: Answer) -> dict[str, Any]:
    """What became of our one token, or of our topic: that is the answer itself. {} where it does not say."""
    document = _document(answer)
    results = document.get("results", [document])
    first = results[0] if isinstance(results, list) and results else None
    return first if isinstance(first, dict) else {}


def _document(answer: Answer) -> dict[str, Any]:
    try:
        document = orjson.loads(answer.body)
    except orjson.JSONDecodeError:
        return {}
    return document if isinstance(document, dict) else {}


def _word(said: object) -> str:
    """The error as one word, if it looks like one: it is stored, counted and shown. A text may follow it."""
    text = said if isinstance(said, str) else ""
    if text.startswith("Deprecated endpoint"):  # one of the ways in which Google told that it was over
        return "DeprecatedApi"
    word = text.partition(":")[0].strip()
    return word if _WORD.fullmatch(word) else ""
