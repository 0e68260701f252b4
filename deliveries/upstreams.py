"""One call to a neighbour (user service, template service, gateway), through its breaker; its answer is not trusted."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import orjson

from deliveries.outcomes import TryAgain
from providers.breaker import Breaker, BreakerOpen, Ticket
from providers.http import Answer, HttpClient, HttpFault

#: Seconds for a whole call to a neighbour, and the bytes of an answer that are read at all.
TIMEOUT = 5.0
MAX_ANSWER_BYTES = 64 * 1024

#: Statuses that say "not now" or "not you": the request may be right all the same.
RETRYABLE = frozenset({401, 403, 408, 425, 429})


class Refusal(Exception):
    """A neighbour's final no: asking again would not help."""

    def __init__(self, http_status: int, reason: str) -> None:
        super().__init__(f"{http_status}: {reason}")
        self.http_status = http_status
        self.reason = reason


class Upstream:
    """A neighbour at its base URL. `name` is the word for it in error codes, logs and health."""

    def __init__(self, name: str, base_url: str, http: HttpClient, breaker: Breaker) -> None:
        self.name = name
        self.breaker = breaker
        self._base_url = base_url.rstrip("/")
        self._http = http

    async def call(self, method: str, path: str, correlation_id: str, document: Any = None) -> dict[str, Any]:
        """Returns the data of a good answer; raises Refusal or TryAgain."""
        try:
            ticket = self.breaker.admit()
        except BreakerOpen as held:
            raise self._trouble("unavailable", "is failing and not called for now", after=held.retry_after) from None
        with ticket:
            answer = await self._answer(ticket, method, path, correlation_id, document)
        return self._data(answer.status, answer.body)

    async def _answer(self, ticket: Ticket, method: str, path: str, correlation_id: str, document: Any) -> Answer:
        """Returns an answer that is not a 5xx and tells the breaker how it went; raises TryAgain."""
        try:
            answer = await self._http.request(
                method,
                self._base_url + path,
                headers={"X-Correlation-ID": _header(correlation_id), "Content-Type": "application/json"},
                body=None if document is None else orjson.dumps(document),
                timeout=TIMEOUT,
                max_bytes=MAX_ANSWER_BYTES,
            )
        except HttpFault as fault:
            ticket.failure()
            raise self._trouble("unreachable", f"could not be asked: {fault}") from None
        if answer.status >= 500:
            ticket.failure()
            raise self._trouble("error", f"answered {answer.status}", http_status=answer.status)
        if answer.status < 400:
            ticket.success()
        return answer

    def _data(self, status: int, body: bytes) -> dict[str, Any]:
        """The data of an answer, out of its envelope if it has one; raises Refusal or TryAgain."""
        try:
            document = orjson.loads(body) if body else {}
        except orjson.JSONDecodeError:
            document = None
        final = status >= 400 and status not in RETRYABLE
        if 200 <= status < 300 and isinstance(document, dict):
            final = document.get("success") is False
            data = document.get("data") if "success" in document or "data" in document else document
            if not final and (data is None or isinstance(data, dict)):
                return data or {}
        if final:
            raise Refusal(status, _reason(document) or f"it answered {status}")
        raise self._trouble("bad_answer", f"answered {status} with something that is not usable", http_status=status)

    def _trouble(self, kind: str, what: str, *, http_status: int | None = None, after: float | None = None) -> TryAgain:
        name = self.name.replace("_", " ")
        return TryAgain(
            f"{self.name}_{kind}",
            f"The {name} {what}.",
            retry_after=after,
            burns_attempt=after is None,
            http_status=http_status,
        )


def _header(text: str) -> str:
    """A text that the contract has let in, as a header can carry it: what is not ASCII travels percent-encoded."""
    return text if text.isascii() else quote(text)


def _reason(document: object) -> str | None:
    """The error text of an answer, in whichever of the usual places it stands."""
    if not isinstance(document, dict):
        return None
    for key in ("error", "message", "detail"):
        value = document.get(key)
        if isinstance(value, str) and value:
            return plain(value)
    return None


def plain(text: str, limit: int = 500) -> str:
    """Somebody else's text, safe to store and to show: no NUL, bounded."""
    return text.replace("\0", "").strip()[:limit]
