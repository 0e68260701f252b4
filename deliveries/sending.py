"""Sending: one claimed delivery goes to the provider, and the answer becomes the delivery's next state."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from deliveries.brakes import Brakes
from deliveries.endings import DRY_RUN
from deliveries.ledger import Attempted, Landed
from deliveries.ledger.change import Change
from deliveries.ledger.holding import NOT_MINE
from deliveries.models import Status
from deliveries.retries import RetryPolicy
from deliveries.token_fates import TokenFates
from deliveries.wall_clock import Now
from deliveries.work import Delivery, Work
from providers.base import PushMessage, Target
from providers.errors import LET_IN, ProviderError, UnknownOutcome
from providers.registry import Carriers

logger = logging.getLogger(__name__)

WOULD_BE_TAKEN = "It was checked and would be taken; nothing was sent."


class Sender:
    """Sends each delivery through the provider that carries it; `alive` says whether this worker may start sends."""

    def __init__(
        self,
        carriers: Carriers,
        retries: RetryPolicy,
        brakes: Brakes,
        fates: TokenFates,
        alive: Callable[[], bool],
        now: Now,
    ) -> None:
        self._carriers = carriers
        self._retries = retries
        self._brakes = brakes
        self._fates = fates
        self._alive = alive
        self._now = now

    def provider_for(self, target: Target) -> str:
        """The name of the provider that carries pushes to such a target; "" where none does."""
        return self._carriers.name_for(target)

    async def send(self, work: Work, delivery: Delivery) -> list[Change]:
        """Sends it, sets its new state, and returns the changes that the ledger must hear of."""
        assert delivery.id is not None
        if not self._alive():  # others may take it over any moment: nothing was sent, so it is simply due again
            delivery.status, delivery.due_in = Status.PENDING, 0.0
            return [Landed(delivery.id, delivery.send_token, Status.PENDING, burnt=0, wait=0.0)]
        began_at, started = self._now(), time.monotonic()
        try:
            receipt = await self._carriers.send(message_of(work, delivery, began_at))
        except ProviderError as error:
            failed = self._failed(work, delivery, error, time.monotonic() - started)
            return [*failed, *self._consequences(work, delivery, error, began_at, started)]
        except Exception as bug:
            logger.exception("A send failed for a reason that we did not think of")
            unknown = UnknownOutcome("internal_error", f"An error of ours: {type(bug).__name__}. The log says more.")
            return self._failed(work, delivery, unknown, time.monotonic() - started)
        self._brakes.let_in(delivery.provider, started)
        if work.request.dry_run:
            return [self._tried(delivery)]
        delivery.status = Status.SENT
        landed = Landed(delivery.id, delivery.send_token, Status.SENT, receipt.provider_message_id)
        return [landed, *self._fates.accepted(delivery, began_at)]

    def _tried(self, delivery: Delivery) -> Landed:
        """Its dry run went well. That is no send, and its receipt names nothing."""
        assert delivery.id is not None
        delivery.status, delivery.error_code, delivery.error_message = Status.SKIPPED, DRY_RUN, WOULD_BE_TAKEN
        return Landed(
            delivery.id, delivery.send_token, Status.SKIPPED, error_code=DRY_RUN, error_message=WOULD_BE_TAKEN
        )

    def _failed(self, work: Work, delivery: Delivery, error: ProviderError, seconds: float) -> list[Change]:
        assert delivery.id is not None
        delivery.attempts += error.burns_attempt
        delivery.error_code, delivery.error_message = error.code, error.advice
        wait = self._wait(work, delivery, error)
        delivery.status = Status.FAILED if wait is None else Status.PENDING
        delivery.due_in = wait or 0.0
        landed = Landed(
            delivery.id,
            delivery.send_token,
            delivery.status,
            error_code=delivery.error_code,
            error_message=delivery.error_message,
            burnt=int(error.burns_attempt),
            unknown=int(error.outcome_unknown),
            exhausted=delivery.exhausted,
            wait=wait,
        )
        history = Attempted(
            work.id,
            "send",
            _outcome(error, wait),
            error.code,
            error.advice,
            delivery.id,
            error.http_status,
            wait,
            seconds * 1000,
        )
        return [landed, history]

    def _consequences(
        self, work: Work, delivery: Delivery, error: ProviderError, began_at: datetime, started: float
    ) -> Iterator[Change]:
        """What the answer means for sends to come: the token is not tried again for a while, or a brake is on, or off.

        `started` is when the send began by the monotonic clock.
        """
        if isinstance(error, LET_IN) and error.http_status is not None:
            self._brakes.let_in(delivery.provider, started)
        yield from self._fates.failed(work, delivery, error, began_at)
        if error.brakes is not None and error.retry_after is not None:
            yield from self._brakes.on(delivery, error.brakes, error.code, error.advice, error.retry_after, started)

    def _wait(self, work: Work, delivery: Delivery, error: ProviderError) -> float | None:
        """Seconds until it is sent again; None when it is not."""
        if error.outcome_unknown and work.request.guarantee == "at_most_once":
            delivery.error_code = "unknown_outcome"
            return None
        if not error.retryable:
            return None
        backoff = self._retries.trouble
        if error.burns_attempt and backoff.exhausted(delivery.attempts):
            delivery.exhausted = True
            return None
        if error.brakes == "process":
            return NOT_MINE
        if error.retry_after is not None:
            return error.retry_after * (1 + 0.1 * random.random())  # noqa: S311 - not all at the same instant
        if error.first_wait is not None:
            backoff = self._retries.from_first_wait(error.first_wait)
        return backoff.wait(delivery.attempts)


def _outcome(error: ProviderError, wait: float | None) -> str:
    """What the history calls a send that gave no receipt."""
    if error.outcome_unknown:
        return "unknown"
    if wait is None:
        return "failed"
    return "retry" if error.burns_attempt else "waiting"


def message_of(work: Work, delivery: Delivery, now: datetime) -> PushMessage:
    """What the provider is given."""
    request = work.request
    return PushMessage(
        notification_id=work.id,
        device_token=delivery.device_token,
        target=delivery.target,
        title=delivery.title,
        body=delivery.body,
        image=request.image,
        link=request.link,
        click_action=request.click_action,
        data=delivery.data,
        high_priority=work.high_priority,
        ttl=max(0, int(work.time_left)),
        sent_at=now.timestamp(),
        badge=request.badge,
        sound=request.sound,
        channel_id=request.channel_id,
        collapse_key=request.collapse_key,
        analytics_label=request.analytics_label,
        data_only=request.data_only,
        dry_run=request.dry_run,
    )
