"""Puts the sandbox's services behind one port and runs them until a signal ends them."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
import sys
from collections.abc import Iterator
from functools import partial

import orjson
from aiohttp import web

from sandbox import fcm, fcm_legacy, oauth, orders
from sandbox.answers import JSON, html_answer, json_answer
from sandbox.book import Book
from sandbox.dialects import DIALECTS
from sandbox.faults import Faults
from sandbox.options import Options
from sandbox.pages import index
from sandbox.phone import Phone
from sandbox.screen import Screen

_BACKLOG = 4096
_KEEP_ALIVE = 3600.0  # seconds; pooled clients should never meet a connection closed under them


class World:
    """Everything that one sandbox is made of."""

    def __init__(self, options: Options, base: str) -> None:
        options.directory.mkdir(parents=True, exist_ok=True)
        token_uri = f"{base}/token"
        self.screen = Screen()
        self.book = Book(options.directory / "book.jsonl", self.screen.show)
        self._key_file, self._token_uri = options.directory / "service-account.json", token_uri
        account = oauth.open_service_account(self._key_file, token_uri)
        self.tokens = oauth.AccessTokens(account, token_uri, self.book)
        self.faults = Faults(options.slow, options.hang, options.retry_after)
        for order in options.faults:
            self.faults.script(order)
        self.fcm = fcm.Fcm(options, self.tokens, self.faults, self.book)
        self.fcm_legacy = fcm_legacy.FcmLegacy(options, self.book)
        self.dialect = DIALECTS[options.dialect](options.slow, options.headers, self.book)
        self.phone = Phone(self.screen)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=4 * 1024 * 1024)
        app.add_routes([*self._google(), *self._neighbours(), *self._own_pages()])
        return app

    def _google(self) -> list[web.RouteDef]:
        guard = self.faults.guard
        return [
            web.post("/v1/projects/{project}/messages:send", self.fcm.send),
            web.post("/fcm/send", guard("fcm", self.fcm_legacy.send, fcm_legacy.refuse)),
            web.route("*", "/v1/{path:.*}", self.fcm.not_found),
            web.post("/token", guard("token", self.tokens.endpoint, oauth.refuse)),
        ]

    def _neighbours(self) -> Iterator[web.RouteDef]:
        for call in self.dialect.calls():
            path = re.sub(r"{(\w+)}", r"{\1:[^/]+}", call.path)  # an id may hold braces
            refuse = partial(self.dialect.refuse, call.service)
            endpoint = self.faults.guard(call.service, self.dialect.answering(call), refuse)
            yield web.route(call.method, path, endpoint)

    def _own_pages(self) -> list[web.RouteDef]:
        return [
            web.get("/", self._index),
            web.get("/health", self._health),
            web.get("/book", self._book),
            web.post("/book/clear", self._clear),
            web.get("/control", self._faults),
            web.post("/control", self._script),
            web.post("/control/revoke-tokens", self._revoke),
            web.post("/control/rotate-key", self._rotate),
            web.get("/phone", self.phone.page),
            web.get("/phone/events", self.phone.events, allow_head=False),
        ]

    async def _index(self, request: web.Request) -> web.Response:
        return html_answer(index(f"http://{request.host}", self.dialect, self.faults.as_dict()))

    async def _health(self, _: web.Request) -> web.Response:
        return json_answer({"status": "ok"})

    async def _book(self, request: web.Request) -> web.Response:
        full = request.query.get("full", "1") not in ("0", "false", "no")
        return web.Response(body=self.book.as_json(full), headers=JSON)

    async def _clear(self, _: web.Request) -> web.Response:
        self.book.clear()
        self.screen.clear()
        return json_answer({"cleared": True})

    async def _faults(self, _: web.Request) -> web.Response:
        return json_answer(self.faults.as_dict())

    async def _script(self, request: web.Request) -> web.Response:
        try:
            self.faults.script(orders.read(orjson.loads(await request.read())))
        except ValueError as wrong:  # not JSON, or not an order
            return json_answer({"error": str(wrong)}, 400)
        return json_answer(self.faults.as_dict())

    async def _revoke(self, _: web.Request) -> web.Response:
        return json_answer({"revoked": self.tokens.revoke_all()})

    async def _rotate(self, _: web.Request) -> web.Response:
        account = oauth.open_service_account(self._key_file, self._token_uri, anew=True)
        return json_answer({"key_id": account.key_id, "revoked": self.tokens.rotate(account)})


async def serve(options: Options) -> None:
    """Serve until SIGTERM or SIGINT; raises OSError (port taken) or BookError at start."""
    listener = _listener(options)
    world = World(options, options.public_url or _address(options, listener))
    runner = web.AppRunner(world.application(), access_log=None, keepalive_timeout=_KEEP_ALIVE, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener, backlog=_BACKLOG).start()
    sys.stdout.write(f"sandbox on {_address(options, listener)}\n")
    sys.stdout.flush()
    await _ending_signal()
    await runner.cleanup()
    world.book.close()


def _listener(options: Options) -> socket.socket:
    """Bound before anything is read or written: a second sandbox on the port stops here."""
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    address = (options.host, options.port)
    listener = socket.create_server(address, family=family, backlog=_BACKLOG)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited by connections
    return listener


def _address(options: Options, listener: socket.socket) -> str:
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(options.host, options.host)
    host = f"[{host}]" if ":" in host and not host.startswith("[") else host
    return f"http://{host}:{listener.getsockname()[1]}"


async def _ending_signal() -> None:
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    await ended.wait()
