"""Ties the engine's life to the Dramatiq worker's: up before the worker consumes, drained after it has stopped."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, ClassVar

from django.conf import settings
from dramatiq import Broker, Middleware, Worker

if TYPE_CHECKING:
    from deliveries.engine import Engine
    from deliveries.watchdog import Watchdog

logger = logging.getLogger(__name__)

#: Seconds for what is left after the drain: connections to close, a thread that publishes to a RabbitMQ which hangs.
LAST = 5.0
EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h


class EngineMiddleware(Middleware):
    """Starts, watches and drains the process's one engine."""

    running: ClassVar[Engine | None] = None
    watchdog: ClassVar[Watchdog | None] = None

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Starts it, or ends the process: Dramatiq would swallow an exception and run on without an engine."""
        from deliveries.engine import Engine  # noqa: PLC0415 - Django builds its broker before its models

        engine = Engine(broker.publish_dead_letter)  # type: ignore[attr-defined]
        try:
            engine.start()
        except Exception as error:
            logger.critical("The engine could not start: %s", error, exc_info=True)
            raise SystemExit(EXIT_CONFIG) from error
        EngineMiddleware.running = engine

    def after_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Watches engine and worker from now on: all of their threads are up."""
        from deliveries.watchdog import Watchdog  # noqa: PLC0415

        EngineMiddleware.watchdog = Watchdog(running_engine().stalls, worker, settings.PUSH.watchdog_timeout)
        EngineMiddleware.watchdog.start()
        running_engine().worker_threads = EngineMiddleware.watchdog.threads

    def before_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Lets go of the threads that wait for places; Dramatiq joins them before anything else."""
        if EngineMiddleware.watchdog is not None:
            EngineMiddleware.watchdog.stop()
        if EngineMiddleware.running is not None:
            EngineMiddleware.running.stop_accepting()

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Drains it: before this hook the worker's threads still accept. After it, nothing is worth waiting for."""
        from deliveries.watchdog import end_after  # noqa: PLC0415

        engine, EngineMiddleware.running = EngineMiddleware.running, None
        if engine is not None:
            engine.drain(settings.PUSH.drain_grace)
            end_after(LAST)


def running_engine() -> Engine:
    """The engine of this process. Raises RuntimeError where none runs."""
    if EngineMiddleware.running is None:
        raise RuntimeError("No engine runs in this process: only a Dramatiq worker (rundramatiq, or serve) has one.")
    return EngineMiddleware.running
