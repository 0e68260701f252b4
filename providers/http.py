"""The one file that knows pyreqwest, so that a young library stays a one-file exchange.

A request ends in one of three ways, and callers must tell them apart:

- `Answer`: the peer answered, whatever it said;
- `NotSent`: certainly not sent. Believed only when the library says that it could not connect;
- `OutcomeUnknown`: everything else. The request may have been received and acted upon.

Measured against real sockets (tests/test_http.py): a request that was written to a connection,
fresh or kept alive, is never written again behind our back. The exception is one that HTTP/2 makes
safe: a stream that the peer itself declares unprocessed (REFUSED_STREAM, GOAWAY) is repeated (RFC
9113, section 8.7).

Proxies in the environment are not used: `HTTP_PROXY`, set for something else, would send the
traffic of our neighbours away.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import lru_cache

from pyreqwest.client import Client, ClientBuilder
from pyreqwest.exceptions import PoolTimeoutError, RequestError

CONNECT_TIMEOUT = timedelta(seconds=3)
#: Without pings a dead HTTP/2 connection swallows every request until TCP gives up, minutes later.
PING_INTERVAL = timedelta(seconds=15)
PING_TIMEOUT = timedelta(seconds=5)
#: FCM allows 100 streams on a connection, and the library opens one connection to a host per
#: client.
STREAMS_PER_LANE = 90
#: Hosts that a lane remembers to have met. Web Push goes to any that somebody names.
MAX_MET = 1000


class HttpFault(Exception):
    """No answer came; the text says why, without the address."""


class NotSent(HttpFault):
    """The request was certainly not sent: the connection could not be made."""


class OutcomeUnknown(HttpFault):
    """The request was, or may have been, sent, and its answer never came or broke off."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the peer said. `headers` are looked up in any case of letters.

    `truncated` says that `body` was cut at `max_bytes`. A JSON object that was cut does not parse,
    so a caller that reads one need not ask.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    truncated: bool = False


class _Lane:
    """One client, so at most one HTTP/2 connection to a host, and how much is in flight on it."""

    __slots__ = ("_met", "client", "in_flight")

    def __init__(self) -> None:
        self.client = _build()
        self.in_flight = 0
        self._met: dict[str, asyncio.Event] = {}

    async def meet(self, url: str) -> asyncio.Event:
        """Lets one request go first to a TLS host; the others wait for its end, or 3 s.

        Until the library knows that a host speaks HTTP/2, it opens a connection for every request
        (63 for 80 of them, measured), and throws away all but one. Returns the event to set at the end.
        """
        host = url[8:].partition("/")[0]
        met = self._met.get(host)
        if met is None:
            if len(self._met) >= MAX_MET:
                self._met.clear()  # some connections are opened in vain
            met = self._met[host] = asyncio.Event()
        elif not met.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(CONNECT_TIMEOUT.total_seconds()):
                    await met.wait()
        return met


class HttpClient:
    """The pooled client of a process: built after forking, used from one event loop.

    One thread of the library serves all of them; looking up names takes some more, for seconds.
    """

    def __init__(self) -> None:
        self._lanes = [_Lane()]

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: dict[str, str],
        body: bytes | None = None,
        timeout: float,  # noqa: ASYNC109 - the library keeps it, to the last byte of the answer
        max_bytes: int = 65536,
    ) -> Answer:
        """Returns an Answer; raises NotSent or OutcomeUnknown.

        And ValueError for an address or a header that cannot be written. `timeout` is in seconds,
        for the request and its whole answer; connecting may take 3 of them. At most `max_bytes` of
        the body are read, counted after decompression. A redirect is an answer like any other.
        Cancelling ends the waiting, not the request: what the library began it finishes, so the
        outcome is unknown.
        """
        secure = url.startswith("https:")
        lane = self._free_lane(secure=secure)
        builder = lane.client.request(method, url).headers(headers).timeout(_seconds(timeout))
        if body is not None:
            builder = builder.body_bytes(body)
        met = None
        lane.in_flight += 1
        try:
            if secure:
                met = await lane.meet(url)
            async with builder.build_streamed() as response:
                content = await response.body_reader.read(max_bytes + 1)
                text = b"" if content is None else content.to_bytes()
                whole = len(text) <= max_bytes
                return Answer(response.status, response.headers, text[:max_bytes], not whole)
        except RequestError as error:
            raise _fault(error) from None
        finally:
            lane.in_flight -= 1
            if met is not None:
                met.set()

    async def close(self) -> None:
        """Closes every connection; a request still in flight ends as OutcomeUnknown."""
        for lane in self._lanes:
            await lane.client.close()

    def _free_lane(self, *, secure: bool) -> _Lane:
        """The first lane with room: a quiet process keeps few connections, a busy one gets more.

        Without TLS there is no HTTP/2, and so no limit on a lane.
        """
        if not secure:
            return self._lanes[0]
        for lane in self._lanes:
            if lane.in_flight < STREAMS_PER_LANE:
                return lane
        self._lanes.append(_Lane())
        return self._lanes[-1]


def _build() -> Client:
    return (
        ClientBuilder()
        .user_agent("push-delivery/1")
        .follow_redirects(False)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .http2(True)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .brotli(False)
        .zstd(False)
        .deflate(False)
        .build()
    )


@lru_cache(maxsize=64)
def _seconds(timeout: float) -> timedelta:
    return timedelta(seconds=timeout)


def _fault(error: RequestError) -> HttpFault:
    """Decides by the chain of causes: the library's classes call a reset answer a ConnectError."""
    causes = [cause["message"] for cause in error.details.get("causes") or ()]
    reason = causes[-1] if causes else error.message
    if "client error (Connect)" in causes or isinstance(error, PoolTimeoutError):
        return NotSent(f"no connection: {reason}")
    return OutcomeUnknown(reason)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds that a Retry-After header, a number or a date, asks to wait; None if it does not.

    A date is measured against the peer's own Date, so that nobody's clock matters.
    """
    try:
        value = headers.get("retry-after", "").strip()
        if value.isascii() and value.isdigit():
            return float(value[:9])
        return (parsedate_to_datetime(value) - _date(headers)).total_seconds()
    except (ValueError, TypeError, OverflowError):  # it is no text; one of the dates has no zone; no year is so large
        return None


def _date(headers: Mapping[str, str]) -> datetime:
    try:
        return parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, OverflowError):
        return datetime.now(UTC)
