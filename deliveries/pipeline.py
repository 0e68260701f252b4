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
from datetime import UTC, datetime

from deliveries import tracing
from deliveries.ledger import Abandon, Attempted, DeadLettered, Settle, StartSends, Writer
from deliveries.ledger.change import Change
from deliveries.models import Status
from deliveries.outcomes import Ended, LostOwnership, TryAgain
from deliveries.recipients import Recipients
from deliveries.rendering import Renderer, payload_data
from deliveries.reporting import Reporter
from deliveries.retries import RetryPolicy
from deliveries.sending import Sender
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
    ) -> None:
        self._writer = writer
        self._recipients = recipients
        self._renderer = renderer
        self._sender = sender
        self._reporter = reporter
        self._retries = retries

    async def carry(self, work: Work) -> None:
        """Takes the notification as far as it goes now. Returns when it is reported, put down, or no longer ours."""
        tracing.follow(work.id, work.request.correlation_id)
        try:
            if not work.ended:
                await self._deliver(work)
            if work.ended:
                await self._writer.write(await self._reporter.report(work))
        except LostOwnership:
            logger.warning("Another worker has this notification now, or the heartbeat is late: left alone")

    async def _deliver(self, work: Work) -> None:
        try:
            if work.time_left <= 0:
                raise Ended(Status.EXPIRED, "expired", _expired(work))
            started = await self._start(work)
            landings = await self._send(work, started)
            await self._settle(work, landings)
        except Ended as end:
            await self._end(work, end)
        except TryAgain as trouble:
            await self._put_off(work, trouble)

    async def _start(self, work: Work) -> list[Delivery]:
        """Resolves and renders what is new; claims the sends that are due. Raises Ended, TryAgain or LostOwnership."""
        if work.deliveries:
            due = [d for d in work.deliveries if d.status == Status.PENDING and d.due_in <= 0]
            claim = StartSends(work.id, work.fence, due)
        else:
            claim = await self._prepared(work)
            due = work.deliveries
        if not due:
            return []
        [ids] = await self._writer.write(claim)
        started = [delivery for delivery in due if delivery.begin(ids)]
        if not started:
            raise LostOwnership
        return started

    async def _prepared(self, work: Work) -> StartSends:
        work.stage = "resolve"
        try:
            devices = await self._recipients.devices_of(work.request)
            resolved = time.monotonic()
            work.stage = "render"
            content = await self._renderer.render(work.request)
            rendered = time.monotonic()
        except (Ended, TryAgain):
            raise
        except Exception as bug:
            logger.exception("A step failed for a reason that we did not think of")
            raise TryAgain(
                "internal_error",
                f"An error of ours: {type(bug).__name__}. The log has the traceback.",
            ) from bug
        data = payload_data(work.request)
        work.deliveries = [
            Delivery(
                work.id, work.request.user_id, device.token, device.platform, content.title, content.body, data,
                self._sender.provider_name,
            )
            for device in devices
        ]  # fmt: skip
        now = time.monotonic()
        return StartSends(work.id, work.fence, work.deliveries, now - resolved, now - rendered)

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
        landings = await asyncio.gather(*(send(delivery) for delivery in deliveries))
        return [change for landing in landings for change in landing]

    async def _settle(self, work: Work, landings: list[Change]) -> None:
        """Commits what became of the notification by what became of its deliveries."""
        waiting = [d for d in work.deliveries if d.status == Status.PENDING]
        if waiting:
            first = min(waiting, key=lambda delivery: delivery.due_in)
            code, reason, wait = first.error_code, first.error_message, max(first.due_in, 0.0)
            await self._write_down(work, Status.PENDING, code, reason, landings, wait=wait)
            return
        status, code, reason = verdict(work.deliveries)
        if code == "exhausted":
            landings = [*landings, _dead_letter(work, reason)]
        await self._write_down(work, status, code, reason, landings)

    async def _end(self, work: Work, end: Ended) -> None:
        """Ends a notification for a reason of its own; deliveries that still waited end with it."""
        for delivery in work.deliveries:
            if delivery.status == Status.PENDING:
                delivery.status, delivery.error_code, delivery.error_message = (
                    end.status,
                    end.code,
                    end.reason,
                )
        status = Status.SENT if any(d.status == Status.SENT for d in work.deliveries) else end.status
        code, reason = ("", "") if status == Status.SENT else (end.code, end.reason)
        abandoned: list[Change] = []
        if work.deliveries:
            abandoned.append(Abandon(work.id, work.fence, end.status, end.code, end.reason))
        await self._write_down(work, status, code, reason, abandoned)

    async def _put_off(self, work: Work, trouble: TryAgain) -> None:
        """Puts the notification down until the next attempt, or ends it where that was the last one."""
        work.attempts += trouble.burns_attempt
        backoff = self._retries.trouble
        if trouble.burns_attempt and backoff.exhausted(work.attempts):
            reason = _given_up(work.attempts, trouble.reason)
            changes: list[Change] = [_attempted(work, "failed", trouble), _dead_letter(work, reason)]
            await self._write_down(work, Status.FAILED, "exhausted", reason, changes)
            return
        wait = trouble.retry_after if trouble.retry_after is not None else backoff.wait(work.attempts)
        outcome = "retry" if trouble.burns_attempt else "waiting"
        changes = [_attempted(work, outcome, trouble, wait)]
        await self._write_down(work, Status.PENDING, trouble.code, trouble.reason, changes, wait=wait)

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
        """Commits the changes with the notification's new state. Raises LostOwnership where it is no longer ours."""
        settle = Settle(work.id, work.fence, status, work.attempts, code, reason, wait)
        *_, settled = await self._writer.write(*changes, settle)
        if not settled:
            raise LostOwnership
        work.status, work.error_code, work.error_message = status, code, reason
        work.ended_at = datetime.now(UTC) if wait is None else None
        logger.log(
            logging.DEBUG if status == Status.SENT else logging.INFO,
            "Notification %s",
            status if wait is None else f"due again in {wait:.1f} s",
            extra={"code": code, "reason": reason},
        )


def verdict(deliveries: list[Delivery]) -> tuple[Status, str, str]:
    """How a notification ended, by its deliveries: status, error code and reason. Sent when any of them is."""
    if any(d.status == Status.SENT for d in deliveries):
        return Status.SENT, "", ""
    worst = next((d for d in deliveries if d.exhausted), deliveries[0])
    if worst.exhausted:
        return worst.status, "exhausted", _given_up(worst.attempts, worst.error_message)
    return worst.status, worst.error_code, worst.error_message


def _given_up(attempts: int, reason: str) -> str:
    return f"Given up after {attempts} attempts. The last of them: {reason}"


def _expired(work: Work) -> str:
    if work.error_message:
        return f"Its time was up before it could be sent. Until then: {work.error_message}"
    return "Its time was up before it could be sent."


def _attempted(work: Work, outcome: str, trouble: TryAgain, wait: float | None = None) -> Attempted:
    return Attempted(work.id, work.stage, outcome, trouble.code, trouble.reason, None, trouble.http_status, wait)


def _dead_letter(work: Work, reason: str) -> DeadLettered:
    body = work.request.as_json()
    return DeadLettered(
        body,
        "exhausted",
        [reason],
        work.id,
        work.request.correlation_id,
        fence=work.fence,
        copy_owed=True,
    )
