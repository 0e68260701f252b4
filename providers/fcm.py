"""Firebase Cloud Messaging, HTTP v1: one message a request, FCM's name for it as the receipt.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from providers.base import PushMessage, SendReceipt, Target
from providers.breaker import Breaker
from providers.credentials import ServiceAccount
from providers.errors import LET_IN, CredentialTrouble
from providers.exchange import Exchange, json_headers
from providers.fcm_message import encode
from providers.fcm_verdict import verdict
from providers.http import Answer, HttpClient

ENDPOINT = "https://fcm.googleapis.com"


def build(
    http: HttpClient,
    *,
    credentials_file: str | None,
    project_id: str | None = None,
    endpoint: str = ENDPOINT,
    fail_max: int = 5,
    reset_timeout: float = 60.0,
) -> Fcm:
    """The provider from plain values. Without a `project_id` it is the one of the credentials file.

    The breaker opens after `fail_max` failures in a row, for `reset_timeout` seconds.
    """
    breaker = Breaker("fcm", fail_max, reset_timeout)
    return Fcm(http, ServiceAccount(credentials_file), breaker, endpoint, project_id)


class Fcm:
    """Sends through one Firebase project. Timeouts, network faults and 5xx open its breaker."""

    name = "fcm"
    targets: frozenset[Target] = frozenset({"token", "fid", "topic"})

    def __init__(
        self,
        http: HttpClient,
        account: ServiceAccount,
        breaker: Breaker,
        endpoint: str,
        project_id: str | None,
    ) -> None:
        self.breaker = breaker
        self._exchange = Exchange(http, breaker, _receipt, code="fcm", who="FCM")
        self._account = account
        self._endpoint = endpoint.rstrip("/")
        self._project_id = project_id
        self._addressed: str | None = None
        self._url = ""
        self._trouble: CredentialTrouble | None = None
        self._renewals = 0  # of the credentials, when FCM refused them

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        body = encode(message)
        try:
            receipt = await self._sent(body)
        except CredentialTrouble as trouble:
            self._trouble, self._renewals = trouble, self._account.renewals
            raise
        except LET_IN:
            self._trouble = None
            raise
        self._trouble = None
        return receipt

    async def _sent(self, body: bytes) -> SendReceipt:
        """Posts it, and once more where FCM refuses the access token: it may have been taken back."""
        if self.mended():  # FCM took the token, and forbade the push: another file may get one that is allowed more
            self._account.discard()
        token = await self._account.token()
        try:
            return await self._post(body, token)
        except CredentialTrouble as trouble:
            if trouble.http_status != 401:  # one that FCM gave a code of its own is no trouble of ours
                raise
            self._account.reject(token)
        return await self._post(body, await self._account.token())

    def mended(self) -> bool:
        """Whether the last send met trouble, and the credentials file is another than the one that was last read."""
        return self._trouble is not None and self._account.is_outdated()

    def health(self) -> dict[str, Any]:
        """`ok`, the breaker, and what is wrong with the credentials, as far as the last answers tell."""
        renewed = self._account.renewals != self._renewals
        trouble = self._account.trouble or (None if renewed else self._trouble)
        return {
            "ok": trouble is None and self.breaker.state == "closed",
            "breaker": self.breaker.snapshot(),
            "credentials": trouble.advice if trouble else "ok",
        }

    async def close(self) -> None:
        """Ends a token renewal in progress."""
        await self._account.close()

    async def _post(self, body: bytes, token: str) -> SendReceipt:
        return await self._exchange.post(self._address(), json_headers(f"Bearer {token}"), body)

    def _address(self) -> str:
        """Where to send: to our project or the one of the credentials file, as it was last read."""
        project = self._project_id or self._account.project_id
        if not project:
            advice = "The credentials file names no project. Set FCM_PROJECT_ID."
            raise CredentialTrouble("project_missing", advice, retry_after=60.0)
        if project != self._addressed:
            self._addressed = project
            self._url = f"{self._endpoint}/v1/projects/{quote(project, safe=':')}/messages:send"
        return self._url


def _receipt(answer: Answer) -> SendReceipt:
    if answer.status == 200:
        try:
            name = orjson.loads(answer.body)["name"]
        except (orjson.JSONDecodeError, KeyError, TypeError):
            name = None
        if isinstance(name, str) and name:
            return SendReceipt(name, 200)
    raise verdict(answer)
