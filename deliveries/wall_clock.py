"""The time of day by the database's clock, which all workers share: a worker's own may be wrong by minutes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

logger = logging.getLogger(__name__)

#: Seconds by which a worker's own clock may differ in silence. Its log goes by that clock, and so do Google's tokens.
TOLERATED = 5.0

#: What time it is.
Now = Callable[[], datetime]


class WallClock:
    """Goes by what the database said last, and in between by the monotonic clock, which nobody sets."""

    def __init__(self) -> None:
        self._told = datetime.now(UTC)
        self._at = time.monotonic()
        self._is_off = False

    def now(self) -> datetime:
        return self._told + timedelta(seconds=time.monotonic() - self._at)

    def learn(self, told: datetime, asked: float) -> None:
        """The database has just said that it is `told`, when it was asked at `asked` on the monotonic clock.

        It is taken to have said so half way. Warns once when our own clock is off, and once when it no longer is.
        """
        self._at = (asked + time.monotonic()) / 2
        self._told = told.astimezone(UTC)
        offset = (self.now() - datetime.now(UTC)).total_seconds()
        is_off = abs(offset) > TOLERATED
        if is_off != self._is_off:
            logger.warning(
                "This machine's clock is %.1f s %s the database's%s",
                abs(offset),
                "behind" if offset > 0 else "ahead of",
                "; deliveries go by the database's, but Google may refuse us: set it right" if is_off else " again",
            )
        self._is_off = is_off
