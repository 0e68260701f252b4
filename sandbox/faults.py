"""Faults that a test, or a person with curl, scripts into any service of the running sandbox."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.answers import html_answer

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, int | None], web.Response]
"""Writes a refusal as the service itself would: (HTTP status, Retry-After in seconds or None)."""
Note = Callable[[web.Request, str], Awaitable[None]]
"""Writes down a request that a fault kept from the service: (request, the fault's name)."""

NEIGHBOURS = ("users", "templates", "gateway")
SERVICES = (*NEIGHBOURS, "fcm", "token", "webpush")
FAULTS = {
    "none": "answers as usual",
    "down": "503 in the service's own words",
    "refuse400": "400 in the service's own words",
    "refuse401": "401: whoever asks is not let in",
    "refuse403": "403: whoever asks may not do this",
    "refuse404": "404 in the service's own words: what is asked for is unknown",
    "html500": "500 with a page of HTML instead of JSON",
    "garbage": "200 with what is no answer, by turns: a page, half a JSON object, JSON about something else, a list",
    "huge": "200 with JSON whose body never ends, until the caller hangs up",
    "quota": "429 with Retry-After, in the service's own words",
    "slow": "answers as usual, after latency_ms",
    "reset": "the connection is reset, nothing was accepted",
    "reset-after-accept": "accepted and booked, then the connection is reset",
}
_STATUS = {"down": 503, "quota": 429, "refuse400": 400, "refuse401": 401, "refuse403": 403, "refuse404": 404}
_HTML_500 = "<!DOCTYPE html><html><title>Error 500 (Server Error)</title><h1>Server Error</h1></html>"
_GARBAGE = (b"<!DOCTYPE html><title>Sign in</title>", b'{"data": {"pu', b'{"uptime": 86400}', b"[1, 2, null]")
_PIECE = b"x" * 65536


@dataclass(slots=True)
class Fault:
    """`times` left and `until` (monotonic seconds) end it, whichever comes first; None is never."""

    kind: str = "none"
    times: int | None = None
    until: float | None = None
    latency: float = 0.0
    retry_after: int | None = None
    hits: int = 0

    def is_over(self) -> bool:
        spent = self.times is not None and self.times <= 0
        return spent or (self.until is not None and time.monotonic() >= self.until)

    def strike(self) -> None:
        self.hits += 1
        if self.times is not None:
            self.times -= 1

    def as_dict(self) -> dict[str, Any]:
        left = None if self.until is None else max(0.0, round(self.until - time.monotonic(), 3))
        latency_ms = round(self.latency * 1000)
        kind = "none" if self.is_over() else self.kind
        return {
            "fault": kind,
            "times_left": self.times,
            "seconds_left": left,
            "latency_ms": latency_ms,
            "retry_after": self.retry_after,
            "hits": self.hits,
        }


class Faults:
    """The fault that each service has now."""

    def __init__(self, slow: float, retry_after: int) -> None:
        self._slow = slow
        self._retry_after = retry_after
        self._now = {service: Fault() for service in SERVICES}

    def guard(self, service: str, endpoint: Endpoint, refuse: Refuse, note: Note | None = None) -> Endpoint:
        """The endpoint with the service's scripted fault, when there is one, in front of it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            fault = self._now[service]
            if fault.kind == "none" or fault.is_over():
                return await endpoint(request)
            fault.strike()  # before anything is waited for: others ask at the same time
            if note is not None and fault.kind in (*_STATUS, "html500"):
                await note(request, fault.kind)
            return await _suffer(fault, request, endpoint, refuse)

        return guarded

    def script(self, order: Any) -> None:
        """Take an order of POST /control; raises ValueError with a sentence for the person."""
        _demand(isinstance(order, dict), "a JSON object is needed")
        fields = {"service", "fault", "times", "seconds", "latency_ms", "retry_after"}
        unknown = sorted(order.keys() - fields)
        _demand(not unknown, f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(fields))}")
        service, kind = order.get("service"), order.get("fault")
        known = (*SERVICES, "all")
        _demand(service in known, f"service must be one of {', '.join(known)}")
        _demand(kind in tuple(FAULTS), f"fault must be one of {', '.join(FAULTS)}")
        for each in SERVICES if service == "all" else (service,):
            self._now[each] = self._fault(kind, order)

    def as_dict(self) -> dict[str, Any]:
        return {service: fault.as_dict() for service, fault in self._now.items()}

    def _fault(self, kind: str, order: dict[str, Any]) -> Fault:
        seconds, latency_ms = _number(order, "seconds"), _number(order, "latency_ms")
        times, retry_after = _number(order, "times"), _number(order, "retry_after")
        usual_latency = self._slow if kind == "slow" else 0.0
        return Fault(
            kind,
            times=None if times is None else int(times),
            until=None if seconds is None else time.monotonic() + seconds,
            latency=usual_latency if latency_ms is None else latency_ms / 1000,
            retry_after=self._quota_wait(order, retry_after) if kind == "quota" else None,
        )

    def _quota_wait(self, order: dict[str, Any], given: float | None) -> int | None:
        """Seconds of Retry-After; an explicit null leaves the header away, as Google may."""
        if "retry_after" not in order:
            return self._retry_after
        return None if given is None else int(given)


async def _suffer(fault: Fault, request: web.Request, endpoint: Endpoint, refuse: Refuse) -> web.StreamResponse:
    await asyncio.sleep(fault.latency)
    match fault.kind:
        case "slow":
            return await endpoint(request)
        case "reset" | "reset-after-accept":
            await request.read()  # else the client may still be writing, and sees another error
            if fault.kind == "reset-after-accept":
                await endpoint(request)
            return _reset(request)
        case "html500":
            return html_answer(_HTML_500, 500)
        case "garbage":
            return web.Response(body=_GARBAGE[fault.hits % len(_GARBAGE)], content_type="application/json")
        case "huge":
            return await _flood(request)
        case kind:
            return refuse(_STATUS[kind], fault.retry_after)


async def _flood(request: web.Request) -> web.StreamResponse:
    """A JSON object that goes on for as long as somebody reads it."""
    await request.read()
    stream = web.StreamResponse(headers={"Content-Type": "application/json"})
    await stream.prepare(request)
    with suppress(ConnectionError):
        await stream.write(b'{"success": true, "data": {"text": "')
        while True:
            await stream.write(_PIECE)
    return stream


def _reset(request: web.Request) -> web.Response:
    """End the connection with RST, so that the client sees a reset and not a polite end."""
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)


def _number(order: dict[str, Any], name: str) -> float | None:
    value = order.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"{name} must be a number from 0 up, or null")
    return value
