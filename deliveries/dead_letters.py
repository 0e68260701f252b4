"""The dead-letter office: pays what is owed for dead letters, word to the gateway and a copy to the failed queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from deliveries.broker import NotPublished
from deliveries.clock import every_tick
from deliveries.debts import Debts
from deliveries.ledger import Writer
from deliveries.ledger.mail import OwedCopies, OwedReports, PaidCopy, PaidReport
from deliveries.reporting import Reporter
from deliveries.retries import Backoff

logger = logging.getLogger(__name__)

#: Publishes a body with a reason and headers to the failed queue; raises when that is not confirmed.
Publish = Callable[[bytes, str, dict[str, Any]], None]

COPY_RETRY_WAIT = 30.0


class DeadLetterOffice:
    """Pays debts a few at a time; `publish` blocks, so it runs on `executor`."""

    def __init__(
        self,
        writer: Writer,
        reporter: Reporter,
        backoff: Backoff,
        publish: Publish,
        executor: Executor,
    ) -> None:
        self._writer = writer
        self._reporter = reporter
        self._reports = Debts(writer, OwedReports, PaidReport, self._report, backoff)
        self._publish = publish
        self._executor = executor

    async def run(self) -> None:
        """Pays until cancelled, on a clock of its own: a slow gateway or RabbitMQ must not hold up the dispatcher."""
        await every_tick(self.tick, "The dead-letter office")

    async def tick(self) -> None:
        """One round over what is due now."""
        await self._reports.pay()
        [copies] = await self._writer.write(OwedCopies())
        for letter in copies:
            paid = await self._copy(letter)
            await self._writer.write(paid)
            if paid.wait is not None:
                break  # RabbitMQ is away, for the others too: they come again

    async def _report(self, letter: dict[str, Any]) -> None:
        reasons = "; ".join(letter["reasons"])
        await self._reporter.report_invalid(letter["notification_id"], letter["correlation_id"], reasons)

    async def _copy(self, letter: dict[str, Any]) -> PaidCopy:
        headers = {"x-notification-id": letter["notification_id"] or "", "x-code": letter["code"]}
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(
                self._executor,
                self._publish,
                bytes(letter["body"]),
                "; ".join(letter["reasons"]),
                headers,
            )
        except NotPublished as error:
            logger.warning("A dead letter could not be copied to the failed queue: %s", error)
            return PaidCopy(letter["id"], COPY_RETRY_WAIT)
        return PaidCopy(letter["id"])
