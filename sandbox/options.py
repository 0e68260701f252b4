"""What can be told to the sandbox on its command line, in one typed value."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sandbox.dialects import DIALECTS
from sandbox.faults import NEIGHBOURS
from sandbox.fcm_rules import TOPIC_BYTES


@dataclass(frozen=True, slots=True)
class Options:
    """Durations in seconds; `public_url` is how clients reach the sandbox, None to derive it.

    `headers` are (name, value) by the neighbour that demands it.
    """

    host: str = "127.0.0.1"
    port: int = 9099
    directory: Path = Path("var/sandbox")
    public_url: str | None = None
    fcm_latency: float = 0.0
    slow: float = 10.0
    hang: float = 60.0
    retry_after: int = 30
    topic_limit: str = "observed"
    dialect: str = "spec"
    headers: dict[str, tuple[str, str]] = field(default_factory=dict)


_USUAL = Options()


def parse(argv: Sequence[str] | None = None) -> Options:
    """The options of a command line; a wrong one ends the process with exit code 2."""
    given = _parser().parse_args(argv)
    return Options(
        host=given.host,
        port=given.port,
        directory=given.dir,
        public_url=given.public_url and given.public_url.rstrip("/"),
        fcm_latency=given.fcm_latency / 1000,
        slow=given.slow,
        hang=given.hang,
        retry_after=given.retry_after,
        topic_limit=given.topic_limit,
        dialect=given.dialect,
        headers=dict(given.require_header),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Google's OAuth and FCM, a user service, a template service, a gateway and "
        "a phone, on one port. The page at / documents them.",
    )
    add = parser.add_argument
    add("--host", default=_USUAL.host, help="address to listen on (%(default)s)")
    add("--port", type=_port, default=_USUAL.port, help="0 picks a free one (%(default)s)")
    add("--dir", type=Path, default=_USUAL.directory, help="keys and book (%(default)s)")
    add("--public-url", help="how clients reach it, when that is not http://HOST:PORT")
    add(
        "--slow",
        type=_duration,
        default=_USUAL.slow,
        metavar="S",
        help="what slow means (%(default)s)",
    )
    _add_fcm(parser)
    _add_neighbours(parser)
    return parser


def _add_fcm(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--fcm-latency", type=_duration, default=0.0, metavar="MS", help="before every FCM answer")
    add(
        "--hang",
        type=_duration,
        default=_USUAL.hang,
        metavar="S",
        help="how long a hanging send takes (%(default)s)",
    )
    add(
        "--retry-after",
        type=int,
        default=_USUAL.retry_after,
        metavar="S",
        help="said with every 429 (%(default)s)",
    )
    add(
        "--topic-limit",
        choices=tuple(TOPIC_BYTES),
        default=_USUAL.topic_limit,
        help="of bytes to a topic: what FCM takes, or the 2048 that it documents (%(default)s)",
    )


def _add_neighbours(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dialect",
        choices=tuple(DIALECTS),
        default=_USUAL.dialect,
        help="how the user service, the template service and the gateway speak: "
        + "; ".join(f"{name}: {dialect.about}" for name, dialect in DIALECTS.items())
        + " (%(default)s)",
    )
    parser.add_argument(
        "--require-header",
        type=_header,
        action="append",
        default=[],
        metavar="SERVICE=NAME: VALUE",
        help=f"what {', '.join(NEIGHBOURS)} answers 401 without; may be given for each",
    )


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port (0 to 65535)")
    return port


def _duration(text: str) -> float:
    duration = float(text)
    if not 0 <= duration <= 86_400_000:
        raise argparse.ArgumentTypeError(f"{text} is not a duration")
    return duration


def _header(text: str) -> tuple[str, tuple[str, str]]:
    service, _, header = text.partition("=")
    name, colon, value = header.partition(":")
    if service not in NEIGHBOURS or not name or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not SERVICE=NAME: VALUE, SERVICE of {', '.join(NEIGHBOURS)}")
    return service, (name, value.strip())
