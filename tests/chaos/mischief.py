"""Faults at random, from one seed: what is done, when it is mended, and what was done in all."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.scene import Scene
from tests.world import WorkerProcess

Act = Callable[[], Callable[[], object] | None]


@dataclass
class Mischief:
    """Makes a fault every 5 to 15 s. Those that last are mended after 2 to 8 s; dead workers are started again.

    `died` has the logs of those that nobody killed or told to stop, with how they ended: there must be none.
    """

    scene: Scene
    random: random.Random
    workers: int
    made: Counter[str] = field(default_factory=Counter)
    died: list[str] = field(default_factory=list)
    _ended: list[WorkerProcess] = field(default_factory=list)
    _mend_at: list[tuple[float, Callable[[], object]]] = field(default_factory=list)
    _next: float = 0.0

    def start(self) -> None:
        self.alive = [self.scene.worker() for _ in range(self.workers)]
        for worker in self.alive:
            worker.wait_until_ready()
        self._next = time.monotonic() + 5

    def tick(self) -> None:
        """What is due now: a fault, its end, a worker that must be started again."""
        self._mend(time.monotonic())
        self._supervise()
        if time.monotonic() >= self._next:
            kind = self.random.choice(list(self._kinds()))
            self.made[kind] += 1
            mend = self._kinds()[kind]()
            if mend is not None:
                self._mend_at.append((time.monotonic() + self.random.uniform(2, 8), mend))
            self._next = time.monotonic() + self.random.uniform(5, 15)

    def end(self) -> None:
        """Mends everything, and sees to it that all workers are there."""
        self._mend(float("inf"))
        self.scene.database.come_back()
        self.scene.broker.come_back()
        self._supervise()

    def all_run(self) -> bool:
        """Whether all workers run; one that was told to stop in the last moment is replaced."""
        self._supervise()
        return all(worker.running for worker in self.alive)

    def _mend(self, now: float) -> None:
        for due, mend in list(self._mend_at):
            if due <= now:
                self._mend_at.remove((due, mend))
                mend()

    def _supervise(self) -> None:
        for worker in [worker for worker in self.alive if not worker.running]:
            if worker not in self._ended or worker.status not in (0, -signal.SIGKILL):
                self.died.append(f"{worker.log.name}: {worker.status}")
            self.alive[self.alive.index(worker)] = self.scene.worker()

    def _kinds(self) -> dict[str, Act]:
        scene = self.scene
        return {
            "worker killed": self._kill,
            "all workers killed": self._kill_all,
            "worker stopped": self._stop,
            "RabbitMQ killed": self._rabbit_killed,
            "RabbitMQ's connections closed": lambda: self._done(scene.rabbit.close_all_connections),
            "RabbitMQ away": lambda: self._lasting(scene.broker.go_away, scene.broker.come_back),
            "RabbitMQ frozen": lambda: self._lasting(scene.broker.freeze, scene.broker.thaw),
            "PostgreSQL restarted": lambda: self._done(scene.postgres.restart),
            "PostgreSQL away": lambda: self._lasting(scene.database.go_away, scene.database.come_back),
            "PostgreSQL frozen": lambda: self._lasting(scene.database.freeze, scene.database.thaw),
            "PostgreSQL slow": lambda: self._lasting(
                lambda: scene.database.slow_down(0.1), lambda: scene.database.slow_down(0)
            ),
            "PostgreSQL cut": lambda: self._done(scene.database.cut),
            "COMMIT's answer lost": lambda: self._done(
                lambda: scene.database.cut_after_commits(self.random.randint(1, 4))
            ),
            "FCM": lambda: self._service("fcm", "down", "html500", "quota", "slow", "reset", "reset-after-accept"),
            "users": lambda: self._service("users", "down", "html500", "slow", "reset"),
            "templates": lambda: self._service("templates", "down", "html500", "slow", "reset"),
            "gateway": lambda: self._service("gateway", "down", "slow", "reset", "reset-after-accept"),
        }

    def _kill(self) -> None:
        self.scene.kill(self._victim())

    def _kill_all(self) -> None:
        self._ended += self.alive
        self.scene.kill(*self.alive)

    def _stop(self) -> None:
        self._victim().tell_to_stop()

    def _victim(self) -> WorkerProcess:
        self._ended.append(self.random.choice(self.alive))
        return self._ended[-1]

    def _rabbit_killed(self) -> None:
        self.scene.rabbit.kill()
        self.scene.rabbit.start()

    def _service(self, service: str, *faults: str) -> None:
        fault = self.random.choice(faults)
        self.made[f"{service} {fault}"] += 1
        more = {"retry_after": 2} if fault == "quota" else {"latency_ms": 1500} if fault == "slow" else {}
        self.scene.sandbox.control(service, fault, seconds=round(self.random.uniform(1, 6), 1), **more)

    def _done(self, act: Callable[[], object]) -> None:
        act()

    def _lasting(self, act: Callable[[], object], mend: Callable[[], object]) -> Callable[[], object]:
        act()
        return mend
