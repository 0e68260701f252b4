"""Which notification the running code is about, so that every log line it writes can say so."""

from contextvars import ContextVar

notification_id: ContextVar[str | None] = ContextVar("notification_id", default=None)
correlation_id: ContextVar[str | None] = ContextVar("correlation_id", default=None)


def follow(notification: str | None, correlation: str | None) -> None:
    """Names the notification for the log lines of this coroutine (or thread) from here on."""
    notification_id.set(notification)
    correlation_id.set(correlation)
