"""The dead-token office: tells the user service which of its device tokens are dead, so that it forgets them."""

from __future__ import annotations

import logging
from datetime import UTC
from typing import Any

from deliveries import tracing
from deliveries.clock import every_tick
from deliveries.debts import Debts
from deliveries.ledger import Writer
from deliveries.ledger.dead_tokens import OwedDeadTokens, PaidDeadToken
from deliveries.masking import conceal_text
from deliveries.neighbours.profiles import filled
from deliveries.neighbours.upstreams import Refusal, Upstream
from deliveries.prune_guard import PruneGuard
from deliveries.retries import Backoff

logger = logging.getLogger(__name__)

#: The user service does not know the token, or the user, any more: what it was to be told, it knows.
GONE = frozenset({404, 410})

#: So many characters of a token are enough to find it in a text, even where the text was cut.
TELLING = 8


class DeadTokenOffice:
    """Pays debts to the user service; `call` is `METHOD /path`, in which `{user_id}` stands for the user.

    While `guard` holds tokens, it tells of none.
    """

    def __init__(self, writer: Writer, user_service: Upstream, call: str, backoff: Backoff, guard: PruneGuard) -> None:
        self._guard = guard
        self._user_service = user_service
        self._method, self._path = call.split(" ")
        self._debts = Debts(writer, OwedDeadTokens, PaidDeadToken, self._tell, backoff)

    async def run(self) -> None:
        """Pays until cancelled, on a clock of its own: a slow user service must not hold up the dispatcher."""
        await every_tick(self.tick, "The dead-token office")

    async def tick(self) -> None:
        """One round over what is due now."""
        if not self._guard.is_on:
            await self._debts.pay()

    async def _tell(self, row: dict[str, Any]) -> None:
        """Raises Refusal or TryAgain, neither of which quotes the token."""
        tracing.follow(row["notification_id"], row["correlation_id"])
        path = filled(self._path, user_id=row["user_id"])
        try:
            await self._user_service.call(self._method, path, row["correlation_id"], _document(row))
        except Refusal as refusal:
            if refusal.http_status in GONE:
                logger.info("The user service knows nothing of a dead token: taken as forgotten already")
                return
            reason = _without(row["device_token"], refusal.reason)
            logger.warning("The user service will not be told of a dead token: %d %s", refusal.http_status, reason)
            raise Refusal(refusal.http_status, reason) from None


def _document(row: dict[str, Any]) -> dict[str, Any]:
    """What the user service is told. A token that was registered later than `died_at` lives."""
    return {
        "user_id": row["user_id"],
        "token": row["device_token"],
        "platform": row["platform"],
        "reason": row["error_code"],
        "died_at": row["died_at"].astimezone(UTC).isoformat(),
    }


def _without(token: str, text: str) -> str:
    """Somebody else's words, unless they quote the token."""
    return "its answer quotes the token" if token[:TELLING] in text else conceal_text(text)
