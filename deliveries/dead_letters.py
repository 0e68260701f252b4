"""The dead-letter office: pays what is owed for dead letters, word to the gateway and a copy to the failed queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any

from deliveries.broker import NotPublished
from deliveries.ledger import Writer
from deliveries.ledger.faults import describe
from deliveries.ledger.mail import OwedCopies, OwedReports, PaidCopy, PaidReport
from deliveries.outcomes import TryAgain
from deliveries.reporting import Reporter
from deliveries.retries import Backoff
from deliveries.upstreams import Refusal

logger = logging.getLogger(__name__)

#: Publishes a body with a reason and headers to the failed queue; raises when that is not confirmed.
Publish = Callable[[bytes, str, dict[str, Any]], None]

TICK = 1.0
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
        self._backoff = backoff
        self._publish = publish
        self._executor = executor

    async def run(self) -> None:
        """Pays until cancelled, on a clock of its own: a slow gateway or RabbitMQ must not hold up the dispatcher."""
        while True:
            await asyncio.sleep(TICK)
            try:
                await self.tick()
            except Exception as error:  # noqa: BLE001 - the next round may go better
                logger.error("Dead letters could not be attended to: %s", describe(error))  # noqa: TRY400

    async def tick(self) -> None:
        """One round over what is due now."""
        [reports] = await self._writer.write(OwedReports())
        if reports:
            await self._writer.write(*await asyncio.gather(*map(self._report, reports)))
        [copies] = await self._writer.write(OwedCopies())
        for letter in copies:
            paid = await self._copy(letter)
            await self._writer.write(paid)
            if paid.wait is not None:
                break  # RabbitMQ is away, for the others too: they come again

    async def _report(self, letter: dict[str, Any]) -> PaidReport:
        try:
            await self._reporter.report_invalid(
                letter["notification_id"], letter["correlation_id"], "; ".join(letter["reasons"])
            )
        except Refusal as refusal:
            return PaidReport(letter["id"], f"{refusal.http_status}: {refusal.reason}")
        except TryAgain as trouble:
            wait = trouble.retry_after or self._backoff.wait(letter["report_attempts"] + 1)
            return PaidReport(letter["id"], trouble.reason, wait)
        return PaidReport(letter["id"])

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
