"""Firebase Cloud Messaging's legacy wire format, `POST /fcm/send` with a server key.

Google deprecated it in June 2023 and has been switching it off since 2024-07-22; servers that speak it live on.
https://firebase.google.com/docs/cloud-messaging/http-server-ref
"""

from __future__ import annotations

from typing import Any

from providers.base import PushMessage, SendReceipt, Target
from providers.breaker import Breaker
from providers.errors import LET_IN, CredentialTrouble, DeadToken
from providers.exchange import Exchange, json_headers
from providers.fcm_legacy_verdict import result, verdict
from providers.fcm_payload import app_data, size_of, written
from providers.http import Answer, HttpClient
from providers.payload import action_of, given, lifetime, notification_of

API_URL = "https://fcm.googleapis.com/fcm/send"


def build(
    http: HttpClient,
    *,
    server_key: str,
    api_url: str = API_URL,
    fail_max: int = 5,
    reset_timeout: float = 60.0,
) -> FcmLegacy:
    """The provider from plain values. The breaker opens after `fail_max` failures in a row, for `reset_timeout` s."""
    return FcmLegacy(http, server_key, Breaker("fcm_legacy", fail_max, reset_timeout), api_url)


class FcmLegacy:
    """Sends with one server key. Timeouts, network faults and 5xx, also those told in a 200, open its breaker."""

    name = "fcm_legacy"
    targets: frozenset[Target] = frozenset({"token", "topic"})

    def __init__(self, http: HttpClient, server_key: str, breaker: Breaker, api_url: str) -> None:
        self.breaker = breaker
        self._exchange = Exchange(http, breaker, _receipt, code="fcm", who="FCM")
        self._headers = json_headers(f"key={server_key}")
        self._api_url = api_url
        self._trouble: CredentialTrouble | None = None

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        body = encode(message)
        try:
            receipt = await self._exchange.post(self._api_url, self._headers, body)
        except CredentialTrouble as trouble:
            self._trouble = trouble
            raise
        except LET_IN as refusal:
            if refusal.http_status in range(200, 300):  # all else may be said before anybody looks at the key
                self._trouble = None
            raise
        self._trouble = None
        return receipt

    def mended(self) -> bool:
        """A server key is a setting: it does not change while the process lives."""
        return False

    def health(self) -> dict[str, Any]:
        """`ok`, the breaker, and what is wrong with the server key, as far as the last answers tell."""
        return {
            "ok": self._trouble is None and self.breaker.state == "closed",
            "breaker": self.breaker.snapshot(),
            "credentials": self._trouble.advice if self._trouble else "ok",
        }

    async def close(self) -> None:
        """There is nothing to let go of."""


def encode(message: PushMessage) -> bytes:
    """The request's body; raises ProviderError for what must not be sent.

    `tag` makes a repeat replace the first on Android and the web. There is nothing like it for Apple but
    `collapse_key`, of which FCM keeps four for a device that is offline: the others would be lost.
    """
    return written(_document(message), message, measured)


def _document(message: PushMessage) -> dict[str, Any]:
    document: dict[str, Any] = {
        "to": _to(message),
        "priority": "high" if message.high_priority else "normal",
        "time_to_live": lifetime(message),
    }
    if message.data_only:
        document["content_available"] = True
    else:
        document["notification"] = _notification(message)
        if message.image:  # without it Apple does not wake the part of the app that fetches images
            document["mutable_content"] = True
    if message.collapse_key:
        document["collapse_key"] = message.collapse_key
    if message.dry_run:
        document["dry_run"] = True
    if data := app_data(message):
        document["data"] = data
    return document


def _to(message: PushMessage) -> str:
    """Whom it is for. It takes a topic too, so that a token that looks like one would reach all who follow it."""
    if message.target == "topic":
        return f"/topics/{message.device_token}"
    if message.device_token.lstrip().startswith("/"):
        raise DeadToken("INVALID_ARGUMENT", "This is not a registration token but a topic. Forget it.")
    return message.device_token


def _notification(message: PushMessage) -> dict[str, Any]:
    more = {
        "tag": message.replaces,
        "click_action": action_of(message),
        "android_channel_id": message.channel_id,
        "sound": message.sound,
        "badge": None if message.badge is None else str(message.badge),
    }
    return notification_of(message) | given(more)


def measured(document: dict[str, Any]) -> int:
    return size_of(document.get("data", {})) + size_of(document.get("notification", {}))


def _receipt(answer: Answer) -> SendReceipt:
    """Returns a SendReceipt; raises ProviderError. A canonical `registration_id` beside the receipt changes nothing.

    Google's `message_id` is a text; servers of others number theirs.
    """
    if answer.status == 200:
        name = result(answer).get("message_id")
        if type(name) in (int, str) and name != "":  # True is an int to `isinstance`, and no receipt
            return SendReceipt(str(name), 200)
    raise verdict(answer)
