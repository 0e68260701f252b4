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
from providers.http import Answer
from providers.verdicts import PROJECT_QUOTA, TARGET_QUOTA, Reply, Row, judge

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")

_WAITS = "device tokens are kept, and sends wait."
_SWITCHED_OFF = (
    f"The legacy API is not there (HTTP {{http}}): Google has switched it off; {_WAITS} Set "
    "GOOGLE_APPLICATION_CREDENTIALS to a service-account file instead of FCM_SERVER_KEY; if a server of your own still "
    "speaks it, correct FCM_API_URL."
)
_CORRECT = "the token is kept. Correct the notification and send it anew."
_TOO_MANY = (
    "FCM takes no more for now, so they wait; the token is kept. Nothing is lost; if it happens often, send it fewer."
)
_TROUBLE = (
    "FCM is in trouble (HTTP {http}) and did not take the push; the token is kept. "
    "If this goes on, see https://status.firebase.google.com."
)

# fmt: off
TABLE = (
    Row("unregistered", 0, "NotRegistered", DeadToken,
        "The app was removed from the device, or its registration expired. The token is dead. Forget it; the app "
        "registers a new one when it is next opened.", word="UNREGISTERED"),
    Row("not_a_token", 0, "InvalidRegistration", DeadToken,
        "This is not a registration token of FCM: it is dead. Forget it, and check what the app registers.",
        word="INVALID_ARGUMENT"),
    Row("no_token", 0, "MissingRegistration", Rejected,
        "FCM found no device token in the push. "
        "That is an error of this service: report it with the notification's id.",
        word="INVALID_ARGUMENT"),
    Row("another_senders_token", 0, "MismatchSenderId", ForeignToken,
        "The token belongs to another Firebase project: it is kept, and left alone for a day. If there are many of "
        "these, FCM_SERVER_KEY is of the wrong project; if there are few, let the app register anew.",
        word="SENDER_ID_MISMATCH"),
    Row("another_apps_token", 0, "InvalidPackageName", Rejected,
        "The token is of another app than the one that is asked for; it is kept. Check which app registered it.",
        word="INVALID_ARGUMENT"),
    Row("too_large", 0, "MessageTooBig", Rejected,
        "FCM finds the push too large; " + _CORRECT, word="INVALID_ARGUMENT"),
    Row("reserved_data_key", 0, "InvalidDataKey", Rejected,
        "FCM keeps a key of the data for itself; " + _CORRECT, word="INVALID_ARGUMENT"),
    Row("refused_ttl", 0, "InvalidTtl", Rejected, "FCM refused the time to live; " + _CORRECT, word="INVALID_ARGUMENT"),
    Row("refused_field", 0, "InvalidParameters", Rejected,
        "FCM refused a field of the push; " + _CORRECT, word="INVALID_ARGUMENT"),
    Row("device_quota", 0, "DeviceMessageRateExceeded", TARGET_QUOTA,
        "Too many pushes to this device: " + _TOO_MANY, word="QUOTA_EXCEEDED"),
    Row("topic_quota", 0, "TopicsMessageRateExceeded", TARGET_QUOTA,
        "Too many pushes to this topic: " + _TOO_MANY, word="QUOTA_EXCEEDED"),
    Row("apns_key_refused", 0, "InvalidApnsCredential", Rejected,
        "Apple refused the app's own key, which Firebase keeps; the token is kept. Upload a valid key in Firebase "
        "console > Project settings > Cloud Messaging, then resend.", word="THIRD_PARTY_AUTH_ERROR"),
    Row("unavailable", 0, "Unavailable", ServerTrouble, _TROUBLE, word="UNAVAILABLE"),
    Row("internal", 0, "InternalServerError", ServerTrouble, _TROUBLE, word="INTERNAL"),
    Row("switched_off", 0, "DeprecatedApi", CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row("accepted_without_a_result", 2, "", UnknownOutcome,
        "FCM answered {http} without a result: it may have accepted the push; the token is kept. "
        "If this goes on, check that FCM_API_URL is FCM."),
    Row("undocumented_word", 2, None, Rejected,
        "FCM refused the push with a word that is not in its documentation; " + _CORRECT),
    Row("refused", 400, None, Rejected, "FCM refused the request; " + _CORRECT, word="INVALID_ARGUMENT"),
    Row("server_key_refused", 401, None, CredentialTrouble,
        f"FCM refused the server key; {_WAITS} Correct FCM_SERVER_KEY, or set GOOGLE_APPLICATION_CREDENTIALS instead.",
        word="UNAUTHENTICATED"),
    Row("server_key_may_not_send", 403, None, CredentialTrouble,
        f"The server key may not send; {_WAITS} Check FCM_SERVER_KEY and what its project allows it, or set "
        "GOOGLE_APPLICATION_CREDENTIALS instead.", word="PERMISSION_DENIED"),
    Row("not_there", 404, None, CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row("gone", 410, None, CredentialTrouble, _SWITCHED_OFF, word="legacy_api_gone"),
    Row("timed_out", 408, None, RetryLater,
        "FCM gave up waiting for the request, so nothing was sent; the token is kept. "
        "If this goes on, look at the network between here and FCM."),
    Row("project_quota", 429, None, PROJECT_QUOTA,
        f"The project's quota is used up; {_WAITS} Nothing is lost; if it happens often, send fewer.",
        word="RESOURCE_EXHAUSTED"),
    Row("server_trouble", 5, None, ServerTrouble, _TROUBLE),
    Row("redirected", 3, None, CredentialTrouble,
        "FCM_API_URL redirects (HTTP {http}), which is never followed; " + _WAITS + " Correct it."),
    Row("refused_otherwise", 0, None, Rejected, "FCM refused the request (HTTP {http}); " + _CORRECT),
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
