"""One POST to a provider through its breaker, and what becomes of it: the same for all of them."""

from __future__ import annotations

from collections.abc import Callable

from providers.base import SendReceipt
from providers.breaker import Breaker, BreakerOpen, Ticket
from providers.errors import NotNow, ProviderError, RetryLater, ServerTrouble, UnknownOutcome
from providers.http import Answer, HttpClient, NotSent, OutcomeUnknown

#: Seconds for a whole request. Google asks for at least 10.
TIMEOUT = 30.0


class Exchange:
    """Posts messages. `read` makes a receipt of an answer, or raises the ProviderError that it stands for.

    In errors, codes begin with `code`, and people read of `who`.
    """

    def __init__(
        self,
        http: HttpClient,
        breaker: Breaker,
        read: Callable[[Answer], SendReceipt],
        *,
        code: str,
        who: str,
    ) -> None:
        self.breaker = breaker
        self._http = http
        self._read = read
        self._code = code
        self._who = who

    async def post(self, url: str, headers: dict[str, str], body: bytes) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError. Posts once, or not at all while the breaker is open."""
        try:
            ticket = self.breaker.admit()
        except BreakerOpen as held:
            advice = f"{self._who} failed several times in a row and is left alone for a while."
            raise NotNow(f"{self._code}_unavailable", advice, retry_after=held.retry_after) from None
        with ticket:
            return self._receipt(ticket, await self._answer(ticket, url, headers, body))

    async def _answer(self, ticket: Ticket, url: str, headers: dict[str, str], body: bytes) -> Answer:
        """Returns the provider's answer; raises RetryLater or UnknownOutcome."""
        try:
            return await self._http.request("POST", url, headers=headers, body=body, timeout=TIMEOUT)
        except NotSent as fault:
            ticket.failure(str(fault))
            raise RetryLater(f"{self._code}_unreachable", f"{self._who} could not be reached: {fault}.") from None
        except OutcomeUnknown as fault:
            ticket.failure(f"no answer: {fault}")
            advice = f"{self._who} may have accepted the push, but its answer was lost: {fault}."
            raise UnknownOutcome("unknown_outcome", advice) from None

    def _receipt(self, ticket: Ticket, answer: Answer) -> SendReceipt:
        """Reads the answer and tells the breaker how it went; trouble counts wherever it is said, in a 200 too."""
        try:
            receipt = self._read(answer)
        except ProviderError as error:
            if answer.status >= 500 or isinstance(error, ServerTrouble):
                ticket.failure(f"{answer.status} {error.code}")
            raise
        ticket.success()
        return receipt


def json_headers(authorization: str) -> dict[str, str]:
    """Of a message that is JSON."""
    return {"Authorization": authorization, "Content-Type": "application/json"}
