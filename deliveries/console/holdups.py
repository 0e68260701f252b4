"""What holds up more pushes than those of one device or topic: by whom, until when, how many wait, how long yet."""

from __future__ import annotations

from dataclasses import dataclass

from django.conf import settings
from django.utils import timezone

from deliveries.console.columns import brief, clock
from deliveries.console.fleet import title
from deliveries.masking import conceal_text
from deliveries.models import Brake
from deliveries.ramp import FAR, Ramp

#: So many are counted, and no more.
MOST_COUNTED = 10_000
#: A fleet with wrong credentials has a brake for each of its processes: so many are told of.
MOST_PROCESSES = 3

# Who waits bears the code of the brake, held back or refused itself, until it is sent or over: by the index of the
# codes there is hardly anybody else. What one process may not send others do, so for that nobody is counted.
WIDE = """
SELECT b.*, CASE WHEN b.scope = 'process' THEN 0 ELSE (SELECT count(*) FROM (
    SELECT FROM push_deliveries d
    WHERE d.error_code <> '' AND d.error_code = b.code AND d.status = 'pending' AND d.provider = b.provider
    LIMIT %(most)s) held) END AS waiting
FROM brakes b
WHERE b.scope IN ('operator', 'project', 'process')
  AND (b.until > now() OR b.until + make_interval(secs => greatest(b.taken, b.taken_urgent) - %(far)s) > now())
ORDER BY array_position(ARRAY['operator', 'project', 'process'], b.scope::text), b.set_at, b.key LIMIT 100
"""


@dataclass(frozen=True, slots=True)
class HoldUp:
    """A brake that is on, or whose ramp is crowded, and how many wait: MOST_COUNTED + 1 stands for more."""

    brake: Brake
    waiting: int

    @property
    def sentence(self) -> str:
        """What, since when, what it holds up, and what happens next."""
        tell = {Brake.Scope.OPERATOR: self._paused, Brake.Scope.PROCESS: self._shut_out}
        return tell.get(Brake.Scope(self.brake.scope), self._throttled)()

    @property
    def is_on(self) -> bool:
        return self.brake.until > timezone.now()

    @property
    def drains_in(self) -> float:
        """Seconds from now in which the last that waits has its turn, as far as is counted."""
        now, ramp = timezone.now(), Ramp(self.brake.pace, self.brake.full_pace)
        since = (now - self.brake.until).total_seconds()
        counted = ramp.time_of(ramp.sends_until(max(since, 0.0)) + self.waiting) - since
        return max(counted, (self.brake.last_turn - now).total_seconds() if self.waiting > MOST_COUNTED else 0.0)

    @property
    def waiting_words(self) -> str:
        return f"{counted(self.waiting, MOST_COUNTED)} waiting" if self.waiting else "nothing waiting"

    @property
    def queue(self) -> str:
        """`12,410 waiting, about 3 min to drain`."""
        return f"{self.waiting_words}, about {brief(self.drains_in)} to drain" if self.waiting else self.waiting_words

    @property
    def pace_words(self) -> str:
        brake = self.brake
        taken = max(brake.taken, brake.taken_urgent)
        last = f"; the last that wait have their turn {brief(taken)} after it" if taken else ""
        return f"then climbs to {brake.pace:,g} of {brake.full_pace:,g} sends a second{last}"

    def _throttled(self) -> str:
        ends = clock(self.brake.until)
        if self.is_on:
            since = f"since {clock(self.brake.set_at)}"
            return f"{who(self.brake)} throttled until {ends} UTC, {self.queue} ({self.brake.code} {since})."
        climbs = f"sends climb back to {self.brake.full_pace:,g} a second"
        return f"{who(self.brake)} was throttled until {ends} UTC, {self.queue}: {climbs} ({self.brake.code})."

    def _paused(self) -> str:
        name, since = title(self.brake.provider), clock(self.brake.set_at)
        advice = conceal_text(self.brake.advice).rstrip(".")
        if self.is_on:
            next_ = "Nothing is sent until somebody resumes it; what expires meanwhile ends as expired."
            return f"{name} paused since {since} UTC, {self.waiting_words}. {advice}. {next_}"
        climbs = f"sends climb back to {self.brake.full_pace:,g} a second"
        return f"{name} was resumed at {clock(self.brake.until)} UTC, {self.queue}: {climbs}."

    def _shut_out(self) -> str:
        name, next_ = title(self.brake.provider), f"Tried again at {clock(self.brake.until)}."
        advice = conceal_text(self.brake.advice)
        return (
            f"{name} does not let {conceal_text(self.brake.subject)} in since {clock(self.brake.set_at)} UTC: "
            f"{self.brake.code}. {advice} {next_}"
        )


def held_up() -> list[HoldUp]:
    """What is held up now, an operator's pauses first. One query."""
    brakes = Brake.objects.raw(WIDE, {"most": MOST_COUNTED + 1, "far": FAR})
    return [HoldUp(brake, brake.waiting) for brake in brakes]  # type: ignore[attr-defined]


def told(holdups: list[HoldUp]) -> list[HoldUp]:
    """Those that a person reads of: not each process of a fleet."""
    processes = [holdup for holdup in holdups if holdup.brake.scope == Brake.Scope.PROCESS]
    untold = processes[MOST_PROCESSES:]
    return [holdup for holdup in holdups if holdup not in untold]


def counted(number: int, most: int) -> str:
    """`12,410`, or `more than 10,000` where nobody counted on."""
    return f"more than {most:,}" if number > most else f"{number:,}"


def who(brake: Brake) -> str:
    """`FCM project demo`, where the project's name is known."""
    project = settings.PROVIDERS.get(brake.provider, {}).get("project_id")
    return f"{title(brake.provider)} project {project}" if project else title(brake.provider)
