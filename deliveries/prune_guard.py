"""The prune guard: where too many tokens die at once, they are not believed to be dead.

Credentials of another project, or a fault of the provider's, look as if every device were gone: whoever forgot all of
them could reach nobody any more. So the verdicts of all processes are counted, for each provider. While more than a
settable share of them say dead, those tokens are held: they are tried as usual, and the user service is not told. A
person decides what becomes of them. The last minute shows at once that all goes wrong, after however long a time in
which all was well; the last hour shows it where little is sent. docs/dead-tokens.md tells the whole story.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any

from deliveries.clock import every_tick
from deliveries.ledger import Writer
from deliveries.ledger.judging import BATCH, HoldDeadTokens, RecentlyHeld

logger = logging.getLogger(__name__)

#: Seconds over which verdicts are counted, and in how many steps they are forgotten.
MINUTE, HOUR = WINDOWS = (60, 3600)
STEPS = 20
#: Seconds for which verdicts are counted before they go into the windows.
FRESH = 1.0
#: So few dead tokens are believed, whatever their share.
FEWEST = 50
#: Seconds after which tokens are held again: such as died while word of the guard was on the way to their worker.
AGAIN = 60.0


@dataclass(frozen=True, slots=True)
class Verdicts:
    """How many sends of a window the provider accepted, and how many tokens it called dead or another project's."""

    accepted: int = 0
    dead: int = 0

    def __add__(self, other: Verdicts) -> Verdicts:
        return Verdicts(self.accepted + other.accepted, self.dead + other.dead)

    @property
    def share(self) -> float:
        """Of the dead ones, 0 to 1."""
        return self.dead / max(1, self.accepted + self.dead)

    def in_words(self, provider: str) -> str:
        return f"{self.dead} of the last {self.accepted + self.dead} verdicts of {provider} say that the token is dead"


#: What other workers have counted, by provider and window.
Others = Callable[[], dict[tuple[str, int], Verdicts]]


class Window:
    """Verdicts of the last so many seconds."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self._steps: deque[tuple[float, Counter[tuple[str, bool]]]] = deque()

    def add(self, counted: Counter[tuple[str, bool]], now: float) -> None:
        """What was counted about then."""
        if not self._steps or self._steps[-1][0] < now - self.seconds / STEPS:
            self._steps.append((now, Counter()))
            while self._steps[0][0] < now - self.seconds:
                self._steps.popleft()
        self._steps[-1][1].update(counted)

    def of(self, provider: str) -> Verdicts:
        young = [counts for begun, counts in self._steps if begun >= time.monotonic() - self.seconds]
        return Verdicts(sum(c[provider, False] for c in young), sum(c[provider, True] for c in young))

    def providers(self) -> set[str]:
        """Those of which it has counted any, perhaps a little longer ago."""
        return {provider for _, counts in self._steps for provider, _ in counts}


class PruneGuard:
    """Counts for this process; `holds` goes by what all have counted. `limit` is a share, 1 is never."""

    def __init__(self, writer: Writer, limit: float, others: Others) -> None:
        self._writer = writer
        self._limit = limit
        self._others = others
        self._windows = [Window(seconds) for seconds in WINDOWS]
        self._fresh: Counter[tuple[str, bool]] = Counter()  # not in the windows yet
        self._fresh_since = 0.0
        self._held_before: frozenset[str] = frozenset()
        self._began = time.monotonic()
        self._stopped: frozenset[str] = frozenset()
        self._hold_at = 0.0

    def count(self, provider: str, *, dead: bool) -> None:
        """One verdict: hardly more than an addition, as there is one for every send."""
        now = time.monotonic()
        if now > self._fresh_since + FRESH:
            self._filled()
            self._fresh_since = now
        self._fresh[provider, dead] += 1

    def told(self, provider: str) -> dict[str, Any]:
        """What the heartbeat tells of this process: its own verdicts, and whether it holds."""
        windows = [{"seconds": window.seconds, **asdict(window.of(provider))} for window in self._filled()]
        return {"windows": windows, "stopped": self.holds(provider)}

    def holds(self, provider: str) -> bool:
        """Whether a token that this provider calls dead is not believed to be. It knows no past: all come to the same.

        But for the past of before a restart, of which only the held tokens are left: then no fifty have to die first.
        """
        return any(
            verdicts.dead >= self._fewest(provider, seconds) and verdicts.share > self._limit
            for seconds, verdicts in self._all(provider)
        )

    @property
    def is_on(self) -> bool:
        """Whether it holds anything."""
        return any(map(self.holds, self._providers()))

    async def run(self) -> None:
        """Watches until cancelled."""
        [held] = await self._writer.write(RecentlyHeld(HOUR))
        self._held_before = frozenset(held)
        await every_tick(self.tick, "The prune guard")

    async def tick(self) -> None:
        """Says what begins and what ends, and holds a batch of what has died in this hour."""
        stopped = frozenset(filter(self.holds, self._providers()))
        for provider in sorted(stopped - self._stopped):
            self._say_that_it_begins(provider)
        for provider in sorted(self._stopped - stopped):
            logger.warning(
                "Pruning goes on: the share of dead tokens of %s is normal again. What is held stays held until "
                "somebody decides, in the console's list of dead tokens: believe or forget",
                provider,
            )
        if stopped - self._stopped or (stopped and time.monotonic() >= self._hold_at):
            [held] = await self._writer.write(HoldDeadTokens(sorted(stopped), HOUR))
            self._hold_at = time.monotonic() + (AGAIN if held < BATCH else 0.0)
        self._stopped = stopped

    def _say_that_it_begins(self, provider: str) -> None:
        logger.error(
            "Pruning has stopped: %s, more than DEAD_TOKEN_LIMIT (%g) allows. Those tokens are tried on, and the user "
            "service is not told of them. Check the credentials of %s and its project (FCM_PROJECT_ID). If they are "
            "right, the console's list of dead tokens is where to believe what is held",
            worst(verdicts for _, verdicts in self._all(provider)).in_words(provider),
            self._limit,
            provider,
        )

    def _providers(self) -> set[str]:
        return {provider for provider, _ in self._others()}.union(*(window.providers() for window in self._filled()))

    def _all(self, provider: str) -> list[tuple[int, Verdicts]]:
        """What all workers have counted, by window."""
        others = self._others()
        return [(w.seconds, w.of(provider) + others.get((provider, w.seconds), Verdicts())) for w in self._filled()]

    def _filled(self) -> list[Window]:
        """The windows, with all that was counted."""
        if self._fresh:
            for window in self._windows:
                window.add(self._fresh, self._fresh_since)
            self._fresh.clear()
        return self._windows

    def _fewest(self, provider: str, seconds: int) -> int:
        is_young = time.monotonic() - self._began < HOUR
        return 1 if seconds == HOUR and is_young and provider in self._held_before else FEWEST


def worst(verdicts: Iterable[Verdicts]) -> Verdicts:
    """Of one provider's windows the one to speak of: the greatest share, where that is of enough to say anything."""
    return max(verdicts, key=lambda one: (one.dead >= FEWEST, one.share))


def stopped(told: Iterable[dict[str, Any]]) -> dict[str, Verdicts]:
    """The providers for which any living worker has stopped pruning, with the verdicts of all.

    `told` is what each worker's heartbeat tells of the services around it.
    """
    verdicts: dict[str, dict[int, Verdicts]] = defaultdict(lambda: defaultdict(Verdicts))
    where: set[str] = set()
    for of_one_worker in told:
        for provider, state in of_one_worker.items():
            counted = state.get("verdicts", {"windows": [], "stopped": False})
            for window in counted["windows"]:
                verdicts[provider][window["seconds"]] += Verdicts(window["accepted"], window["dead"])
            where |= {provider} if counted["stopped"] else set()
    return {provider: worst(verdicts[provider].values()) for provider in sorted(where)}
