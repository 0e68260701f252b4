"""The HTTP client against real sockets: what may be believed to be answered, not sent, or unknown."""

from __future__ import annotations

import asyncio
import gzip
import random
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

import pytest

from providers.http import Answer, HttpClient, HttpFault, NotSent, OutcomeUnknown, retry_after
from tests.h2peer import STREAMS, certificate, h2_peer
from tests.peer import Behaviour, Peer, Seen, Wire, always, closed_port, in_loop, peer, until

HEAD_OF_20 = b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n"


@asynccontextmanager
async def a_client() -> AsyncIterator[HttpClient]:
    client = HttpClient()
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def talking_to(behaviour: Behaviour) -> AsyncIterator[tuple[HttpClient, Peer]]:
    async with peer(behaviour) as there, a_client() as client:
        yield client, there


async def post(client: HttpClient, url: str, body: bytes = b"{}", **more: Any) -> Answer:
    return await client.request("POST", url, headers={"X-Test": "yes"}, body=body, **({"timeout": 20} | more))


# --- answered ------------------------------------------------------------------------------------


@in_loop
async def test_a_request_arrives_as_it_was_meant_and_its_answer_comes_back_whole() -> None:
    behaviour = always(418, b'{"tea":true}', {"Retry-After": "7"})
    async with talking_to(behaviour) as (client, there):
        answer = await post(client, there.url + "/a/b?c=d", b'{"x":1}')
    assert (answer.status, answer.body, answer.truncated) == (418, b'{"tea":true}', False)
    assert answer.headers["retry-after"] == answer.headers["Retry-After"] == "7"
    assert answer.headers.get("absent") is None
    seen = there.seen[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/a/b?c=d", b'{"x":1}')
    assert seen.headers["x-test"] == "yes"


@in_loop
async def test_a_get_has_no_body_and_neither_has_a_204() -> None:
    async def behave(_: Seen, wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 204 No Content\r\n\r\n")

    async with talking_to(behave) as (client, there):
        answer = await client.request("GET", there.url, headers={}, timeout=20)
    assert (answer.status, answer.body) == (204, b"")
    assert (there.seen[0].method, there.seen[0].body) == ("GET", b"")


@in_loop
async def test_connections_are_kept_and_used_again() -> None:
    async with talking_to(always()) as (client, there):
        for _ in range(20):
            await post(client, there.url)
    assert (len(there.seen), there.connections) == (20, 1)


@in_loop
async def test_a_redirect_is_an_answer_and_is_not_followed() -> None:
    async with talking_to(always(307, headers={"Location": "/elsewhere"})) as (client, there):
        answer = await post(client, there.url)
    assert answer.status == 307
    assert len(there.seen) == 1


@in_loop
async def test_a_slow_body_in_pieces_is_read_to_its_end() -> None:
    async def behave(_: Seen, wire: Wire) -> None:
        await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _piece in range(5):
            await wire.write(b"2\r\nab\r\n")
            await asyncio.sleep(0.01)
        await wire.write(b"0\r\n\r\n")

    async with talking_to(behave) as (client, there):
        answer = await post(client, there.url)
    assert (answer.body, answer.truncated) == (b"ab" * 5, False)


@in_loop
async def test_a_proxy_in_the_environment_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port()}")
    async with talking_to(always()) as (client, there):
        assert (await post(client, there.url)).status == 200


# --- bodies that are too large -------------------------------------------------------------------


@in_loop
async def test_an_endless_body_is_cut_and_its_connection_dropped() -> None:
    ended, pieces = asyncio.Event(), 0

    async def behave(_: Seen, wire: Wire) -> None:
        nonlocal pieces
        await wire.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        try:
            while True:
                await wire.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
                pieces += 1
        finally:
            ended.set()

    async with talking_to(behave) as (client, there):
        answer = await post(client, there.url, max_bytes=1000)
        assert (answer.status, answer.body, answer.truncated) == (200, b"x" * 1000, True)
        await asyncio.wait_for(ended.wait(), 20)
    assert pieces < 1000, "the buffers of two sockets hold some; 64 MB would mean that it was read"


@in_loop
async def test_a_body_of_exactly_the_limit_is_whole() -> None:
    async with talking_to(always(body=b"x" * 1000)) as (client, there):
        answer = await post(client, there.url, max_bytes=1000)
        assert (len(answer.body), answer.truncated) == (1000, False)
        answer = await post(client, there.url, max_bytes=999)
        assert (len(answer.body), answer.truncated) == (999, True)


@in_loop
async def test_the_limit_counts_after_decompression() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    async with talking_to(always(body=bomb, headers={"Content-Encoding": "gzip"})) as (client, there):
        answer = await post(client, there.url)
    assert (len(answer.body), answer.truncated) == (65536, True)


# --- certainly not sent --------------------------------------------------------------------------


@in_loop
async def test_a_refused_connection_is_not_sent() -> None:
    async with a_client() as client:
        with pytest.raises(NotSent, match="refused"):
            await post(client, f"http://127.0.0.1:{closed_port()}/")


@in_loop
async def test_an_unknown_name_is_not_sent() -> None:
    async with a_client() as client:
        with pytest.raises(NotSent):
            await post(client, "http://nobody.invalid/")


@in_loop
async def test_a_peer_that_does_not_take_the_connection_is_not_sent_within_seconds() -> None:
    """One whose queue of connections is full, and one that takes it and never speaks TLS."""
    with closing(socket.create_server(("127.0.0.1", 0), backlog=0)) as full:
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(address)
        async with talking_to(always()) as (client, there):
            began = time.monotonic()
            outcomes = await asyncio.gather(
                post(client, f"http://127.0.0.1:{address[1]}/", timeout=60),
                post(client, there.url.replace("http:", "https:"), timeout=60),
                return_exceptions=True,
            )
        for each in waiting:
            each.close()
    assert [type(outcome) for outcome in outcomes] == [NotSent, NotSent]
    assert time.monotonic() - began < 30, "the connect timeout is 3 s"


@in_loop
async def test_a_peer_that_speaks_no_tls_is_not_sent() -> None:
    async def nonsense(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(nonsense, "127.0.0.1", 0)
    async with server, a_client() as client:
        with pytest.raises(NotSent):
            await post(client, f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")


@in_loop
async def test_what_cannot_be_written_is_a_value_error() -> None:
    async with a_client() as client:
        for url in ("nowhere", "ftp://127.0.0.1/", "http://127.0.0.1:99999/"):
            with pytest.raises(ValueError):  # noqa: PT011 - the text is the library's
                await post(client, url)
        with pytest.raises(ValueError):  # noqa: PT011
            await client.request("GET", "http://127.0.0.1/", headers={"X-A": "b\r\nX-C: d"}, timeout=1)


@in_loop
async def test_hosts_that_somebody_makes_up_take_no_more_than_so_much_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("providers.http.MAX_MET", 2)
    async with a_client() as client:
        for port in (1, 2, 3):
            with pytest.raises(NotSent):
                await post(client, f"https://127.0.0.1:{port}/")
        assert len(client._lanes[0]._met) <= 2


# --- unknown -------------------------------------------------------------------------------------


async def reset(_: Seen, wire: Wire) -> None:
    wire.reset()


async def end(_: Seen, wire: Wire) -> None:
    wire.close()


async def reset_in_the_body(_: Seen, wire: Wire) -> None:
    await wire.write(HEAD_OF_20 + b"{}")
    await asyncio.sleep(0.02)
    wire.reset()


async def end_in_the_body(_: Seen, wire: Wire) -> None:
    await wire.write(HEAD_OF_20 + b"{}")
    wire.close()


async def say_nothing(_: Seen, wire: Wire) -> None:
    await wire.wait_for_the_end()


async def stop_in_the_body(_: Seen, wire: Wire) -> None:
    await wire.write(HEAD_OF_20 + b"{}")
    await wire.wait_for_the_end()


async def talk_nonsense(_: Seen, wire: Wire) -> None:
    await wire.write(b"220 mail.example ESMTP\r\n\r\n")


async def break_the_gzip(_: Seen, wire: Wire) -> None:
    await wire.answer(body=b"not gzip", headers={"Content-Encoding": "gzip"})


@pytest.mark.parametrize(
    "behaviour",
    [
        reset,
        end,
        reset_in_the_body,
        end_in_the_body,
        say_nothing,
        stop_in_the_body,
        talk_nonsense,
        break_the_gzip,
    ],
)
@in_loop
async def test_an_answer_that_is_lost_leaves_the_outcome_unknown(behaviour: Behaviour) -> None:
    async with talking_to(behaviour) as (client, there):
        with pytest.raises(OutcomeUnknown) as caught:
            await post(client, there.url, timeout=0.5)
        assert len(there.seen) == 1
        assert "127.0.0.1" not in str(caught.value)
        there.behaviour = always()
        assert (await post(client, there.url)).status == 200, "and the next one is not affected"


@in_loop
async def test_a_request_lost_on_a_kept_connection_is_unknown_and_not_repeated() -> None:
    async with talking_to(always()) as (client, there):
        await post(client, there.url)
        for behaviour in (reset, end):
            there.behaviour = behaviour
            before = len(there.seen)
            with pytest.raises(OutcomeUnknown):
                await post(client, there.url)
            assert len(there.seen) == before + 1
            there.behaviour = always()
            await post(client, there.url)


@pytest.mark.parametrize("cut", [Wire.close, Wire.reset])
@in_loop
async def test_connections_that_end_at_any_moment_never_make_a_request_arrive_twice(cut: Any) -> None:
    chance = random.Random(7)
    arrived: Counter[bytes] = Counter()

    async def behave(seen: Seen, wire: Wire) -> None:
        arrived[seen.body] += 1
        if chance.random() < 0.1:
            cut(wire)
            return
        await wire.answer()
        if chance.random() < 0.3:
            asyncio.get_running_loop().call_later(chance.random() * 0.002, cut, wire)

    async def send_many(client: HttpClient, url: str, sender: int) -> list[tuple[bytes, str]]:
        outcomes = []
        for number in range(60):
            body = f"{sender}:{number}".encode()
            try:
                await post(client, url, body, timeout=1)
                outcomes.append((body, "answered"))
            except HttpFault as fault:
                outcomes.append((body, type(fault).__name__))
        return outcomes

    async with talking_to(behave) as (client, there):
        every = await asyncio.gather(*(send_many(client, there.url, sender) for sender in range(16)))
    outcomes = [outcome for each in every for outcome in each]
    assert max(arrived.values()) == 1
    assert all(arrived[body] == 1 for body, outcome in outcomes if outcome == "answered")
    assert all(arrived[body] == 0 for body, outcome in outcomes if outcome == "NotSent")
    assert {outcome for _, outcome in outcomes} >= {"answered", "OutcomeUnknown"}


@in_loop
async def test_cancelling_stops_the_waiting_but_does_not_take_the_request_back() -> None:
    """Why a cancelled send has to count as unknown: the library finishes what it began."""
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def behave(_: Seen, wire: Wire) -> None:
        arrived.set()
        await go_on.wait()
        await wire.answer()

    async with talking_to(behave) as (client, there):
        task = asyncio.create_task(post(client, there.url))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert (await post(client, there.url)).status == 200
        assert len(there.seen) == 2
        assert client._lanes[0].in_flight == 0


@in_loop
async def test_closing_the_client_leaves_what_is_in_flight_unknown() -> None:
    arrived = asyncio.Event()

    async def behave(_: Seen, wire: Wire) -> None:
        arrived.set()
        await wire.wait_for_the_end()

    async with talking_to(behave) as (client, there):
        task = asyncio.create_task(post(client, there.url))
        await arrived.wait()
        await client.close()
        with pytest.raises(OutcomeUnknown):
            await task


# --- HTTP/2 --------------------------------------------------------------------------------------


@pytest.fixture
def pair(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    trusted, pair = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(trusted))
    return pair


@in_loop
async def test_http2_is_spoken_where_it_is_offered(pair: Path) -> None:
    async with h2_peer(pair) as there, a_client() as client:
        assert (await post(client, there.url)).body == b"{}"
        assert there.requests == 1


@in_loop
async def test_more_requests_than_a_connection_has_streams_wait_for_nobody(pair: Path) -> None:
    """All 250 are in flight at once, though the library opens one connection to a host and FCM takes 100."""
    async with h2_peer(pair, "hold") as there, a_client() as client:
        tasks = [asyncio.create_task(post(client, there.url, timeout=60)) for _ in range(250)]
        await until(lambda: there.waiting == 3)  # one goes first on each connection
        there.answer_all()
        await until(lambda: there.waiting == 247)
        assert len(there.connections) == 3
        assert max(connection.most_open for connection in there.connections) < STREAMS
        there.answer_all()
        assert {answer.status for answer in await asyncio.gather(*tasks)} == {200}
        there.manner = "answer"
        before = len(there.connections)
        for _ in range(20):
            await post(client, there.url)
        assert len(there.connections) == before, "a quiet client goes on with the connections it has"


@in_loop
async def test_a_stream_that_the_peer_disowns_is_repeated(pair: Path) -> None:
    async with h2_peer(pair, "refuse first") as there, a_client() as client:
        assert (await post(client, there.url)).status == 200
        assert there.requests == 2, "the peer said that it did not look at the first (RFC 9113, 8.7)"


@pytest.mark.parametrize("manner", ["take and drop", "take and go"])
@in_loop
async def test_a_stream_that_the_peer_took_is_unknown_and_not_repeated(pair: Path, manner: str) -> None:
    async with h2_peer(pair, manner) as there, a_client() as client:
        with pytest.raises(OutcomeUnknown):
            await post(client, there.url)
        assert there.requests == 1


@in_loop
async def test_no_place_is_lost_by_requests_that_fail() -> None:
    async with a_client() as client:
        for _ in range(200):
            with pytest.raises(NotSent):
                await post(client, f"http://127.0.0.1:{closed_port()}/")
        assert [lane.in_flight for lane in client._lanes] == [0]


# --- Retry-After ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "120"}, 120),
        ({"retry-after": " 0 "}, 0),
        ({"retry-after": "9" * 400}, 999_999_999),
        ({"retry-after": "Sun, 22 Nov 2026 10:01:30 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, 90),
        ({"retry-after": "Sun, 22 Nov 2026 09:59:00 GMT", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, -60),
        ({"retry-after": "Sun, 22 Nov 2026 10:01:30", "date": "Sun, 22 Nov 2026 10:00:00 GMT"}, None),
        ({"retry-after": "-5"}, None),
        ({"retry-after": "1.5e9"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "٣"}, None),
        ({"retry-after": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"}, None),
        ({"retry-after": "Mon, 01 Jan 2100 00:00:00 +99999999999999"}, None),
        ({"retry-after": ""}, None),
        ({}, None),
    ],
)
def test_a_retry_after_is_read_or_there_is_none(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


@pytest.mark.parametrize(
    "date",
    [
        {},
        {"date": "today"},
        {"date": "Mon, 01 Jan 99999999999999999999 00:00:00 GMT"},
        {"date": "Mon, 01 Jan 2026 00:00:00 +99999999999999"},
    ],
)
def test_without_a_date_of_the_peer_our_own_clock_serves(date: dict[str, str]) -> None:
    far = retry_after({"retry-after": "Fri, 31 Dec 2100 00:00:00 GMT"} | date)
    assert far is not None
    assert far > 365 * 86400
