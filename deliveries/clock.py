"""The clock of whatever does its round once a second, for as long as the engine lives."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from deliveries.ledger.faults import describe

logger = logging.getLogger(__name__)

TICK = 1.0


async def every_tick(go_round: Callable[[], Awaitable[None]], who: str) -> None:
    """Goes round until cancelled. A round that fails is logged in the name of `who`, and the next one comes."""
    while True:
        await asyncio.sleep(TICK)
        try:
            await go_round()
        except Exception as error:  # noqa: BLE001 - the next round may go better
            logger.error("%s could not do its round: %s", who, describe(error))  # noqa: TRY400
