"""What can be told to the sandbox on its command line, in one typed value."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from sandbox.devices import STATES
from sandbox.dialects import DIALECTS
from sandbox.fcm_rules import MAX_TOPIC_BYTES
from sandbox.orders import FAULTS, NEIGHBOURS, SERVICES, Order
from sandbox.orders import parse as parse_order


@dataclass(frozen=True, slots=True)
class Options:
    """Durations in seconds; `public_url` is how clients reach the sandbox, None to derive it.

    `headers` are (name, value) by the neighbour that demands it. Quotas are sends per window, 0 for no limit;
    `sizes` is a key of MAX_TOPIC_BYTES.
    """

    host: str = "127.0.0.1"
    port: int = 9099
    directory: Path = Path("var/sandbox")
    public_url: str | None = None
    fcm_latency: float = 0.0
    slow: float = 10.0
    hang: float = 60.0
    retry_after: int = 30
    sizes: str = "documented"
    quota: int = 0
    device_quota: int = 0
    topic_quota: int = 0
    quota_window: float = 60.0
    faults: tuple[Order, ...] = ()
    dialect: str = "spec"
    headers: dict[str, tuple[str, str]] = field(default_factory=dict)


_USUAL = Options()


def parse(argv: Sequence[str] | None = None) -> Options:
    """The options of a command line; a wrong one ends the process with exit code 2."""
    epilog = "\n\n".join(
        (
            _listed("Tokens, by their prefix (a user dead-anna has a token dead-…):", STATES),
            _listed("Faults, for --fault and POST /control:", FAULTS),
        )
    )
    given = _parser(epilog).parse_args(argv)
    return Options(
        host=given.host,
        port=given.port,
        directory=given.dir,
        public_url=given.public_url and given.public_url.rstrip("/"),
        fcm_latency=given.fcm_latency / 1000,
        slow=given.slow,
        hang=given.hang,
        retry_after=given.retry_after,
        sizes=given.sizes,
        quota=given.quota,
        device_quota=given.device_quota,
        topic_quota=given.topic_quota,
        quota_window=given.quota_window,
        faults=tuple(given.fault),
        dialect=given.dialect,
        headers=dict(given.require_header),
    )


def manual() -> str:
    """What --help says of the options, for the page at /."""
    return _parser(epilog="").format_help()


def _parser(epilog: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m sandbox",
        description="Google's OAuth and FCM, a user service, a template service, a gateway and\n"
        "a phone, on one port. The page at / documents them.",
        epilog=epilog,
        formatter_class=partial(argparse.RawDescriptionHelpFormatter, width=100),
    )
    add = parser.add_argument
    add("--host", default=_USUAL.host, help="address to listen on (%(default)s)")
    add("--port", type=_port, default=_USUAL.port, help="0 picks a free one (%(default)s)")
    add("--dir", type=Path, default=_USUAL.directory, help="keys and book (%(default)s)")
    add("--public-url", help="how clients reach it, when that is not http://HOST:PORT")
    _add_fcm(parser.add_argument_group("FCM"))
    _add_faults(parser.add_argument_group("slowness and faults"))
    _add_neighbours(parser.add_argument_group("the services around yours"))
    return parser


def _add_fcm(group: argparse._ArgumentGroup) -> None:
    add, usual = group.add_argument, _USUAL
    add(
        "--sizes",
        choices=tuple(MAX_TOPIC_BYTES),
        default=usual.sizes,
        help="the most that a message to a topic may have: what Google documents (2048 bytes), or what FCM was "
        "last seen to take (4096); 4096 for a device in either (%(default)s)",
    )
    add("--quota", type=_count, default=0, metavar="N", help="sends a minute of the project, then 429; 0 is no limit")
    add("--device-quota", type=_count, default=0, metavar="N", help="sends a minute to one device, then 429")
    add("--topic-quota", type=_count, default=0, metavar="N", help="sends a minute to one topic or condition, then 429")
    add(
        "--quota-window",
        type=_duration,
        default=usual.quota_window,
        metavar="S",
        help="how long that minute is; it begins with the first send, and Retry-After is what is left (%(default)s)",
    )


def _add_faults(group: argparse._ArgumentGroup) -> None:
    add, usual = group.add_argument, _USUAL
    add(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="SERVICE=FAULT,NAME=VALUE,…",
        help="what POST /control could script, from the start; may be given for each of "
        f"{', '.join(SERVICES)}, or for all: fcm=quota,seconds=30,retry_after=5,scope=project",
    )
    add("--fcm-latency", type=_duration, default=0.0, metavar="MS", help="before every FCM answer")
    add("--slow", type=_duration, default=usual.slow, metavar="S", help="what slow means (%(default)s)")
    add("--hang", type=_duration, default=usual.hang, metavar="S", help="how long hang is silent (%(default)s)")
    add("--retry-after", type=int, default=usual.retry_after, metavar="S", help="said with a 429 (%(default)s)")


def _add_neighbours(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dialect",
        choices=tuple(DIALECTS),
        default=_USUAL.dialect,
        help="how the user service, the template service and the gateway speak: "
        + "; ".join(f"{name}: {dialect.about}" for name, dialect in DIALECTS.items())
        + " (%(default)s)",
    )
    group.add_argument(
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


def _count(text: str) -> int:
    count = int(text)
    if count < 0:
        raise argparse.ArgumentTypeError(f"{text} is less than 0")
    return count


def _fault(text: str) -> Order:
    try:
        return parse_order(text)
    except ValueError as wrong:
        raise argparse.ArgumentTypeError(str(wrong)) from None


def _listed(title: str, words: Mapping[str, str]) -> str:
    return "\n".join([title, *(f"  {word:<18}  {about}" for word, about in words.items())])


def _header(text: str) -> tuple[str, tuple[str, str]]:
    service, _, header = text.partition("=")
    name, colon, value = header.partition(":")
    if service not in NEIGHBOURS or not name or not colon:
        raise argparse.ArgumentTypeError(f"{text!r} is not SERVICE=NAME: VALUE, SERVICE of {', '.join(NEIGHBOURS)}")
    return service, (name, value.strip())
