"""What the phones of this world show now: the latest pushes, a repeat in the place of the first."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from sandbox.devices import owner_of

KEPT = 300


@dataclass(frozen=True, slots=True)
class Push:
    """One notification on one device; `times` counts how often FCM accepted it under its tag."""

    number: int
    key: str
    user: str
    platform: str
    at: str
    title: str | None
    body: str | None
    image: str | None
    link: str | None
    times: int

    @property
    def device(self) -> str:
        return f"{self.user} · {self.platform}"


class Screen:
    """The last KEPT pushes of all devices, oldest first; `number` grows with every acceptance."""

    def __init__(self) -> None:
        self._pushes: OrderedDict[tuple[str, str], Push] = OrderedDict()
        self.number = 0
        self.clearings = 0

    def show(self, entry: dict[str, Any]) -> None:
        """Show an accepted message of the book; the same tag on the same device replaces."""
        key = (entry["token"], entry["tag"] or entry["name"])
        earlier = self._pushes.pop(key, None)
        self.number += 1
        self._pushes[key] = _push(entry, key, self.number, earlier)
        if len(self._pushes) > KEPT:
            self._pushes.popitem(last=False)

    def clear(self) -> None:
        self._pushes.clear()
        self.clearings += 1

    def latest(self, device: str | None, count: int, after: int = 0) -> list[Push]:
        """Newest first, of one device or of all, at most `count`, later than number `after`."""
        return list(self._latest(device, count, after))

    def devices(self) -> list[str]:
        return sorted({push.device for push in self._pushes.values()})

    def _latest(self, device: str | None, count: int, after: int) -> Iterator[Push]:
        for push in reversed(self._pushes.values()):
            if push.number <= after or count == 0:
                return
            if device in (None, push.device):
                count -= 1
                yield push


def _push(entry: dict[str, Any], key: tuple[str, str], number: int, earlier: Push | None) -> Push:
    if entry["target"] == "subscription":
        user, platform = entry["browser"], "web"
    elif entry["target"] in ("topic", "condition"):
        user, platform = entry["token"], entry["target"]
    else:
        user, platform = owner_of(entry["token"])
    return Push(
        number=number,
        key=blake2b("\n".join(key).encode(), digest_size=9).hexdigest(),
        user=user,
        platform=platform,
        at=entry["at"],
        title=entry["title"],
        body=entry["body"],
        image=entry["image"],
        link=entry["link"],
        times=earlier.times + 1 if earlier else 1,
    )
