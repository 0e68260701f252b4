"""One POST to FCM through the breaker, whichever of its wire formats is spoken."""

from __future__ import annotations

from collections.abc import Callable

from providers.base import SendReceipt
from providers.breaker import Breaker, BreakerOpen, Ticket
from providers.errors import NotNow, ProviderError, RetryLater, ServerTrouble, UnknownOutcome
from providers.http import Answer, HttpClient, NotSent, OutcomeUnknown

#: Seconds for a whole request. Google asks for at least 10.
TIMEOUT = 30.0


class Exchange:
    """Posts messages. `read` makes a receipt of an answer, or raises the ProviderError that it stands for."""

    def __init__(self, http: HttpClient, breaker: Breaker, read: Callable[[Answer], SendReceipt]) -> None:
        self._http = http
        self._breaker = breaker
        self._read = read

    async def post(self, url: str, authorization: str, body: bytes) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError. Posts once, or not at all while the breaker is open."""
        try:
            ticket = self._breaker.admit()
        except BreakerOpen as held:
            advice = "FCM failed several times in a row and is left alone for a while."
            raise NotNow("fcm_unavailable", advice, retry_after=held.retry_after) from None
        with ticket:
            return self._receipt(ticket, await self._answer(ticket, url, authorization, body))

    async def _answer(self, ticket: Ticket, url: str, authorization: str, body: bytes) -> Answer:
        """Returns FCM's answer; raises RetryLater or UnknownOutcome."""
        headers = {"Authorization": authorization, "Content-Type": "application/json"}
        try:
            return await self._http.request("POST", url, headers=headers, body=body, timeout=TIMEOUT)
        except NotSent as fault:
            ticket.failure()
            raise RetryLater("fcm_unreachable", f"FCM could not be reached: {fault}.") from None
        except OutcomeUnknown as fault:
            ticket.failure()
            advice = f"FCM may have accepted the push, but its answer was lost: {fault}."
            raise UnknownOutcome("unknown_outcome", advice) from None

    def _receipt(self, ticket: Ticket, answer: Answer) -> SendReceipt:
        """Reads the answer and tells the breaker how it went; trouble counts wherever it is said, in a 200 too."""
        try:
            receipt = self._read(answer)
        except ProviderError as error:
            if answer.status >= 500 or isinstance(error, ServerTrouble):
                ticket.failure()
            raise
        ticket.success()
        return receipt
