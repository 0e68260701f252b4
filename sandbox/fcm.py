"""FCM's HTTP v1 `messages:send`, the checks in one order: a message with several faults is refused for the first.

1. The address: method and path (routing), project.
2. The caller: a token that was given out, has not expired and has the scope; a scripted fault about the caller.
3. to 6. The body: JSON and schema, one target, syntax and rules, size (fcm_reading, fcm_rules).
7. The quotas of the project, the device, the topic.
8. The state of the token.
9. Any other scripted fault.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Container
from functools import partial
from itertools import count

from aiohttp import web

from sandbox.answers import error_page, garbage, json_answer
from sandbox.book import Book
from sandbox.devices import state_of
from sandbox.faults import Endpoint, Fault, Faults
from sandbox.fcm_reading import Asked, seen, understood, whose
from sandbox.fcm_verdicts import ABOUT_THE_CALLER, SCRIPTED, VERDICTS
from sandbox.google_errors import RefusedError, wrong_project
from sandbox.oauth import PROJECT, AccessTokens
from sandbox.options import Options
from sandbox.orders import FAULTS
from sandbox.quotas import Quotas


class Fcm:
    """Accepts or refuses messages and writes down which."""

    def __init__(self, options: Options, tokens: AccessTokens, faults: Faults, book: Book) -> None:
        self._options = options
        self._tokens = tokens
        self._faults = faults
        self._book = book
        self._quotas = Quotas(options)
        self._turns = count()

    async def send(self, request: web.Request) -> web.StreamResponse:
        """POST /v1/projects/{project}/messages:send. What is accepted is booked at once; the answer takes its time."""
        self._book.called()
        body = await request.read()
        try:
            answer = await self._answer(request, body)
        except RefusedError as refusal:
            self._book.refused(refusal.code, whose(body))
            answer = refusal.answer()
        if self._options.fcm_latency:
            await asyncio.sleep(self._options.fcm_latency)
        return answer

    async def not_found(self, _: web.Request) -> web.Response:
        """Any other address or method: Google's front end answers with a page, not with JSON."""
        return error_page(404)

    async def _answer(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Raises RefusedError for the first check that fails."""
        self._check_caller(request)
        return await self._past_fault(ABOUT_THE_CALLER, request, body, partial(self._let_in, body))

    async def _let_in(self, body: bytes, request: web.Request) -> web.StreamResponse:
        """What is said of the message, once it is clear that its caller may send."""
        asked = self._right(body)
        return await self._past_fault(FAULTS, request, body, partial(self._take, asked))

    async def _past_fault(
        self, kinds: Container[str], request: web.Request, body: bytes, then: Endpoint
    ) -> web.StreamResponse:
        """What `then` answers, or in its place the scripted fault of one of these kinds."""
        fault = self._faults.struck("fcm", kinds)
        if fault is None:
            return await then(request)
        if not fault.lets_through():
            self._book.refused(fault.kind, whose(body))
        return await self._faults.suffer(fault, request, then, _scripted)

    def _check_caller(self, request: web.Request) -> None:
        if request.match_info["project"] != PROJECT:
            raise wrong_project()
        self._tokens.check(request.headers.get("Authorization"))

    def _right(self, body: bytes) -> Asked:
        """The message, counted by the quotas, when neither they nor its own faults nor its target's state forbid it."""
        try:
            asked = understood(body, self._options.sizes)
        except RefusedError as refusal:
            self._quotas.refused(refusal)
            raise
        self._quotas.check(asked.kind, asked.target)
        try:
            self._check_state(asked)
        except RefusedError as refusal:
            self._quotas.refused(refusal, asked.kind, asked.target)
            raise
        self._quotas.spend(asked.kind, asked.target)
        return asked

    def _check_state(self, asked: Asked) -> None:
        verdict = VERDICTS.get(_state(asked))
        if verdict is None:
            return
        refusal = verdict(f"message.{asked.kind}", self._options.retry_after)
        if not (asked.dry_run and refusal.is_apples):
            raise refusal

    async def _take(self, asked: Asked, _: web.Request) -> web.Response:
        """Accepts the message; `hang` and `garbage` are states in which nobody learns of it."""
        name = f"projects/{PROJECT}/messages/{message_id()}"
        if asked.dry_run:
            self._book.counted("validated")
            return json_answer({"name": name})
        self._book.accepted({"name": name, "target": asked.kind, "token": asked.target, **seen(asked.message)})
        match _state(asked):
            case "hang":
                await asyncio.sleep(self._options.hang)
            case "garbage":
                return garbage(next(self._turns))
        return json_answer({"name": name})


def message_id() -> str:
    """FCM's id of a message that it accepted, as it looks for Android."""
    return f"0:{time.time_ns() // 1000}%{secrets.token_hex(8)}"


def _state(asked: Asked) -> str:
    return state_of(asked.target) if asked.kind in ("token", "fid") else "ok"


def _scripted(fault: Fault) -> web.Response:
    return SCRIPTED[fault.kind](fault.retry_after, fault.scope).answer()
