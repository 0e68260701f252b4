"""Firebase Cloud Messaging, HTTP v1: one message a request, FCM's name for it as the receipt.

https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages/send
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from providers.base import PushMessage, SendReceipt
from providers.breaker import Breaker, BreakerOpen
from providers.credentials import ServiceAccount
from providers.errors import CredentialTrouble, NotNow, RetryLater, UnknownOutcome
from providers.fcm_message import encode
from providers.fcm_verdict import read, verdict
from providers.http import Answer, HttpClient, HttpFault, NotSent, OutcomeUnknown

ENDPOINT = "https://fcm.googleapis.com"
#: Seconds for a whole request. Google asks for at least 10.
TIMEOUT = 30.0


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

    def __init__(
        self,
        http: HttpClient,
        account: ServiceAccount,
        breaker: Breaker,
        endpoint: str,
        project_id: str | None,
    ) -> None:
        self.breaker = breaker
        self._http = http
        self._account = account
        self._endpoint = endpoint.rstrip("/")
        self._project_id = project_id
        self._addressed: str | None = None
        self._url = ""

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        body = encode(message)
        token = await self._account.token()
        answer = await self._post(body, token)
        if answer.status == 401 and not read(answer).code:  # with a code it is not about our token
            self._account.reject(token)
            answer = await self._post(body, await self._account.token())
        return _receipt(answer)

    def health(self) -> dict[str, Any]:
        """`ok`, the breaker, and what is wrong with the credentials."""
        trouble = self._account.trouble
        return {
            "ok": trouble is None and self.breaker.state == "closed",
            "breaker": self.breaker.snapshot(),
            "credentials": trouble.advice if trouble else "ok",
        }

    async def close(self) -> None:
        """Ends a token renewal in progress."""
        await self._account.close()

    async def _post(self, body: bytes, token: str) -> Answer:
        """Returns FCM's answer; raises NotNow, RetryLater or UnknownOutcome."""
        try:
            return await self._guarded(self._address(), body, token)
        except BreakerOpen as held:
            advice = "FCM failed several times in a row and is left alone for a while."
            raise NotNow("fcm_unavailable", advice, retry_after=held.retry_after) from None
        except NotSent as fault:
            raise RetryLater("fcm_unreachable", f"FCM could not be reached: {fault}.") from None
        except OutcomeUnknown as fault:
            advice = f"FCM may have accepted the push, but its answer was lost: {fault}."
            raise UnknownOutcome("unknown_outcome", advice) from None

    async def _guarded(self, url: str, body: bytes, token: str) -> Answer:
        """One request through the breaker. Raises BreakerOpen, NotSent or OutcomeUnknown."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        with self.breaker.admit() as ticket:
            try:
                answer = await self._http.request("POST", url, headers=headers, body=body, timeout=TIMEOUT)
            except HttpFault:
                ticket.failure()
                raise
            if answer.status >= 500:
                ticket.failure()
            elif answer.status < 300:
                ticket.success()
        return answer

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
