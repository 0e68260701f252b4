"""The users of this world: a prefix of their id says what they are like, in every dialect."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson
from aiohttp import web

from sandbox.devices import STATES, token_for
from sandbox.dialects.bodies import Refused
from sandbox.subscriptions import subscription

USERS = {
    "optout-": "has switched push off",
    "nodevice-": "has no device",
    "unknown-": "404: there is no such user",
    "multi-": "has three devices: Android, iOS and web; one where the dialect knows no more",
    "mixed-": "has three devices, the second with a dead token",
    "web-": "has a browser, by a Web Push subscription; web-dead-… one in state dead, and so on",
    "baduser-": "500: the lookup breaks",
    "slowuser-": "answers late, after --slow seconds (10)",
}
Device = tuple[str, str]
"""(state of its token, platform)."""

_SEVERAL: dict[str, tuple[Device, ...]] = {
    "nodevice-": (),
    "multi-": (("ok", "android"), ("ok", "ios"), ("ok", "web")),
    "mixed-": (("ok", "android"), ("dead", "ios"), ("ok", "web")),
}


async def meet(user: str, slow: float) -> None:
    """Takes as long as this user takes; raises Refused for one that does not exist or breaks the lookup."""
    if user.startswith("slowuser-"):
        await asyncio.sleep(slow)
    if user.startswith("baduser-"):
        raise Refused(500, "internal server error")
    if user.startswith("unknown-"):
        raise Refused(404, "user not found")


def wants_pushes(user: str) -> bool:
    return not user.startswith("optout-")


def tokens_of(user: str, request: web.Request) -> list[tuple[str, str]]:
    """(token, platform) of each device; a browser's subscription as text."""
    if user.startswith("web-"):
        return [(orjson.dumps(_subscription(user, request)).decode(), "web")]
    prefix, dash, _ = user.partition("-")
    usual = (prefix if dash and prefix in STATES else "ok", "android")
    devices = _SEVERAL.get(f"{prefix}-", (usual,)) if dash else (usual,)
    return [(token_for(user, platform, state), platform) for state, platform in devices]


def listed(user: str, request: web.Request) -> list[dict[str, Any]]:
    """The same as a dialect shows it that lists devices; a browser's subscription as it is."""
    if user.startswith("web-"):
        return [{"subscription": _subscription(user, request), "platform": "web", "is_active": True}]
    return [{"token": token, "platform": platform, "is_active": True} for token, platform in tokens_of(user, request)]


def has_several(user: str) -> bool:
    """Whether a dialect that lists devices lists this user's."""
    return user.startswith((*_SEVERAL, "web-"))


def _subscription(user: str, request: web.Request) -> dict[str, Any]:
    """At the push service of this sandbox, as whoever asks can reach it."""
    prefix, dash, _ = (name := user.removeprefix("web-")).partition("-")
    id = name if dash and prefix in STATES else f"ok-{name}"
    return subscription(id, f"{request.scheme}://{request.host}")
