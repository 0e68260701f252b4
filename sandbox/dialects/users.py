"""The users of this world: a prefix of their id says what they are like, in every dialect."""

from __future__ import annotations

import asyncio

from sandbox.devices import STATES, token_for
from sandbox.dialects.bodies import Refused

USERS = {
    "optout-": "has switched push off",
    "nodevice-": "has no device",
    "unknown-": "404: there is no such user",
    "multi-": "has three devices: Android, iOS and web; one where the dialect knows no more",
    "mixed-": "has three devices, the second with a dead token",
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


def tokens_of(user: str) -> list[tuple[str, str]]:
    """(token, platform) of each device."""
    prefix, dash, _ = user.partition("-")
    usual = (prefix if dash and prefix in STATES else "ok", "android")
    devices = _SEVERAL.get(f"{prefix}-", (usual,)) if dash else (usual,)
    return [(token_for(user, platform, state), platform) for state, platform in devices]


def has_several(user: str) -> bool:
    """Whether a dialect that lists devices lists this user's."""
    return user.startswith(tuple(_SEVERAL))
