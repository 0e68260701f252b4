"""Faults that a test, or a person with curl, scripts into any service of the running sandbox."""

from __future__ import annotations

import asyncio
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from sandbox.answers import error_page, garbage
from sandbox.orders import FAULTS, SERVICES, Order

Endpoint = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[int, int | None], web.Response]
"""Writes a refusal as the service itself would: (HTTP status, Retry-After in seconds or None)."""

_STATUS = {
    "down": 503,
    "quota": 429,
    "disabled": 403,
    "noscope": 403,
    **{f"refuse{status}": status for status in (400, 401, 403, 404, 500, 504)},
}
_PAGES = {f"html{status}": status for status in (302, 403, 404, 408, 500, 502, 503, 504)}
_LET_THROUGH = ("slow", "hang", "reset-after-accept")
_PIECE = b"x" * 65536


@dataclass(slots=True)
class Fault:
    """`times` left and `until` (monotonic seconds) end it, whichever comes first; None is never.

    `scope` is whose quota is used up, where it is one of FCM's.
    """

    kind: str = "none"
    times: int | None = None
    until: float | None = None
    latency: float = 0.0
    retry_after: int | None = None
    scope: str | None = None
    hits: int = 0

    def is_over(self) -> bool:
        spent = self.times is not None and self.times <= 0
        return spent or (self.until is not None and time.monotonic() >= self.until)

    def lets_through(self) -> bool:
        """Whether what meets it still comes to the service."""
        return self.kind in _LET_THROUGH

    def strike(self) -> None:
        self.hits += 1
        if self.times is not None:
            self.times -= 1

    def as_dict(self) -> dict[str, Any]:
        left = None if self.until is None else max(0.0, round(self.until - time.monotonic(), 3))
        kind = "none" if self.is_over() else self.kind
        return {
            "fault": kind,
            "times_left": self.times,
            "seconds_left": left,
            "latency_ms": round(self.latency * 1000),
            "retry_after": self.retry_after,
            "scope": self.scope,
            "hits": self.hits,
        }


Judge = Callable[[Fault], web.Response]
"""Writes the refusal that a fault stands for."""


class Faults:
    """The fault that each service has now. `slow` and `hang` are in seconds, as is `retry_after`."""

    def __init__(self, slow: float, hang: float, retry_after: int) -> None:
        self._slow = slow
        self._hang = hang
        self._retry_after = retry_after
        self._now = {service: Fault() for service in SERVICES}

    def script(self, order: Order) -> None:
        """From now on the services of the order have its fault, and no earlier one."""
        for service in order.services:
            self._now[service] = self._fault(service, order)

    def guard(self, service: str, endpoint: Endpoint, refuse: Refuse) -> Endpoint:
        """The endpoint with the service's scripted fault, when there is one, in front of it."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            fault = self.struck(service)
            if fault is None:
                return await endpoint(request)
            return await self.suffer(fault, request, endpoint, lambda f: refuse(_STATUS[f.kind], f.retry_after))

        return guarded

    def struck(self, service: str, kinds: Container[str] = FAULTS) -> Fault | None:
        """The fault that a request to the service meets, if it is of these kinds, which counts it; else None."""
        fault = self._now[service]
        if fault.kind == "none" or fault.kind not in kinds or fault.is_over():
            return None
        fault.strike()  # before anything is waited for: others ask at the same time
        return fault

    async def suffer(self, fault: Fault, request: web.Request, endpoint: Endpoint, judge: Judge) -> web.StreamResponse:
        """What the fault makes of a request; only where it lets it through does the endpoint see it."""
        await asyncio.sleep(fault.latency)
        if not fault.lets_through():
            return await _instead(fault, request, judge)
        answer = await endpoint(request)
        match fault.kind:
            case "hang":
                await asyncio.sleep(self._hang)
            case "reset-after-accept":
                return await _reset(request)
        return answer

    def as_dict(self) -> dict[str, Any]:
        return {service: fault.as_dict() for service, fault in self._now.items()}

    def _fault(self, service: str, order: Order) -> Fault:
        usual_latency = self._slow if order.kind == "slow" else 0.0
        wait = order.retry_after if order.waits_so_long else self._retry_after
        return Fault(
            order.kind,
            times=order.times,
            until=None if order.seconds is None else time.monotonic() + order.seconds,
            latency=usual_latency if order.latency is None else order.latency,
            retry_after=wait if order.kind == "quota" else None,
            scope=order.scope if (service, order.kind) == ("fcm", "quota") else None,
        )


async def _instead(fault: Fault, request: web.Request, judge: Judge) -> web.StreamResponse:
    """What is answered in the place of the service."""
    match fault.kind:
        case "reset":
            return await _reset(request)
        case "garbage":
            return garbage(fault.hits)
        case "huge":
            return await _flood(request)
        case page if page in _PAGES:
            return error_page(_PAGES[page])
    return judge(fault)


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


async def _reset(request: web.Request) -> web.Response:
    """End the connection with RST, so that the client sees a reset and not a polite end."""
    await request.read()  # else the client may still be writing, and sees another error
    transport = request.transport
    if transport is not None:
        peer = transport.get_extra_info("socket")
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    return web.Response()
