"""What may be ordered of the sandbox's faults: the words of POST /control and of --fault, and their checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

NEIGHBOURS = ("users", "templates", "gateway")
SERVICES = (*NEIGHBOURS, "fcm", "token")
SCOPES = ("project", "device", "topic")
FAULTS = {
    "none": "answers as usual",
    "down": "503 in the service's own words",
    "refuse400": "400 in the service's own words",
    "refuse401": "401: whoever asks is not let in",
    "refuse403": "403: whoever asks may not do this (of fcm: IAM_PERMISSION_DENIED)",
    "refuse404": "404 in the service's own words: what is asked for is unknown",
    "refuse500": "500 in the service's own words",
    "refuse504": "504 in the service's own words",
    "disabled": "fcm only: 403 SERVICE_DISABLED, the project has not switched its API on",
    "html404": "404 with a page of HTML instead of JSON",
    "html500": "500 with a page of HTML instead of JSON",
    "html502": "502 with a page of HTML instead of JSON",
    "html503": "503 with a page of HTML instead of JSON",
    "html504": "504 with a page of HTML instead of JSON",
    "garbage": "200 with what is no answer, by turns: a page, half a JSON object, JSON about something else, a list",
    "huge": "200 with JSON whose body never ends, until the caller hangs up",
    "quota": "429 in the service's own words, with retry_after (--retry-after when absent, no header when null); "
    f"of fcm also scope: {', '.join(SCOPES)} (project when absent)",
    "slow": "answers as usual, after latency_ms",
    "hang": "accepted and booked, then silent for --hang seconds",
    "reset": "the connection is reset, nothing was accepted",
    "reset-after-accept": "accepted and booked, then the connection is reset",
}
_FIELDS = {"service", "fault", "times", "seconds", "latency_ms", "retry_after", "scope"}


@dataclass(frozen=True, slots=True)
class Order:
    """A fault for some services. `seconds` and `times` end it, None is never; `latency` is in seconds.

    `retry_after` is in seconds, None for no such header; where it is not `waits_so_long`, the sandbox's own holds.
    """

    services: tuple[str, ...]
    kind: str
    times: int | None
    seconds: float | None
    latency: float | None
    retry_after: int | None
    waits_so_long: bool
    scope: str


def read(order: Any) -> Order:
    """An order as POST /control gives it; raises ValueError with a sentence for the person."""
    _demand(isinstance(order, dict), "a JSON object is needed")
    unknown = sorted(order.keys() - _FIELDS)
    _demand(not unknown, f"unknown: {', '.join(unknown)}; known: {', '.join(sorted(_FIELDS))}")
    service, kind, known = order.get("service"), order.get("fault"), (*SERVICES, "all")
    _demand(service in known, f"service must be one of {', '.join(known)}")
    _demand(kind in tuple(FAULTS), f"fault must be one of {', '.join(FAULTS)}")
    _demand(kind != "disabled" or service == "fcm", "the fault disabled is for the service fcm only")
    times, retry_after, latency_ms = (_number(order, name) for name in ("times", "retry_after", "latency_ms"))
    return Order(
        services=SERVICES if service == "all" else (service,),
        kind=kind,
        times=None if times is None else int(times),
        seconds=_number(order, "seconds"),
        latency=None if latency_ms is None else latency_ms / 1000,
        retry_after=None if retry_after is None else int(retry_after),
        waits_so_long="retry_after" in order,
        scope=_scope(order),
    )


def parse(text: str) -> Order:
    """An order as a word of a command line: `fcm=quota,seconds=30,scope=topic`; raises ValueError like `read`."""
    (service, equals, kind), *more = (part.strip().partition("=") for part in text.split(","))
    _demand(bool(equals) and all(sign for _, sign, _ in more), f"{text!r} is not SERVICE=FAULT,NAME=VALUE,…")
    return read({**{name: _value(value) for name, _, value in more}, "service": service, "fault": kind})


def _scope(order: dict[str, Any]) -> str:
    scope = order.get("scope", SCOPES[0])
    _demand(scope in SCOPES, f"scope must be one of {', '.join(SCOPES)}")
    fits = (order["service"], order["fault"]) == ("fcm", "quota")
    _demand(fits or "scope" not in order, "scope is for the fault quota of the service fcm only")
    return str(scope)


def _number(order: dict[str, Any], name: str) -> float | None:
    value = order.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise ValueError(f"{name} must be a number from 0 up, or null")
    return value


def _value(text: str) -> Any:
    """A number or null; anything else is a text."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _demand(true: bool, otherwise: str) -> None:
    if not true:
        raise ValueError(otherwise)
