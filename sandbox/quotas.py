"""FCM's sends per minute: of the project, to one device, to one topic.

A fixed window opens with the first send, whatever the clock says, and its end makes room for as many again.
Client errors count, 429 does not. Source: https://firebase.google.com/docs/cloud-messaging/throttling-and-quotas
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass

from sandbox.fcm_verdicts import QUOTAS
from sandbox.google_errors import RefusedError
from sandbox.options import Options

_SCOPES = {"token": "device", "fid": "device", "topic": "topic", "condition": "topic"}
_MANY = 10_000


@dataclass(slots=True)
class Window:
    """`ends` is in monotonic seconds."""

    ends: float = 0.0
    used: int = 0


class Quotas:
    """A window for the project, and for each device and topic that something was sent to lately."""

    def __init__(self, options: Options) -> None:
        self._limits = {"project": options.quota, "device": options.device_quota, "topic": options.topic_quota}
        self._length = options.quota_window
        self._windows: defaultdict[tuple[str, str], Window] = defaultdict(Window)
        self._many = _MANY

    def check(self, kind: str, target: str) -> None:
        """Raises RefusedError where a window is full, with the whole seconds until it ends."""
        now = time.monotonic()
        for key in self._limited(kind, target):
            window = self._windows.get(key)
            if window and window.used >= self._limits[key[0]] and window.ends > now:
                raise QUOTAS[key[0]](math.ceil(window.ends - now))

    def spend(self, kind: str = "", target: str = "") -> None:
        """Count one send; without a target it is the project's alone."""
        now = time.monotonic()
        for key in self._limited(kind, target):
            if self._windows[key].ends <= now:
                self._windows[key] = Window(now + self._length)
            self._windows[key].used += 1
        if len(self._windows) > self._many:
            self._forget(now)

    def refused(self, refusal: RefusedError, kind: str = "", target: str = "") -> None:
        """Count a send that was refused, when it is one that counts."""
        if refusal.http < 500 and refusal.http != 429:
            self.spend(kind, target)

    def _forget(self, now: float) -> None:
        """The windows that have ended; seldom enough to cost nothing, however many are open."""
        self._windows = defaultdict(Window, {key: w for key, w in self._windows.items() if w.ends > now})
        self._many = max(_MANY, 2 * len(self._windows))

    def _limited(self, kind: str, target: str) -> list[tuple[str, str]]:
        keys = [("project", ""), (_SCOPES.get(kind, ""), target)]
        return [key for key in keys if self._limits.get(key[0])]
