"""What FCM says of a device, by the state of its token, and what it says when a fault is scripted: two tables.

Sources: https://firebase.google.com/docs/cloud-messaging/error-codes and the bodies that its users have reported.
"""

from __future__ import annotations

from collections.abc import Callable

from sandbox.google_errors import (
    Detail,
    PageError,
    RefusedError,
    apns_error,
    bad_request,
    credentials_expired,
    device_quota,
    fcm_error,
    internal,
    invalid,
    malformed,
    permission_denied,
    project_quota,
    scope_missing,
    service_disabled,
    timed_out,
    topic_quota,
    unavailable,
    wrong_project,
)

Verdict = Callable[[str, int], RefusedError]
"""Takes (the target's field, the usual Retry-After in seconds)."""


def _says(http: int, status: str, text: str, *details: Detail) -> Verdict:
    return lambda _field, _wait: RefusedError(http, status, text, *details)


def _page(http: int) -> Verdict:
    return lambda _field, _wait: PageError(http)


def _third_party(code: str, *details: Detail) -> Verdict:
    return _says(401, "UNAUTHENTICATED", "Auth error from APNS or Web Push Service", fcm_error(code), *details)


_NO_TOKEN = "The registration token is not a valid FCM registration token"  # noqa: S105 - what FCM says of one
_NO_TEXT = "Invalid value at 'message.data[0].value' (TYPE_STRING), 12"
_GONE = apns_error(410, "Unregistered")

#: Of a token in a state of sandbox.devices; FCM takes the message to any other.
VERDICTS: dict[str, Verdict] = {
    "dead": _says(404, "NOT_FOUND", "NotRegistered", fcm_error("UNREGISTERED")),
    "dead410": _says(404, "NOT_FOUND", "NotRegistered", _GONE, fcm_error("UNREGISTERED")),
    "malformed": lambda field, _: malformed(field),
    "notatoken": _says(400, "INVALID_ARGUMENT", _NO_TOKEN, fcm_error("INVALID_ARGUMENT")),
    "apns410": _says(400, "INVALID_ARGUMENT", "APNs device token is disabled.", fcm_error("INVALID_ARGUMENT"), _GONE),
    "baddata": lambda *_: invalid("message.data", "Invalid data payload key: from"),
    "badrequest": _says(400, "INVALID_ARGUMENT", _NO_TEXT, bad_request([("message.data[0].value", _NO_TEXT)])),
    "nodetails": _says(400, "INVALID_ARGUMENT", "Request contains an invalid argument."),
    "mismatch": _says(403, "PERMISSION_DENIED", "SenderId mismatch", fcm_error("SENDER_ID_MISMATCH")),
    "apnsauth": _third_party("THIRD_PARTY_AUTH_ERROR", apns_error(403, "InvalidProviderToken")),
    "apnsenv": _third_party("THIRD_PARTY_AUTH_ERROR", apns_error(403, "BadEnvironmentKeyInToken")),
    "apnsold": _third_party("APNS_AUTH_ERROR", apns_error(403, "InvalidProviderToken")),
    "webauth": _third_party("THIRD_PARTY_AUTH_ERROR"),
    "quota": lambda _, wait: device_quota(wait),
    "quotanowait": lambda *_: device_quota(None),
    "unavailable": lambda *_: unavailable(),
    "internal": lambda *_: internal(),
    "unspecified": _says(500, "UNKNOWN", "Unknown error.", fcm_error("UNSPECIFIED_ERROR")),
    "newword": _says(409, "ABORTED", "Something new.", fcm_error("NEWLY_INVENTED")),
    "html500": _page(500),
    "html502": _page(502),
    "html503": _page(503),
    "html504": _page(504),
}

#: Of sends that are too many, by the scope of the quota; takes the Retry-After in seconds, None for no such header.
QUOTAS: dict[str, Callable[[int | None], RefusedError]] = {
    "project": project_quota,
    "device": device_quota,
    "topic": topic_quota,
}

#: For a scripted fault, by its name; takes (Retry-After in seconds or None, the scope).
SCRIPTED: dict[str, Callable[[int | None, str | None], RefusedError]] = {
    "down": lambda *_: unavailable(),
    "quota": lambda wait, scope: QUOTAS[scope or "project"](wait),
    "disabled": lambda *_: service_disabled(),
    "noscope": lambda *_: scope_missing(),
    "refuse400": lambda *_: invalid("message", "Scripted by /control."),
    "refuse401": lambda *_: credentials_expired(),
    "refuse403": lambda *_: permission_denied(),
    "refuse404": lambda *_: wrong_project(),
    "refuse500": lambda *_: internal(),
    "refuse504": lambda *_: timed_out(),
}

#: Faults that Google tells of where it looks at the caller, before it reads what is asked.
ABOUT_THE_CALLER = ("refuse401", "refuse403", "refuse404", "html404", "disabled", "noscope")
