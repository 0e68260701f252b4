"""Pushes as a phone shows them: live by Server-Sent Events, readable without JavaScript."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from html import escape

import orjson
from aiohttp import web

from sandbox.pages import card, page
from sandbox.screen import Push, Screen

SHOWN = 60
_GLANCE = 0.2  # seconds between two looks; a burst becomes one event per glance and card
_KEEP_ALIVE = 75  # glances
_EVENTS = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}


class Phone:
    """The two addresses of the phone."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen

    async def page(self, request: web.Request) -> web.Response:
        """GET /phone, `?device=` shows one device only."""
        device = request.query.get("device") or None
        pushes = self._screen.latest(device, SHOWN)
        now = datetime.now(UTC)
        nonce = secrets.token_urlsafe(12)
        html = page(
            "phone.html",
            nonce=nonce,
            clock=now.strftime("%H:%M"),
            date=now.strftime("%A, %-d %B"),
            options="".join(_options(self._screen.devices(), device)),
            cards="".join(map(card, pushes)),
            after=str(self._screen.number),
            shown=str(SHOWN),
        )
        # Pictures may come from anywhere, as on a phone; nothing else may.
        policy = (
            f"default-src 'none'; img-src http: https: data:; style-src 'nonce-{nonce}'; "
            f"script-src 'nonce-{nonce}'; connect-src 'self'; form-action 'self'; base-uri 'none'"
        )
        headers = {"Content-Security-Policy": policy, "Cache-Control": "no-store"}
        return web.Response(text=html, content_type="text/html", headers=headers)

    async def events(self, request: web.Request) -> web.StreamResponse:
        """GET /phone/events: every push after `after` (or after the last one seen)."""
        device = request.query.get("device") or None
        last = request.headers.get("Last-Event-ID") or request.query.get("after", "")
        seen = int(last) if last.isascii() and last.isdigit() and len(last) < 16 else 0
        stream = web.StreamResponse(headers=_EVENTS)
        await stream.prepare(request)
        with suppress(ConnectionError):  # the page was closed
            await self._follow(stream, device, min(seen, self._screen.number))
        return stream

    async def _follow(self, stream: web.StreamResponse, device: str | None, seen: int) -> None:
        clearings, glance = self._screen.clearings, 0
        while True:
            if clearings != self._screen.clearings:
                clearings = self._screen.clearings
                await stream.write(b"event: clear\ndata: {}\n\n")
            if seen != self._screen.number:
                pushes = self._screen.latest(device, SHOWN, seen)
                seen = self._screen.number
                await stream.write(b"".join(map(_event, reversed(pushes))))
            elif glance % _KEEP_ALIVE == 0:
                await stream.write(b": still here\n\n")
            glance += 1
            await asyncio.sleep(_GLANCE)


def _event(push: Push) -> bytes:
    content = {"key": push.key, "device": push.device, "html": card(push)}
    return b"id: %d\ndata: %s\n\n" % (push.number, orjson.dumps(content))


def _options(devices: list[str], chosen: str | None) -> Iterator[str]:
    for device in devices:
        mark = " selected" if device == chosen else ""
        yield f'<option value="{escape(device)}"{mark}>{escape(device)}</option>'
