"""Users, templates, gateway and FCM in one cheap process, so that the bench measures us and not them.

It parses no more of HTTP/1.1 than its clients use: `python -m bench.fakes --directory DIR`.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import uvloop

from bench.account import PROJECT, write_account

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"\r\ncontent-length:"
CHUNKED = b"\r\ntransfer-encoding:"
#: As long as Google's: a registration token, an access token, an envelope's words.
TOKEN_LENGTH = 152
ACCESS_TOKEN = "ya29.c.bench-" + "a" * 1000
RENDERED = (
    b'{"success":true,"data":{"title":"Your order is on its way",'
    b'"body":"Hello Ada, order 10482 has left our house and is with you tomorrow."},'
    b'"error":null,"message":"ok","meta":null}'
)
REPORTED = b'{"success":true,"data":null,"error":null,"message":"ok","meta":null}'


def device_token(user_id: str) -> str:
    """The one device token of a user: their id, as long as a real token."""
    return f"{user_id}:".ljust(TOKEN_LENGTH, "x")


def response(status: str, body: bytes) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    return head.encode() + END_OF_HEAD + body


class Book:
    """What was asked, and when (seconds, monotonic): repeats show as more calls than names."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.lookups = self.renders = self.sends = self.reports = self.delivered = 0
        self.sent: dict[str, float] = {}  # when a device token was first sent to
        self.reported: set[str] = set()
        self.first_lookup_at = self.last_report_at = 0.0

    def stats(self) -> bytes:
        return json.dumps(
            {
                "lookups": self.lookups,
                "renders": self.renders,
                "sends": self.sends,
                "distinct_sends": len(self.sent),
                "reports": self.reports,
                "distinct_reports": len(self.reported),
                "delivered": self.delivered,
                "first_lookup_at": self.first_lookup_at,
                "last_report_at": self.last_report_at,
                "cpu_seconds": time.process_time(),
            }
        ).encode()


class World:
    """The answers. `latency` is how long FCM takes, in seconds."""

    def __init__(self, latency: float) -> None:
        self.latency = latency
        self.book = Book()
        self.routes: tuple[tuple[bytes, Callable[[bytes, bytes], bytes]], ...] = (
            (b"GET /api/v1/users/", self.user),
            (b"POST /api/v1/templates/render ", self.render),
            (b"POST /api/v1/push/status/ ", self.report),
            (b"POST /v1/projects/", self.send),
            (b"POST /token ", self.token),
            (b"GET /stats ", lambda *_: response("200 OK", self.book.stats())),
            (b"GET /arrivals ", lambda *_: response("200 OK", json.dumps(self.book.sent).encode())),
            (b"POST /reset ", self.reset),
        )
        self.rendered = response("200 OK", RENDERED)
        self.reported = response("201 Created", REPORTED)

    def answer(self, head: bytes, body: bytes) -> tuple[bytes, float]:
        """An answer, and the seconds until it is given."""
        for start, route in self.routes:
            if head.startswith(start):
                return route(head, body), self.latency if route == self.send else 0.0
        return response("404 Not Found", b"{}"), 0.0

    def user(self, head: bytes, _body: bytes) -> bytes:
        book = self.book
        book.lookups += 1
        if book.lookups == 1:
            book.first_lookup_at = time.monotonic()
        id_ = head[18 : head.index(b" ", 18)].decode()
        user = (
            f'{{"success":true,"data":{{"id":"{id_}","push_tokens":[{{"token":"{device_token(id_)}",'
            '"platform":"android","is_active":true}],"preferences":{"email":true,"push":true}},'
            '"error":null,"message":"ok","meta":null}'
        )
        return response("200 OK", user.encode())

    def render(self, _head: bytes, _body: bytes) -> bytes:
        self.book.renders += 1
        return self.rendered

    def report(self, _head: bytes, body: bytes) -> bytes:
        book = self.book
        book.reports += 1
        book.reported.add(field(body, b'"notification_id":'))
        book.delivered += b'"delivered"' in body
        book.last_report_at = time.monotonic()
        return self.reported

    def send(self, _head: bytes, body: bytes) -> bytes:
        book = self.book
        book.sends += 1
        book.sent.setdefault(field(body, b'"token":'), time.monotonic())
        name = f'{{"name":"projects/{PROJECT}/messages/0:{book.sends:016d}%31bd1c96"}}'
        return response("200 OK", name.encode())

    def token(self, _head: bytes, _body: bytes) -> bytes:
        grant = {"access_token": ACCESS_TOKEN, "expires_in": 3599, "token_type": "Bearer"}
        return response("200 OK", json.dumps(grant).encode())

    def reset(self, _head: bytes, _body: bytes) -> bytes:
        self.book.reset()
        return response("200 OK", b"{}")


def field(body: bytes, key: bytes) -> str:
    """The text value of a key, found without parsing; with or without a space after the colon."""
    start = body.index(b'"', body.index(key) + len(key)) + 1
    return body[start : body.index(b'"', start)].decode()


class Exchange(asyncio.Protocol):
    """A connection, kept alive. One request at a time: what comes early waits for its turn."""

    def __init__(self, world: World, call_later: Callable[..., object]) -> None:
        self.world = world
        self.call_later = call_later
        self.transport: asyncio.Transport
        self.unread = b""
        self.busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports are no subclasses of asyncio's; TCP_NODELAY is set by both.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self.unread = self.unread + data if self.unread else data
        while not self.busy and self.unread:
            end = self.unread.find(END_OF_HEAD)
            if end < 0:
                return
            head = self.unread[:end]
            stop = end + 4 + self.length(head)
            if len(self.unread) < stop:
                return
            body, self.unread = self.unread[end + 4 : stop], self.unread[stop:]
            self.exchange(head, body)

    def length(self, head: bytes) -> int:
        """Bytes of the body. Raises ValueError for one that does not say it at once."""
        words = head.lower()
        at = words.find(LENGTH)
        if at >= 0:
            line = words.find(b"\r\n", at + 2)
            return int(words[at + len(LENGTH) : line if line > 0 else None])
        if CHUNKED in words:
            raise ValueError("the fakes read no chunks")
        return 0

    def exchange(self, head: bytes, body: bytes) -> None:
        answer, delay = self.world.answer(head, body)
        if delay:
            self.busy = True
            self.call_later(delay, self.answer_late, answer)
        else:
            self.transport.write(answer)

    def answer_late(self, answer: bytes) -> None:
        self.busy = False
        self.transport.write(answer)
        if self.unread:
            self.data_received(b"")


async def serve(port: int, latency: float, directory: Path) -> None:
    """Serves on 127.0.0.1 until cancelled; says where in one JSON line."""
    loop = asyncio.get_running_loop()
    world = World(latency)
    server = await loop.create_server(lambda: Exchange(world, loop.call_later), "127.0.0.1", port, backlog=2048)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    account = directory / "service-account.json"
    write_account(account, url)
    print(json.dumps({"url": url, "account": str(account)}), flush=True)
    await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.fakes", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--fcm-latency-ms", type=float, default=50.0)
    parser.add_argument("--directory", type=Path, default=Path(), help="of the service account")
    given = parser.parse_args()
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    try:
        runner.run(serve(given.port, given.fcm_latency_ms / 1000, given.directory))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
