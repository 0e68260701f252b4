"""Rows as the pipeline leaves them, written by SQL: thousands at once, of whatever age."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta

from django.db import connection

from sandbox.devices import token_for
from tests.world import query

LONG_AGO = timedelta(days=40)


def notifications(
    ids: Iterable[str],
    *,
    ago: timedelta = timedelta(minutes=30),
    status: str = "failed",
    error_code: str = "",
    reported: bool = True,
) -> list[str]:
    """Notifications of users who are called as they are, that ended so long ago and in no worker's hands."""
    ids = list(ids)
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO notifications (
                notification_id, user_id, template_id, correlation_id, source, request, status, error_code,
                accept_token, created_at, updated_at, ended_at, expires_at, reported_at)
            SELECT id, id, 'welcome', id, 'queue',
                   jsonb_build_object('notification_id', id, 'user_id', id, 'template_id', 'welcome',
                                      'correlation_id', id, 'variables', '{"name": "Ada"}'::jsonb),
                   %(status)s, %(code)s, 1, at, at, at, at + interval '1 h', CASE WHEN %(reported)s THEN at END
            FROM unnest(%(ids)s::text[]) id, (SELECT now() - %(ago)s) AS t(at)
            """,
            {"ids": ids, "status": status, "code": error_code, "ago": ago, "reported": reported},
        )
    return ids


def deliveries(ids: Iterable[str], *, status: str = "failed", error_code: str = "", platform: str = "android") -> None:
    """A delivery of each of these notifications, to the device that the sandbox's user service names."""
    ids = list(ids)
    query(
        """
        INSERT INTO push_deliveries (
            notification_id, user_id, device_token, platform, title, body, provider, status, error_code, attempts,
            created_at, updated_at)
        SELECT n.notification_id, n.user_id, i.token, %s, 'Hi', 'There', 'fcm', %s, %s, 3, n.created_at, n.ended_at
        FROM unnest(%s::text[], %s::text[]) AS i(id, token) JOIN notifications n ON n.notification_id = i.id
        """,
        platform,
        status,
        error_code,
        ids,
        [token_for(id, platform) for id in ids],
    )


def delivered(
    ids: Iterable[str], *, ago: timedelta = timedelta(minutes=30), status: str = "sent", error_code: str = ""
):
    """Notifications with one delivery each, both ended alike."""
    ids = notifications(ids, ago=ago, status=status, error_code=error_code)
    deliveries(ids, status=status, error_code=error_code)
    return ids


def unknown_sends(id: str, lines: int, counted: int) -> None:
    """So many sends of a notification whose outcome nobody knows: in the history, and counted on its delivery."""
    query("UPDATE push_deliveries SET unknown_count = %s WHERE notification_id = %s", counted, id)
    query(
        """
        INSERT INTO push_attempts (notification_id, delivery_id, stage, outcome, error_code)
        SELECT notification_id, id, 'send', 'unknown', 'unknown_outcome' FROM push_deliveries, generate_series(1, %s)
        WHERE notification_id = %s
        """,
        lines,
        id,
    )


def dead_letter(
    notification_id: str | None = None,
    *,
    code: str = "exhausted",
    state: str = "open",
    body: bytes = b"{}",
    reasons: str = '["Given up."]',
    ago: timedelta = timedelta(minutes=30),
) -> int:
    [[id]] = query(
        """
        INSERT INTO dead_letters (
            body_hash, body, size, code, reasons, notification_id, state, first_seen_at, last_seen_at)
        SELECT gen_random_uuid(), %s, %s, %s, %s::jsonb, %s, %s, at, at FROM (SELECT now() - %s::interval) AS t(at)
        RETURNING id
        """,
        body,
        len(body),
        code,
        reasons,
        notification_id,
        state,
        ago,
    )
    return id


def worker(*, silent: timedelta = timedelta(0)) -> str:
    """A worker whose heartbeat is that old; returns its id."""
    [[id]] = query(
        "INSERT INTO workers (id, host, pid, heartbeat_at) VALUES (gen_random_uuid(), 'test', 1, now() - %s::interval)"
        " RETURNING id",
        silent,
    )
    return str(id)
