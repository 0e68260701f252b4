"""The access token of a service account: one at a time, in time, and what is wrong when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import providers.credentials
from providers.credentials import Grant, ServiceAccount
from providers.errors import CredentialTrouble, NotNow, ProviderError
from tests.clocks import Clock, clock_of
from tests.google_peer import Google, key_file
from tests.peer import Seen, Wire, always, closed_port, in_loop, peer, until


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return clock_of(providers.credentials, monkeypatch)


@asynccontextmanager
async def an_account(google: Google, directory: Path, **changes: Any) -> AsyncIterator[ServiceAccount]:
    async with peer(google) as there:
        account = ServiceAccount(key_file(directory, there.url, **changes))
        try:
            yield account
        finally:
            await account.close()


async def trouble_of(account: ServiceAccount) -> ProviderError:
    with pytest.raises(ProviderError) as caught:
        await account.token()
    return caught.value


@in_loop
async def test_a_hundred_cold_callers_fetch_one_token(tmp_path: Path) -> None:
    google = Google()
    async with an_account(google, tmp_path) as account:
        tokens = await asyncio.gather(*(account.token() for _ in range(100)))
    assert set(tokens) == {"access-1"}
    assert google.token_requests == 1
    assert account.project_id == "demo"


@in_loop
async def test_it_is_renewed_in_the_background_and_served_until_it_really_ends(tmp_path: Path, clock: Clock) -> None:
    google = Google()
    async with an_account(google, tmp_path) as account:
        assert await account.token() == "access-1"
        clock.now += 3599 - 601
        assert await account.token() == "access-1"
        assert google.token_requests == 1, "until ten minutes before its end nobody asks"
        clock.now += 601 - 239
        google.token_fault = always(503, {"error": "temporarily_unavailable"})
        assert [await account.token() for _ in range(100)] == ["access-1"] * 100
        await until(lambda: account.trouble)
        google.token_fault = None
        assert await account.token() == "access-1", "a renewal that failed takes nothing away"
        clock.now += 11
        before = google.token_requests
        assert await account.token() == "access-1"
        await until(lambda: account.trouble is None)
        assert await account.token() == "access-2"
        assert google.token_requests == before + 1


@in_loop
async def test_a_short_token_is_renewed_at_half_its_life(tmp_path: Path, clock: Clock) -> None:
    google = Google()
    google.lifetime = "100"  # some servers answer with text
    async with an_account(google, tmp_path) as account:
        await account.token()
        clock.now += 49
        await account.token()
        assert google.token_requests == 1
        clock.now += 2
        assert await account.token() == "access-1"
        await until(lambda: google.token_requests == 2)


@in_loop
async def test_a_rejected_token_is_replaced_once_for_all_who_held_it(tmp_path: Path) -> None:
    google = Google()
    async with an_account(google, tmp_path) as account:
        await account.token()

        async def rejected() -> str:
            account.reject("access-1")
            return await account.token()

        assert set(await asyncio.gather(*(rejected() for _ in range(100)))) == {"access-2"}
        account.reject("access-1")
        assert await account.token() == "access-2", "the successor has done nothing wrong"
    assert google.token_requests == 2


@in_loop
async def test_late_rejections_of_a_token_that_is_gone_ask_for_nothing(tmp_path: Path) -> None:
    google = Google()
    async with an_account(google, tmp_path) as account:
        await account.token()
        google.token_fault = always(400, {"error": "invalid_grant", "error_description": "account not found"})
        for _ in range(20):
            account.reject("access-1")
            await trouble_of(account)
    assert google.token_requests == 2


@in_loop
async def test_a_rotated_key_is_picked_up_with_the_next_token(tmp_path: Path) -> None:
    google = Google()
    async with peer(google) as there:
        account = ServiceAccount(key_file(tmp_path, there.url))
        await account.token()
        key_file(tmp_path, there.url, project_id="other", client_email="new@other.iam.gserviceaccount.com")
        account.reject("access-1")
        await account.token()
        await account.close()
    assert account.project_id == "other"


@in_loop
async def test_a_file_that_was_broken_is_read_as_soon_as_it_is_mended(tmp_path: Path) -> None:
    google = Google()
    async with peer(google) as there:
        account = ServiceAccount(key_file(tmp_path, there.url, type=None))
        for _ in range(3):
            assert (await trouble_of(account)).code == "credentials_malformed"
        key_file(tmp_path, there.url)
        assert await account.token() == "access-1"
        assert account.trouble is None
        await account.close()


@in_loop
async def test_a_refused_key_is_asked_with_again_only_when_another_is_there(tmp_path: Path) -> None:
    google = Google()
    google.token_fault = always(400, {"error": "invalid_grant", "error_description": "account not found"})
    async with peer(google) as there:
        account = ServiceAccount(key_file(tmp_path, there.url))
        for _ in range(3):
            await trouble_of(account)
        assert google.token_requests == 1
        google.token_fault = None
        key_file(tmp_path, there.url, client_email="new@demo.iam.gserviceaccount.com")
        assert await account.token() == "access-1"
        await account.close()


@in_loop
async def test_an_endless_answer_is_cut_off(tmp_path: Path) -> None:
    written = 0

    async def flood(_: Seen, wire: Wire) -> None:
        nonlocal written
        with suppress(OSError):
            await wire.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
            while True:
                await wire.write(b"x" * 65536)
                written += 65536

    google = Google()
    google.token_fault = flood
    async with an_account(google, tmp_path) as account:
        error = await trouble_of(account)
    assert (type(error), error.code) == (NotNow, "oauth_bad_answer")
    assert written < 50_000_000, "no more than what is under way when it is cut off"


@in_loop
async def test_an_answer_that_trickles_has_until_the_timeout_and_no_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert providers.credentials.TIMEOUT * 3 < 30, "google-auth may ask three times"
    monkeypatch.setattr(providers.credentials, "fetch", partial(providers.credentials.fetch, timeout=0.5))

    async def trickle(_: Seen, wire: Wire) -> None:
        with suppress(OSError):
            await wire.write(b"HTTP/1.1 200 OK\r\n")
            while True:
                await wire.write(b"X-More: yes\r\n")
                await asyncio.sleep(0.2)

    google = Google()
    google.token_fault = trickle
    async with an_account(google, tmp_path) as account, asyncio.timeout(10):
        error = await trouble_of(account)
    assert (type(error), error.code) == (NotNow, "oauth_unreachable")


@in_loop
async def test_an_address_that_is_none_is_trouble_that_passes_with_the_file(tmp_path: Path) -> None:
    account = ServiceAccount(key_file(tmp_path, "nowhere"))
    error = await trouble_of(account)
    await account.close()
    assert (type(error), error.code) == (NotNow, "oauth_unreachable")


@in_loop
async def test_an_error_that_nobody_thought_of_is_told_and_waited_for_since_nothing_was_sent(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async with an_account(Google(), tmp_path) as account:
        with monkeypatch.context() as broken:
            broken.setattr(providers.credentials, "orjson", None)
            error = await trouble_of(account)
        assert (type(error), error.code, error.outcome_unknown) == (NotNow, "oauth_internal_error", False)
        assert "AttributeError" in error.advice
        assert "Traceback" in caplog.text
        clock.now += 11
        assert await account.token() == "access-1"


@pytest.mark.parametrize(
    ("code", "text", "advice"),
    [
        ("invalid_grant", "Invalid JWT Signature.", "clock"),
        ("unauthorized_client", "Client is unauthorized", "scope"),
        ("invalid_scope", "Invalid OAuth scope", "token_uri"),
        ("something_new", "Never heard of", "token_uri"),
    ],
)
@in_loop
async def test_a_refused_key_says_exactly_what_is_wrong(tmp_path: Path, code: str, text: str, advice: str) -> None:
    google = Google()
    google.token_fault = always(400, {"error": code, "error_description": text})
    async with an_account(google, tmp_path) as account:
        error = await trouble_of(account)
    assert type(error) is CredentialTrouble
    assert error.code == code
    assert all(part in error.advice for part in ("GOOGLE_APPLICATION_CREDENTIALS", text, advice))
    assert not error.burns_attempt
    assert error.retry_after == 60
    assert google.token_requests == 1


@in_loop
async def test_a_hostile_token_endpoint_chooses_no_code_and_no_control_characters(tmp_path: Path) -> None:
    google = Google()
    google.token_fault = always(400, {"error": "x\0<script>", "error_description": "a\0\nb" * 1000})
    async with an_account(google, tmp_path) as account:
        error = await trouble_of(account)
    assert error.code == "oauth_refused"
    assert error.advice.isprintable()
    assert len(error.advice) < 600


@in_loop
async def test_nobody_asks_again_before_the_wait_is_over(tmp_path: Path, clock: Clock) -> None:
    google = Google()
    google.token_fault = always(400, {"error": "invalid_grant", "error_description": "account not found"})
    async with an_account(google, tmp_path) as account:
        for _ in range(50):
            await trouble_of(account)
        assert google.token_requests == 1
        google.token_fault = None
        clock.now += 61
        assert await account.token() == "access-1"
        assert account.trouble is None


async def say_nonsense(_: Seen, wire: Wire) -> None:
    await wire.answer(200, b"<html>Sign in to the hotel's network</html>")


async def hang_up(_: Seen, wire: Wire) -> None:
    wire.close()


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        (say_nonsense, "oauth_bad_answer"),
        (always(200, {"access_token": "x", "expires_in": 0}), "oauth_bad_answer"),
        (hang_up, "oauth_unreachable"),
    ],
)
@in_loop
async def test_trouble_that_passes_is_waited_for(tmp_path: Path, clock: Clock, fault: Any, code: str) -> None:
    google = Google()
    google.token_fault = fault
    async with an_account(google, tmp_path) as account:
        error = await trouble_of(account)
        assert (type(error), error.code, error.burns_attempt) == (NotNow, code, False)
        google.token_fault = None
        clock.now += 11
        assert await account.token() == "access-1"


@in_loop
async def test_an_unreachable_token_endpoint_is_waited_for(tmp_path: Path) -> None:
    account = ServiceAccount(key_file(tmp_path, f"http://127.0.0.1:{closed_port()}"))
    error = await trouble_of(account)
    await account.close()
    assert (type(error), error.code) == (NotNow, "oauth_unreachable")
    assert "Connection refused" in error.advice


@in_loop
async def test_a_proxy_in_the_environment_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with an_account(Google(), tmp_path) as account:
        assert await account.token() == "access-1"


def malformed(directory: Path) -> dict[str, str | None]:
    """What a person may have put there, by what the advice must say."""
    directory.mkdir(exist_ok=True)
    (directory / "text").write_text("hello")
    (directory / "user").write_text('{"type": "authorized_user"}')
    bare = key_file(directory, "http://127.0.0.1:1", private_key=None, client_email=None)
    Path(bare).rename(directory / "bare")
    torn = key_file(directory, "http://127.0.0.1:1", private_key="-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n")
    return {
        "is not set": None,
        "cannot be read (No such file or directory)": str(directory / "absent"),
        "cannot be read (Is a directory)": str(directory),
        "is not a service-account file": str(directory / "text"),
        "user is not a service-account file": str(directory / "user"),
        "lacks client_email, private_key": str(directory / "bare"),
        "has a private_key that is not one": torn,
    }


@in_loop
async def test_a_wrong_file_is_named_with_the_variable_and_the_fix(tmp_path: Path) -> None:
    for what, path in malformed(tmp_path / "keys").items():
        account = ServiceAccount(path)
        error = await trouble_of(account)
        await account.close()
        assert type(error) is CredentialTrouble
        assert error.code.startswith("credentials_")
        assert "GOOGLE_APPLICATION_CREDENTIALS" in error.advice
        assert what in error.advice
        assert "c2VjcmV0" not in str(error)


@in_loop
async def test_closing_gives_up_a_renewal(tmp_path: Path) -> None:
    arrived = asyncio.Event()

    async def hold(_: Seen, wire: Wire) -> None:
        arrived.set()
        await wire.wait_for_the_end()

    google = Google()
    google.token_fault = hold
    async with peer(google) as there:
        account = ServiceAccount(key_file(tmp_path, there.url))
        waiting = asyncio.create_task(account.token())
        await arrived.wait()
        await account.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting


def test_a_grant_does_not_show_its_token() -> None:
    assert "secret" not in repr(Grant("secret", 1.0, None))
