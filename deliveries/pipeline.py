"""The way of one notification, from whatever state the ledger shows it in:

1. resolve   who gets it             (recipients, the user service)
2. render    what it says            (rendering, the template service)
3. send      to every device         (the provider)
4. settle    ended, or due again     (the ledger)
5. report    how it ended            (reporting, the gateway)

Each landing is committed before the next step. Whatever is not the sunny path is a row that says what is next and when;
the coroutine ends there, and a dispatcher starts another one when the time has come.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from deliveries import tracing
from deliveries.addressing import address
from deliveries.endings import attempted, cancelled, dead_letter, device_gone, given_up, taken, verdict, what_ends_it
from deliveries.ledger import Abandon, Settle, Started, StartSends, Writer
from deliveries.ledger.change import Change
from deliveries.ledger.faults import describe, traceable
from deliveries.models import Status
from deliveries.outcomes import Ended, LostOwnership, TryAgain
from deliveries.recipients import Recipients
from deliveries.rendering import Renderer
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.sending import Sender
from deliveries.wall_clock import Now
from deliveries.work import Delivery, Work

logger = logging.getLogger(__name__)


class Pipeline:
    """Carries notifications. It holds no state of theirs: that is all in the `Work` and in the ledger."""

    def __init__(
        self,
        writer: Writer,
        recipients: Recipients,
        renderer: Renderer,
        sender: Sender,
        reporter: Reporter,
        retries: RetryPolicy,
        alive: Callable[[], bool],
        now: Now,
    ) -> None:
        self._writer = writer
        self._recipients = recipients
        self._renderer = renderer
        self._sender = sender
        self._reporter = reporter
        self._retries = retries
        self._alive = alive
        self._now = now

    async def carry(self, work: Work) -> None:
        """Takes the notification as far as it goes now. Returns when it is reported, put down, or no longer ours."""
        tracing.follow(work.id, work.request.correlation_id)
        try:
            if not work.ended:
                await self._deliver(work)
            if work.ended and self._alive():  # when late, another may be reporting it: left to the dispatchers
                work.stage = "report"
                await self._writer.write(await self._reporter.report(work))
        except LostOwnership:
            logger.warning("Another worker has this notification now, or the heartbeat is late: left alone")

    async def _deliver(self, work: Work) -> None:
        try:
            await self._advance(work)
        except LostOwnership:
            raise
        except Exception as bug:
            logger.error(  # noqa: TRY400 - the traceback of a database error stays out
                "A step failed for a reason that we did not think of: %s", describe(bug), exc_info=traceable(bug)
            )
            reason = f"An error of ours: {type(bug).__name__}. The log says more."
            await self._put_off(work, TryAgain("internal_error", reason))

    async def _advance(self, work: Work) -> None:
        """One round: as far as settling it. Raises LostOwnership."""
        try:
            if work.unfinished and (end := what_ends_it(work)):
                raise end
            started = await self._start(work)
            landings = await self._send(work, started)
            await self._settle(work, landings)
        except Ended as end:
            await self._end(work, end)
        except TryAgain as trouble:
            await self._put_off(work, trouble)

    async def _start(self, work: Work) -> list[Delivery]:
        """Resolves and renders what is new; claims the sends that are due. Raises Ended, TryAgain or LostOwnership."""
        if work.deliveries and not work.resolve_again:
            due = [d for d in work.deliveries if d.status == Status.PENDING and d.due_in <= 0]
            for delivery in due:  # it may be another one's since it was put down: the settings have changed
                delivery.provider = self._sender.provider_for(delivery.target)
            claim, gone = StartSends(work.id, work.fence, due), None
        else:
            claim, gone = await self._prepared(work)
        changes: list[Change] = [claim] if claim.deliveries else []
        if gone is not None:
            changes.append(gone)
        work.stage = "send"
        results = await self._writer.write(*changes) if changes else []
        return _begun(claim, results[0]) if claim.deliveries else []

    async def _prepared(self, work: Work) -> tuple[StartSends, Abandon | None]:
        """Looks up and renders. Returns what to send, and what to give up. Raises Ended or TryAgain."""
        work.stage = "resolve"
        devices = await self._recipients.devices_of(work.request)
        resolved = time.monotonic()
        work.stage = "render"
        content = await self._renderer.render(work.request)
        rendered = time.monotonic()
        due, gone = address(work, devices, content, self._sender.provider_for)
        now = time.monotonic()
        return StartSends(work.id, work.fence, due, now - resolved, now - rendered), device_gone(work, gone)

    async def _send(self, work: Work, deliveries: list[Delivery]) -> list[Change]:
        """Sends to all devices at once. Each landing is committed as it comes, but for the last: it is returned, to be
        committed together with what becomes of the notification.
        """
        in_the_air = len(deliveries)

        async def send(delivery: Delivery) -> list[Change]:
            nonlocal in_the_air
            landing = await self._sender.send(work, delivery)
            in_the_air -= 1
            if in_the_air:
                await self._writer.write(*landing)
                return []
            return landing

        if in_the_air == 1:
            return await send(deliveries[0])
        landings = await asyncio.gather(*map(send, deliveries), return_exceptions=True)
        for failure in landings:  # only now: the other sends are this coroutine's to the end
            if isinstance(failure, BaseException):
                raise failure
        return [change for landing in landings if isinstance(landing, list) for change in landing]

    async def _settle(self, work: Work, landings: list[Change]) -> None:
        """Commits what became of the notification by what became of its deliveries."""
        waiting = [d for d in work.deliveries if d.status == Status.PENDING]
        if waiting:
            first = min(waiting, key=lambda delivery: delivery.due_in)
            code, reason, wait = first.error_code, first.error_message, max(first.due_in, 0.0)
            await self._write_down(work, Status.PENDING, code, reason, landings, wait=wait)
            return
        await self._write_down(work, *verdict(work.deliveries), landings)

    async def _end(self, work: Work, end: Ended, *changes: Change) -> None:
        """Ends a notification for a reason of its own; deliveries that still waited end with it."""
        for delivery in work.deliveries:
            if delivery.status == Status.PENDING:
                delivery.status, delivery.error_code, delivery.error_message = (
                    end.status,
                    end.code,
                    end.reason,
                )
        status, code, reason = taken(work.deliveries) or (end.status, end.code, end.reason)
        abandoned = [Abandon(work.id, work.fence, end.status, end.code, end.reason)] if work.deliveries else []
        await self._write_down(work, status, code, reason, [*changes, *abandoned])

    async def _put_off(self, work: Work, trouble: TryAgain) -> None:
        """Puts the notification down until the next attempt, or ends it where that was the last one."""
        work.attempts += trouble.burns_attempt
        backoff = self._retries.trouble
        if trouble.burns_attempt and backoff.exhausted(work.attempts):
            end = Ended(Status.FAILED, "exhausted", given_up(work.attempts, trouble.reason))
            await self._end(work, end, attempted(work, "failed", trouble))
            return
        wait = trouble.retry_after if trouble.retry_after is not None else backoff.wait(work.attempts)
        outcome = "retry" if trouble.burns_attempt else "waiting"
        attempt = attempted(work, outcome, trouble, wait)
        await self._write_down(work, Status.PENDING, trouble.code, trouble.reason, [attempt], wait=wait)

    async def _write_down(
        self,
        work: Work,
        status: Status,
        code: str,
        reason: str,
        changes: list[Change],
        *,
        wait: float | None = None,
    ) -> None:
        """Commits the changes with the notification's new state, and a dead letter where its attempts are used up.

        Raises LostOwnership where it is no longer ours.
        """
        if status == Status.FAILED and code == "exhausted":
            changes = [*changes, dead_letter(work, reason)]
        settle = Settle(work.id, work.fence, status, work.attempts, code, reason, wait)
        *_, cancel_reason = await self._writer.write(*changes, settle)
        if cancel_reason is None:
            raise LostOwnership
        if cancel_reason:
            status, code, reason = Status.CANCELLED, "cancelled", cancel_reason
        work.status, work.error_code, work.error_message = status, code, reason
        work.crashes = 0  # as in the ledger: its report is counted anew
        work.ended_at = self._now() if wait is None else None
        logger.log(
            logging.DEBUG if status == Status.SENT else logging.INFO,
            "Notification %s",
            status if wait is None else f"due again in {min(wait, max(0.0, work.time_left)):.1f} s",
            extra={"code": code, "reason": reason},
        )


def _begun(claim: StartSends, started: Started) -> list[Delivery]:
    """The deliveries that the ledger lets go; others it may hold back.

    Raises Ended where somebody has cancelled them, or LostOwnership.
    """
    if started.cancel_reason:
        raise cancelled(started.cancel_reason)
    claimed = [delivery for delivery in claim.deliveries if delivery.send_token in started.ids]
    if not claimed:
        raise LostOwnership
    for delivery in claimed:
        delivery.begin(started.ids[delivery.send_token])
        delivery.once_dead = delivery.send_token in started.once_dead
        if hold := started.holds.get(delivery.send_token):
            delivery.hold(hold.status, hold.code, hold.reason, hold.wait)
    return [delivery for delivery in claimed if delivery.status == Status.SENDING]
