"""What the answer of a push service means: RFC 8030 says little, and each service has words of its own.

Mozilla: https://mozilla-push-service.readthedocs.io/en/latest/errors/
Apple: https://developer.apple.com/documentation/usernotifications/sending-web-push-notifications-in-web-apps-and-browsers
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from providers.base import SendReceipt
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
from providers.http import Answer, retry_after
from providers.verdicts import TARGET_QUOTA, Condition, Reply, Row, judge

_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]{1,63}")
_NAME = re.compile(r"[!-~]{1,1024}")
#: As Mozilla, and as Google in two ways, tell that the browser subscribed with another VAPID key than ours.
_ANOTHER_KEY = re.compile("public key mismatch|not correspond to", re.IGNORECASE)


def receipt(answer: Answer) -> SendReceipt:
    """Returns a SendReceipt, named by the Location if there is one; raises ProviderError.

    201 is the standard's. Services have said 200 and 202 too, but so does the page of a hotel.
    """
    page = answer.body.lstrip().startswith(b"<")
    if answer.status == 201 or (answer.status in (200, 202) and not page):
        return SendReceipt(_location(answer), answer.status)
    raise verdict(answer)


def verdict(answer: Answer) -> ProviderError:
    """The error that an answer without a receipt stands for."""
    return judge(answer, read(answer), TABLE)


def read(answer: Answer) -> Reply:
    """Apple gives its reason in JSON, the others a text; the text is judged and never shown."""
    try:
        reason = orjson.loads(answer.body)["reason"]
    except (orjson.JSONDecodeError, LookupError, TypeError):
        reason = None
    code = reason if isinstance(reason, str) and _WORD.fullmatch(reason) else ""
    text = answer.body[:2000].decode(errors="replace")
    return Reply(answer.status, code=code, text=text, says_when=retry_after(answer.headers) is not None)


def _location(answer: Answer) -> str:
    try:
        location = answer.headers.get("location", "")
    except ValueError:  # it is no text
        return ""
    return location if _NAME.fullmatch(location) else ""


def _not_let_in(code: str, advice: str, **more: Any) -> CredentialTrouble:
    """It holds nothing else up: a browser chooses its push service, and nobody must stop us by a service of his own."""
    trouble = CredentialTrouble(code, advice, **more)
    trouble.brakes = "target"
    return trouble


_OF_ANOTHER_KEY = Condition(
    "its text says that the public keys do not match", lambda reply: _ANOTHER_KEY.search(reply.text) is not None
)
_SAYS_WHEN = Condition("it has a `Retry-After`", lambda reply: reply.says_when)
_CORRECT = "the subscription is kept. Correct the notification and send it anew."
_FOREIGN = (
    "This subscription was made with another VAPID key: it is kept, and left alone for a day. If there are many of "
    "these, VAPID_PRIVATE_KEY is not the key that the browsers were given; if there are few, let the page subscribe "
    "anew."
)
_GONE = "The browser has unsubscribed, or its subscription expired: it is dead. Forget it."
_REFUSED = (
    "The push service refused our VAPID signature; the subscription is kept, and sends to it wait. "
    "Check this machine's clock, and that VAPID_SUBJECT is a real address: Apple looks."
)

# fmt: off
TABLE = (
    Row("accepted_otherwise", 2, None, UnknownOutcome,
        "The push service answered {http} in a way of its own: it may have accepted the push; the subscription is "
        "kept. If this goes on, find out what answers there."),
    Row("another_vapid_key_by_code", 4, "VapidPkHashMismatch", ForeignToken, _FOREIGN),
    Row("another_vapid_key", 4, None, ForeignToken, _FOREIGN, _OF_ANOTHER_KEY, word="vapid_key_mismatch"),
    Row("not_found", 404, None, DeadToken, _GONE, word="subscription_gone"),
    Row("gone", 410, None, DeadToken, _GONE, word="subscription_gone"),
    Row("signature_refused", 401, None, _not_let_in, _REFUSED),
    Row("not_let_in", 403, None, _not_let_in, _REFUSED),
    Row("too_large", 413, None, Rejected,
        "The push service finds the push too large; " + _CORRECT, word="payload_too_large"),
    Row("target_quota", 429, None, TARGET_QUOTA,
        "Too many pushes to this browser, so they wait; the subscription is kept. "
        "Nothing is lost; if it happens often, send it fewer."),
    Row("throttled", 406, None, TARGET_QUOTA,
        "Microsoft's push service takes no more for now, so pushes to this browser wait; the subscription is kept. "
        "Nothing is lost; if it happens often, send it fewer.", _SAYS_WHEN),
    Row("timed_out", 408, None, RetryLater,
        "The push service gave up waiting for the request, so nothing was sent; the subscription is kept. "
        "If this goes on, look at the network."),
    Row("server_trouble", 5, None, ServerTrouble,
        "The push service is in trouble (HTTP {http}) and did not take the push; the subscription is kept. "
        "If this goes on, ask whoever runs it."),
    Row("redirected", 3, None, Rejected,
        "The endpoint redirects (HTTP {http}), which is never followed; the subscription is kept. "
        "Let the page subscribe anew."),
    Row("refused_otherwise", 0, None, Rejected, "The push service refused the request (HTTP {http}); " + _CORRECT),
)
# fmt: on
