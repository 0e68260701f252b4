"""Reporting: the gateway hears how each notification ended, once; a report that did not get through stays owed."""

from __future__ import annotations

from datetime import datetime

from deliveries.ledger import Reported
from deliveries.models import Status
from deliveries.neighbours.profiles import Profile, Report
from deliveries.neighbours.upstreams import Refusal, Upstream
from deliveries.outcomes import TryAgain
from deliveries.retries import Backoff
from deliveries.wall_clock import Now
from deliveries.work import Work

GIVEN_UP = "Its worker stopped {} times in a row while it was telling the gateway of it: that is not tried again."


class Reporter:
    """Reports endings to the gateway, as the profile says; where there is none, nothing is owed to it."""

    def __init__(self, gateway: Upstream | None, profile: Profile, backoff: Backoff, now: Now) -> None:
        self._gateway = gateway
        self._profile = profile
        self._backoff = backoff
        self._now = now

    async def report(self, work: Work) -> Reported:
        """Tells the gateway how the notification ended and returns what it said to that.

        After a resend that ended as before, in the gateway's words, there is nothing new to tell. What stopped its
        worker again and again while it was told is given up.
        """
        if work.reported_status and self._profile.word(work.reported_status) == self._profile.word(work.status):
            return Reported(work.id, work.fence)
        if work.stops_workers:
            return Reported(work.id, work.fence, GIVEN_UP.format(work.crashes), refused=True)
        error = None if work.status == Status.SENT else work.error_message or work.error_code
        try:
            await self._tell(
                work.id,
                work.request.request_id,
                work.request.correlation_id,
                work.status,
                work.ended_at,
                error,
            )
        except Refusal as refusal:
            return Reported(work.id, work.fence, f"{refusal.http_status}: {refusal.reason}", refused=True)
        except TryAgain as trouble:
            # Slower and slower also while the breaker is open: what is owed must not keep the ledger from sending.
            wait = self._backoff.wait(work.report_attempts + 1, trouble.retry_after)
            return Reported(work.id, work.fence, trouble.reason, wait=wait)
        return Reported(work.id, work.fence)

    async def report_invalid(self, notification_id: str, correlation_id: str, reason: str) -> None:
        """Tells the gateway that a message was not accepted; raises Refusal or TryAgain."""
        await self._tell(notification_id, None, correlation_id or notification_id, Status.FAILED, None, reason)

    async def _tell(
        self,
        notification_id: str,
        request_id: str | None,
        correlation_id: str,
        status: Status,
        at: datetime | None,
        error: str | None,
    ) -> None:
        """One report; a gateway that does not know the notification's id may know its request's."""
        if self._gateway is None:
            return
        report = Report(notification_id, status, at or self._now(), error)
        method, path, body = self._profile.told(report)
        try:
            await self._gateway.call(method, path, correlation_id, body)
        except Refusal as refusal:
            is_unknown = refusal.http_status == 404 or refusal.http_status < 300
            if not is_unknown or request_id is None or request_id == notification_id:
                raise
            await self._tell(request_id, None, correlation_id, status, report.at, error)
