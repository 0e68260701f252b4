"""Firebase Cloud Messaging's legacy wire format, `POST /fcm/send` with a server key.

Google deprecated it in June 2023 and has been switching it off since 2024-07-22; servers that speak it live on.
https://firebase.google.com/docs/cloud-messaging/http-server-ref
"""

from __future__ import annotations

from typing import Any

from providers.base import PushMessage, SendReceipt, Target
from providers.breaker import Breaker
from providers.errors import CredentialTrouble, DeadToken, ForeignToken, Rejected, Throttled
from providers.exchange import Exchange, json_headers
from providers.fcm_legacy_verdict import first_result, verdict
from providers.fcm_payload import action_of, data_of, lifetime, notification_of, written
from providers.http import Answer, HttpClient

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
        except (DeadToken, ForeignToken, Rejected, Throttled) as refusal:
            if refusal.http_status in range(200, 300):  # a word about the token or the push: the key let us in
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
    if message.device_token.lstrip().startswith("/"):  # `to` takes a topic too: one token would reach all who follow it
        raise DeadToken("INVALID_ARGUMENT", "This is not a registration token but a topic. Forget it.")
    data = data_of(message)
    notification = notification_of(message) | {"tag": message.replaces}
    if action := action_of(message):
        notification["click_action"] = action
    document: dict[str, Any] = {
        "to": message.device_token,
        "priority": "high" if message.high_priority else "normal",
        "time_to_live": lifetime(message),
        "notification": notification,
    }
    if message.image:
        document["mutable_content"] = True  # without it Apple does not wake the part of the app that fetches images
    if data:
        document["data"] = data
    return written(document, message, data)


def _receipt(answer: Answer) -> SendReceipt:
    """Returns a SendReceipt; raises ProviderError. A canonical `registration_id` beside the receipt changes nothing.

    Google's `message_id` is a text; servers of others number theirs.
    """
    if answer.status == 200:
        name = first_result(answer).get("message_id")
        if type(name) in (int, str) and name != "":  # True is an int to `isinstance`, and no receipt
            return SendReceipt(str(name), 200)
    raise verdict(answer)
