"""Ties the engine's life to the Dramatiq worker's: it starts before the worker consumes, and drains after it has stopped."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from django.conf import settings
from dramatiq import Broker, Middleware, Worker

if TYPE_CHECKING:
    from deliveries.engine import Engine

logger = logging.getLogger(__name__)

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h

_engine: Engine | None = None


def engine() -> Engine:
    """The engine of this process. Raises RuntimeError where none runs."""
    if _engine is None:
        raise RuntimeError("No engine runs in this process: only a Dramatiq worker (rundramatiq, or serve) has one.")
    return _engine


class EngineMiddleware(Middleware):
    """Starts and drains the engine. Django's models are imported late: Django builds the broker before its apps."""

    def before_worker_boot(self, broker: Broker, worker: Worker) -> None:
        """Starts the engine. Dramatiq would swallow an exception and run on without one, so a failure ends the process."""
        from deliveries.engine import Engine

        global _engine
        starting = Engine(_publisher(broker))
        try:
            starting.start()
        except Exception as error:
            logger.critical("The engine could not start: %s", error, exc_info=True)
            raise SystemExit(EXIT_CONFIG) from error
        _engine = starting

    def after_worker_shutdown(self, broker: Broker, worker: Worker) -> None:
        """Drains: before this hook the worker's threads still accept."""
        global _engine
        if _engine is not None:
            stopping, _engine = _engine, None
            stopping.drain(settings.PUSH.drain_grace)


def _publisher(broker: Any) -> Any:
    return broker.publish_dead_letter
