"""What every provider promises, as one test class: a new provider subclasses it and says how its wire looks."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from providers.base import Provider, PushMessage, SendReceipt
from providers.errors import (
    CredentialTrouble,
    DeadToken,
    ForeignToken,
    NotNow,
    ProviderError,
    Rejected,
    RetryLater,
    ServerTrouble,
    Throttled,
    UnknownOutcome,
)
from providers.http import Answer, HttpClient
from providers.registry import build
from providers.verdicts import Reply, Row
from tests.peer import Behaviour, Peer, Seen, Wire, always, closed_port, in_loop, peer

DEVICE = "dGVzdC1kZXZpY2U:APA91bSecretDeviceTokenThatNobodyMayRead"
HTML = b"<!DOCTYPE html><html><title>Error</title></html>"

#: A state of a device in the sandbox, and what every one of FCM's wire formats makes of it.
SANDBOX_STATES: list[tuple[str, type[ProviderError], str]] = [
    ("dead", DeadToken, "UNREGISTERED"),
    ("malformed", DeadToken, "INVALID_ARGUMENT"),
    ("mismatch", ForeignToken, "SENDER_ID_MISMATCH"),
    ("apnsauth", Rejected, "THIRD_PARTY_AUTH_ERROR"),
    ("quota", Throttled, "QUOTA_EXCEEDED"),
    ("unavailable", ServerTrouble, "UNAVAILABLE"),
]

#: (what it is about, HTTP status, body, the error that it means, its code).
Verdict = tuple[str, int, Any, type[ProviderError], str]
Sender = TypeVar("Sender", bound=Provider)


@dataclass(frozen=True)
class Canned:
    """An answer as the provider's server gives it."""

    status: int
    body: Any
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def behaviour(self) -> Behaviour:
        return always(self.status, self.body, self.headers)


@dataclass
class Setting:
    """A provider and the peer it sends to."""

    provider: Provider
    peer: Peer
    conformance: ProviderConformance
    endpoint: str

    @property
    def sends(self) -> list[Seen]:
        return [seen for seen in self.peer.seen if self.conformance.is_send(seen)]

    @property
    def message(self) -> PushMessage:
        return self.conformance.message(self.endpoint)

    async def send(self) -> SendReceipt:
        return await self.provider.send(self.message)

    async def error(self) -> ProviderError:
        """What a send raises."""
        return await failure_of(self.provider, self.message)


def a_message(**changes: Any) -> PushMessage:
    usual = {"notification_id": "n-1", "device_token": DEVICE, "title": "Hello", "body": "You", "ttl": 60}
    return PushMessage(**{**usual, **changes})


@asynccontextmanager
async def opened(build: Callable[..., Sender], **options: Any) -> AsyncIterator[Sender]:
    """A provider as `build` makes it of an HTTP client and the options; both are closed in the end."""
    http = HttpClient()
    provider = build(http, **options)
    try:
        yield provider
    finally:
        await provider.close()
        await http.close()


async def failure(provider: Provider, **changes: Any) -> ProviderError:
    """What sending a message raises."""
    return await failure_of(provider, a_message(**changes))


async def failure_of(provider: Provider, message: PushMessage) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await provider.send(message)
    return caught.value


def idle(verdicts: Sequence[Verdict], table: Sequence[Row], read: Callable[[Answer], Reply]) -> list[Row]:
    """The rows of a table of verdicts that decide none of the cases."""
    bodies = (
        (http, body if isinstance(body, bytes) else json.dumps(body).encode()) for _, http, body, _, _ in verdicts
    )
    replies = [read(Answer(http, {}, body)) for http, body in bodies]
    at_work = {id(next(row for row in table if row.fits(reply))) for reply in replies}
    return [row for row in table if id(row) not in at_work]


class ProviderConformance:
    """To subclass as `Test…`; the first part is what the subclass says."""

    name: str
    accepted: Canned
    receipt: str
    dead: Canned
    rejected: Canned
    throttled: Canned
    no_access: Canned
    in_trouble: Canned
    secrets: tuple[str, ...]  # of the credentials and of `message`, that must never be seen

    def options(self, url: str, directory: Path) -> dict[str, Any]:
        """Of `providers.registry.build`, so that everything goes to `url`."""
        raise NotImplementedError

    def at_endpoint(self, options: dict[str, Any], url: str) -> dict[str, Any]:
        """The same options, but sends go to `url`."""
        return {**options, "endpoint": url}

    def message(self, endpoint: str) -> PushMessage:  # noqa: ARG002 - of use where the target says where it is
        """One that goes to `endpoint`."""
        return a_message()

    def around(self, sends: Behaviour) -> Behaviour:
        """The whole server: what is not a send, such as a token endpoint, is answered here."""
        return sends

    def is_send(self, seen: Seen) -> bool:
        return seen.method == "POST"

    # --- what is promised -------------------------------------------------------------------------

    @asynccontextmanager
    async def setting(
        self, sends: Behaviour, directory: Path, endpoint: str = "", **more: Any
    ) -> AsyncIterator[Setting]:
        async with peer(self.around(sends)) as there:
            options = {**self.options(there.url, directory), **more}
            if endpoint:
                options = self.at_endpoint(options, endpoint)
            async with opened(partial(build, self.name), options=options) as provider:
                yield Setting(provider, there, self, endpoint or there.url)

    @in_loop
    async def test_it_has_the_shape_of_a_provider(self, tmp_path: Path) -> None:
        async with self.setting(self.accepted.behaviour, tmp_path) as setting:
            assert isinstance(setting.provider, Provider)
            assert setting.provider.name == self.name

    @in_loop
    async def test_an_accepted_message_gives_the_providers_own_name_for_it(self, tmp_path: Path) -> None:
        async with self.setting(self.accepted.behaviour, tmp_path) as setting:
            receipt = await setting.send()
            assert (receipt.provider_message_id, receipt.http_status) == (self.receipt, self.accepted.status)
            assert len(setting.sends) == 1

    @pytest.mark.parametrize(
        ("answer", "kind", "retryable", "burns", "dead"),
        [
            ("dead", DeadToken, False, True, True),
            ("rejected", Rejected, False, True, False),
            ("throttled", Throttled, True, False, False),
            ("no_access", CredentialTrouble, True, False, False),
            ("in_trouble", RetryLater, True, True, False),
        ],
    )
    @in_loop
    async def test_a_refusal_answers_every_question(
        self, tmp_path: Path, answer: str, kind: type[ProviderError], retryable: bool, burns: bool, dead: bool
    ) -> None:
        canned: Canned = getattr(self, answer)
        async with self.setting(canned.behaviour, tmp_path) as setting:
            error = await setting.error()
        assert type(error) is kind or (kind is RetryLater and isinstance(error, kind))
        assert (error.retryable, error.burns_attempt, error.fate == "dead") == (retryable, burns, dead)
        assert not error.outcome_unknown
        assert error.http_status == canned.status
        assert error.code
        assert error.advice.endswith(".")
        assert (error.retry_after is not None) or burns, "a wait that burns no attempt says how long it is"

    @in_loop
    async def test_a_provider_that_cannot_be_reached_is_tried_again(self, tmp_path: Path) -> None:
        nowhere = f"http://127.0.0.1:{closed_port()}"
        async with self.setting(self.accepted.behaviour, tmp_path, nowhere) as setting:
            error = await setting.error()
        assert type(error) is RetryLater
        assert error.burns_attempt
        assert error.http_status is None

    @pytest.mark.parametrize("cut", [Wire.reset, Wire.close])
    @in_loop
    async def test_a_lost_answer_is_unknown_and_nothing_is_repeated(self, tmp_path: Path, cut: Any) -> None:
        async def behave(_: Seen, wire: Wire) -> None:
            cut(wire)

        async with self.setting(behave, tmp_path) as setting:
            error = await setting.error()
            assert len(setting.sends) == 1
        assert type(error) is UnknownOutcome
        assert error.outcome_unknown
        assert error.burns_attempt

    @in_loop
    async def test_an_accepting_answer_without_a_receipt_is_unknown(self, tmp_path: Path) -> None:
        async with self.setting(always(200, b"<html>Welcome to the hotel</html>"), tmp_path) as setting:
            assert (await setting.error()).outcome_unknown

    @in_loop
    async def test_trouble_opens_a_breaker_that_lets_nothing_through_and_burns_nothing(self, tmp_path: Path) -> None:
        async with self.setting(self.in_trouble.behaviour, tmp_path, fail_max=3) as setting:
            assert setting.provider.health()["ok"] is True
            for _ in range(3):
                await setting.error()
            error = await setting.error()
            assert len(setting.sends) == 3
            assert type(error) is NotNow
            assert not error.burns_attempt
            assert 0 < (error.retry_after or 0) <= 60
            assert setting.provider.health()["ok"] is False

    @in_loop
    async def test_refusals_do_not_open_the_breaker(self, tmp_path: Path) -> None:
        for canned in (self.dead, self.rejected, self.throttled):
            async with self.setting(canned.behaviour, tmp_path, fail_max=2) as setting:
                for _ in range(5):
                    await setting.error()
                assert len(setting.sends) == 5

    @in_loop
    async def test_it_sends_again_when_the_trouble_is_over(self, tmp_path: Path) -> None:
        async with self.setting(self.in_trouble.behaviour, tmp_path, fail_max=1, reset_timeout=0.01) as setting:
            await setting.error()
            setting.peer.behaviour = self.around(self.accepted.behaviour)
            await asyncio.sleep(0.05)
            assert (await setting.send()).provider_message_id == self.receipt
            assert setting.provider.health()["ok"] is True

    @in_loop
    async def test_a_cancelled_send_is_cancelled_and_counts_as_nothing(self, tmp_path: Path) -> None:
        arrived = asyncio.Event()

        async def behave(_: Seen, wire: Wire) -> None:
            arrived.set()
            await wire.wait_for_the_end()

        async with self.setting(behave, tmp_path, fail_max=1) as setting:
            task = asyncio.create_task(setting.send())
            await arrived.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert setting.provider.health()["ok"] is True

    @in_loop
    async def test_no_token_and_no_credential_is_ever_seen(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        seen = []
        for canned in (self.accepted, self.dead, self.rejected, self.no_access, self.in_trouble):
            async with self.setting(canned.behaviour, tmp_path, fail_max=1) as setting:
                seen += [repr(setting.message), str(setting.message)]
                for _ in range(2):
                    try:
                        await setting.send()
                    except ProviderError as error:
                        seen += [str(error), repr(error), error.advice, str(error.__cause__)]
                seen.append(json.dumps(setting.provider.health()))
        everything = "\n".join([*seen, caplog.text, *caplog.messages])
        for secret in (DEVICE, DEVICE[10:30], *self.secrets):
            assert secret not in everything
