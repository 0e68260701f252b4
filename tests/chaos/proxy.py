"""A TCP proxy that makes the faults of networks: cut off, frozen, slow, away, gone elsewhere, cut after a COMMIT."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeVar

#: What PostgreSQL answers to a COMMIT that was done: a CommandComplete of this tag.
COMMITTED = b"C" + struct.pack("!I", 4 + len(b"COMMIT\0")) + b"COMMIT\0"
RESET = struct.pack("ii", 1, 0)

Answer = TypeVar("Answer")


class Proxy:
    """Listens on `port` and leads every connection to `target`, a port of this machine. `close` ends it.

    All orders are given from the test's thread; the connections live on a loop in a thread of the proxy's own.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._away = False
        self._delay = 0.0
        self._cut_commits = 0
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True)
        self._thread.start()
        self._flows = self._do(_made(asyncio.Event))
        self._flows.set()
        self._server = self._do(lambda: asyncio.start_server(self._connect, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]

    @property
    def connections(self) -> int:
        """How many lead through it now."""
        return len(self._pairs)

    @property
    def commits_to_cut(self) -> int:
        return self._cut_commits

    def cut(self) -> None:
        """Resets all connections; new ones are led on."""
        self._do(_made(self._reset_all))

    def go_away(self) -> None:
        """Resets all connections and every new one, until `come_back`."""
        self._away = True
        self.cut()

    def come_back(self, target: int | None = None) -> None:
        """Leads new connections on again, to another port if one is given."""
        self.target = target or self.target
        self._away = False

    def freeze(self) -> None:
        """Nothing passes any more in either direction; connections stay open, and new ones are taken and hang."""
        self._do(_made(self._flows.clear))

    def thaw(self) -> None:
        self._do(_made(self._flows.set))

    def slow_down(self, seconds: float) -> None:
        """Everything that is read is passed on so much later."""
        self._delay = seconds

    def cut_after_commits(self, times: int) -> None:
        """The next so many times that the server says COMMIT, the client does not hear it: its connection is reset."""
        self._cut_commits = times

    def close(self) -> None:
        self._do(_made(self._server.close))
        self._do(_made(self._flows.set))
        self.cut()
        self._do(self._finish)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, order: Callable[[], Awaitable[Answer]]) -> Answer:
        async def done() -> Answer:
            return await order()

        return asyncio.run_coroutine_threadsafe(done(), self._loop).result(10)

    async def _finish(self) -> None:
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _connect(self, near_reader: asyncio.StreamReader, near: asyncio.StreamWriter) -> None:
        if self._away:
            return _reset(near)
        try:
            far_reader, far = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return _reset(near)
        pair = (near, far)
        self._pairs.add(pair)
        try:
            forth = asyncio.create_task(self._pass_on(near_reader, far))
            back = asyncio.create_task(self._pass_back(far_reader, near))
            with suppress(asyncio.CancelledError):  # asyncio's own streams would call it an error
                await asyncio.wait((forth, back), return_when=asyncio.FIRST_COMPLETED)
            for task in (forth, back):
                task.cancel()
            await asyncio.gather(forth, back, return_exceptions=True)
        finally:
            self._pairs.discard(pair)
            _reset(near)
            far.close()
        return None

    async def _pass_on(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await source.read(65536):
                await self._hold_up()
                target.write(content)
                await target.drain()

    async def _pass_back(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while content := await source.read(65536):
                await self._hold_up()
                if self._cut_commits and COMMITTED in content:
                    self._cut_commits -= 1
                    return
                target.write(content)
                await target.drain()

    async def _hold_up(self) -> None:
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._flows.wait()

    def _reset_all(self) -> None:
        for near, far in self._pairs:
            _reset(near)
            _reset(far)


def _made(call: Callable[[], Any]) -> Callable[[], Awaitable[Any]]:
    """A call as an order, to be made on the loop."""

    async def made() -> Any:
        return call()

    return made


def _reset(writer: asyncio.StreamWriter) -> None:
    """Ends a connection with RST, as a crash or a firewall would."""
    peer = writer.get_extra_info("socket")
    with suppress(OSError, AttributeError):
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
