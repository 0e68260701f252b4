"""The ramp: after a pause sends climb evenly from nothing to their full pace, so that no stampede follows.

Google asks for it: https://firebase.google.com/docs/cloud-messaging/scale-fcm. Every send of the ramp has a place of
its own on it, in seconds since its beginning, so that nobody has to ask twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

#: Seconds in which the rate climbs from nothing to the ramp's pace.
RAMP = 60.0

#: Seconds: who has its turn later than that is held up, and no longer just in a queue.
FAR = 5.0


@dataclass(frozen=True, slots=True)
class Ramp:
    """The rate climbs to `pace` in a minute, and as evenly on to `full`, where it stays. Both in sends per second."""

    pace: float
    full: float

    def places(self, taken: float, count: int) -> tuple[list[float], float]:
        """The next `count` places when those before `taken` are given away, and up to where they are afterwards."""
        before = self.sends_until(taken)
        *times, end = (self.time_of(before + send) for send in range(count + 1))
        return times, end

    def sends_until(self, time: float) -> float:
        """How many sends it allows until then."""
        if time <= self._climbs:
            return self.pace * time * time / (2 * RAMP)
        return self.full * (time - self._climbs / 2)

    def time_of(self, sends: float) -> float:
        """When it has allowed so many: the inverse."""
        if sends <= self.full * self._climbs / 2:
            return sqrt(2 * RAMP * sends / self.pace)
        return sends / self.full + self._climbs / 2

    @property
    def _climbs(self) -> float:
        """Seconds until it is at its full pace."""
        return RAMP * self.full / self.pace
