"""How we connect to RabbitMQ: bounded in every direction, and able to read whatever it sends."""

import logging
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from copy import copy
from functools import partial
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from pika import BasicProperties, BlockingConnection, SelectConnection, frame, spec
from pika.adapters.utils.connection_workflow import AMQPConnectorException
from pika.connection import Parameters
from pika.exceptions import AMQPConnectionError, AMQPError

# pika's own are: no limit while blocked, one attempt, 15 s for each, and the server's heartbeat.
DEFAULTS = {
    "heartbeat": 60,
    "blocked_connection_timeout": 10,
    "connection_attempts": 3,
    "retry_delay": 1,
    "socket_timeout": 5,
    "stack_timeout": 5,
}
GOODBYE = 1.0  # seconds

#: All that pika raises where RabbitMQ is away, which has no base of its own; see `connecting` as well.
AWAY = (AMQPError, AMQPConnectorException, OSError)

logger = logging.getLogger(__name__)


def with_defaults(url: str) -> str:
    """The AMQP URL with our DEFAULTS (seconds) in its query; what it already says wins."""
    query = urlsplit(url).query
    missing = {name: value for name, value in DEFAULTS.items() if name not in parse_qs(query)}
    separator = "&" if query else "?"
    return url.removesuffix("?") + separator + urlencode(missing) if missing else url


def impatient(parameters: Parameters, seconds: float = 2.0) -> Parameters:
    """The same place, for who would rather give up than wait: so many seconds in all, half of them to connect."""
    hasty = copy(parameters)
    hasty.connection_attempts = 1
    hasty.socket_timeout = seconds / 2
    hasty.stack_timeout = seconds
    hasty.blocked_connection_timeout = 1
    return hasty


class NoAnswer(AMQPError):  # type: ignore[misc]
    """RabbitMQ is connected, and silent for longer than we wait."""


@contextmanager
def connecting() -> Iterator[None]:
    """To make a connection in: what is reset at that very moment is a ValueError of pika's, here an AMQPError."""
    try:
        yield
    except ValueError as error:
        raise AMQPConnectionError(f"reset while it was made: {error}") from error


@contextmanager
def at_most(connection: BlockingConnection, seconds: float) -> Iterator[None]:
    """Cuts the connection off when this takes longer; whoever waits for an answer then gets NoAnswer.

    pika waits without a limit: over a link that is half open until its heartbeats are missed, for a minute and more.
    """
    select = connection._impl  # noqa: SLF001 - its clock runs while pika waits, the outer one's does not
    timer = select.ioloop.call_later(seconds, partial(_cut_off, select))
    try:
        yield
    finally:
        select.ioloop.remove_timeout(timer)


def hang_up(connection: BlockingConnection) -> None:
    """Says goodbye, but waits for no answer; raises nothing."""
    with suppress(Exception), at_most(connection, GOODBYE):
        connection.close()


def _cut_off(connection: SelectConnection) -> None:
    if not connection.is_closed:
        connection._terminate_stream(NoAnswer("no answer in time"))  # noqa: SLF001


class BriefConnection(SelectConnection):  # type: ignore[misc]
    """Ends once it is as old as connecting may take (`stack_timeout`): pika waits for an answer without a limit."""

    def __init__(self, parameters: Parameters, *args: Any, **more: Any) -> None:
        super().__init__(parameters, *args, **more)
        self.ioloop.call_later(parameters.stack_timeout, partial(_cut_off, self))


class LenientConnection(SelectConnection):  # type: ignore[misc]
    """Reads a message whose properties pika cannot: they are dropped, the body comes through.

    A header may hold a time in milliseconds (the year 58000), an infinite number, or tables in
    tables in tables. pika raises while it reads them, so one would stop its queue for ever.
    """

    def _read_frame(self) -> tuple[int, Any]:
        try:
            read: tuple[int, Any] = super()._read_frame()
        except (ValueError, ArithmeticError, OSError, RecursionError, struct.error, AMQPError):
            kind, channel, size = struct.unpack_from(">BHL", self._frame_buffer)
            if kind != spec.FRAME_HEADER:
                raise
            (body_size,) = struct.unpack_from(">Q", self._frame_buffer, spec.FRAME_HEADER_SIZE + 4)
            logger.warning("dropped unreadable AMQP properties of a message of %d bytes", body_size)
            end = spec.FRAME_HEADER_SIZE + size + spec.FRAME_END_SIZE
            return end, frame.Header(channel, body_size, BasicProperties())
        return read


class _NoBodies(logging.Filter):
    """pika shows the first 255 bytes of a message that comes back unroutable."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "body_prefix" not in str(record.msg)


def keep_bodies_out_of_logs() -> None:
    """Call it once or often: a logger takes the same filter only once."""
    logging.getLogger("pika.adapters.blocking_connection").addFilter(_no_bodies)


_no_bodies = _NoBodies()
