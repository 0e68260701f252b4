"""The codes of all errors: what a program may rely on. docs/api.md has the same table, and a test keeps them equal."""

from __future__ import annotations

from typing import NamedTuple


class Code(NamedTuple):
    """An error's HTTP status, and what it means."""

    status: int
    meaning: str


CODES = {
    "invalid_message": Code(400, "The notification cannot be accepted; `fields` has every fault."),
    "invalid_list": Code(400, "A list has 1 to 500 notifications."),
    "invalid_request": Code(
        400, "A parameter of the address or a field of the body is wrong or unknown; see `fields`."
    ),
    "bad_request": Code(400, "The request itself is broken, or names a host that is not in ALLOWED_HOSTS."),
    "not_authenticated": Code(401, "An API key is needed: `Authorization: Bearer <key>`."),
    "authentication_failed": Code(401, "The API key is unknown or has been revoked."),
    "key_expired": Code(401, "The API key was valid until a time that is over."),
    "scope_missing": Code(403, "The API key is good, but not for this; the message names the scope that it lacks."),
    "not_found": Code(404, "There is nothing at this address."),
    "unknown_notification": Code(404, "There is no notification of this id."),
    "unknown_delivery": Code(404, "There is no delivery of this id."),
    "method_not_allowed": Code(405, "The address knows other methods: see the header `Allow`."),
    "not_acceptable": Code(406, "The answer cannot be in the form that the header `Accept` asks for."),
    "conflict": Code(409, "The id is that of another notification, whose content differs in the `fields`."),
    "already_sent": Code(409, "It was accepted before; only `force` sends it again."),
    "under_way": Code(409, "It has not ended yet, so there is nothing to send again."),
    "just_resent": Code(409, "It was sent again a moment ago: this counts as the same request."),
    "sample": Code(409, "It is sample history of the demo: there is nobody to send it to."),
    "changed": Code(409, "It was sent again since it was `seen`."),
    "ended": Code(409, "It has already ended, so there is nothing to cancel."),
    "too_large": Code(413, "A notification has 64 KiB at most, a list of them 8 MiB."),
    "unsupported_media_type": Code(
        415, "Not declared as plain JSON in UTF-8: `Content-Type: application/json`, and no `Content-Encoding`."
    ),
    "throttled": Code(429, "The key has asked more than it may; the header `Retry-After` says for how long to wait."),
    "internal_error": Code(500, "This is an error of ours. The log has the details."),
    "database_unavailable": Code(
        503,
        "The database does not answer, so nothing can be promised. Send the same request again; with a "
        "notification_id of your own it is accepted once, however often it comes.",
    ),
}
