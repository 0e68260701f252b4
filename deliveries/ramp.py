"""The ramp: after a pause sends climb evenly from nothing to their full pace, so that no stampede follows.

Google asks for it: https://firebase.google.com/docs/cloud-messaging/scale-fcm. Every send of the ramp has a place of
its own on it, in seconds since its beginning, so that nobody has to ask twice.
"""

from __future__ import annotations

from math import sqrt

#: Seconds until the full pace is reached. Where more wait than were sent by then, it climbs on as evenly: a pace that
#: was halved too often does not hold them up until they expire.
RAMP = 60.0


def places(taken: float, count: int, pace: float) -> tuple[list[float], float]:
    """The next `count` places when those before `taken` are given away, and up to where they are afterwards.

    `pace` is the full one, in sends per second.
    """
    before = sends_until(taken, pace)
    *times, end = (_time_of(before + send, pace) for send in range(count + 1))
    return times, end


def sends_until(time: float, pace: float) -> float:
    """How many sends the ramp allows until then."""
    return pace * time * time / (2 * RAMP)


def _time_of(sends: float, pace: float) -> float:
    """When the ramp has allowed so many: the inverse."""
    return sqrt(2 * RAMP * sends / pace)
