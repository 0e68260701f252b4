"""The ways off the sunny path: a notification ends here, is tried again later, or is no longer ours."""

from __future__ import annotations

from deliveries.models import Status


class Ended(Exception):
    """The notification is over, for a reason that a person can read. Raised by a step; the pipeline records it."""

    def __init__(self, status: Status, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.code = code
        self.reason = reason


class TryAgain(Exception):
    """The step could not be done now.

    `retry_after` is in seconds, None for the usual backoff; what burns no attempt is waited for until expiry.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        *,
        retry_after: float | None = None,
        burns_attempt: bool = True,
        http_status: int | None = None,
    ) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.retry_after = retry_after
        self.burns_attempt = burns_attempt
        self.http_status = http_status


class LostOwnership(Exception):
    """The row is no longer ours: another worker claimed it, or it ended meanwhile. Nothing more is ours to do."""


class NotAccepting(Exception):
    """The engine is stopping: what came goes back to where it came from, for another worker."""
