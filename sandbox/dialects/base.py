"""What all dialects share: calls that are counted, refusals in a service's own words, reports that are written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from aiohttp import web

from sandbox.book import Book
from sandbox.dialects.bodies import Refused

Endpoint = Callable[[web.Request], Awaitable[web.Response]]
Say = Callable[[int, str, Mapping[str, str] | None], web.Response]
"""Writes a refusal as one service would: (HTTP status, what is wrong, headers)."""

_WORDS = {
    400: "bad request",
    401: "unauthorized",
    403: "forbidden",
    404: "not found",
    429: "too many requests",
    500: "internal server error",
    503: "service unavailable",
    504: "gateway timeout",
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call that a service offers; `counted` is its name in the book."""

    service: str
    counted: str
    method: str
    path: str
    endpoint: Endpoint
    about: str


class Dialect:
    """The three services as one world has them. `slow` is in seconds; `headers` are demanded by service."""

    name: ClassVar[str]
    about: ClassVar[str]
    templates: ClassVar[Mapping[str, str]]
    refusals: ClassVar[Mapping[str, Say]]

    def __init__(self, slow: float, headers: Mapping[str, tuple[str, str]], book: Book) -> None:
        self.slow = slow
        self._headers = headers
        self._book = book

    def calls(self) -> tuple[Call, ...]:
        """Everything that these services offer."""
        raise NotImplementedError

    def refuse(self, service: str, status: int, retry_after: int | None = None) -> web.Response:
        """A refusal for no reason of the request's, in the service's own words."""
        wait = None if retry_after is None else {"Retry-After": str(retry_after)}
        return self.refusals[service](status, _WORDS[status], wait)

    def answering(self, call: Call) -> Endpoint:
        """The call's endpoint, counted, behind the header that its service demands."""

        async def answer(request: web.Request) -> web.Response:
            self._book.counted(call.counted)
            if not request.headers.get("X-Correlation-ID"):
                self._book.counted("without_correlation_id")
            if not self._knows(call.service, request):
                self._book.counted("unauthorized")
                return self.refuse(call.service, 401)
            try:
                return await call.endpoint(request)
            except Refused as refused:
                for what in (f"refused_{call.counted}", *refused.counted):
                    self._book.counted(what)
                return self.refusals[call.service](refused.status, str(refused), None)

        return answer

    def booked(self, request: web.Request, notification_id: str, body: dict[str, Any]) -> None:
        """The gateway took a report."""
        self._book.reported(request.headers.get("X-Correlation-ID"), notification_id, body)

    def buried(self, request: web.Request, body: dict[str, Any]) -> None:
        """The user service took word of a dead token."""
        self._book.buried(request.headers.get("X-Correlation-ID"), body)

    def _knows(self, service: str, request: web.Request) -> bool:
        name, value = self._headers.get(service, ("", ""))
        return not name or request.headers.get(name) == value
