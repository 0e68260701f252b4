"""The invariants as questions to the ledger: each finds the ids of those that break it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and the query that finds who breaks it.

    `query` answers with one column `id`; `advice` says what to do where it finds any. What need not hold is a warning.
    """

    name: str
    promise: str
    advice: str
    query: str
    must_hold: bool = True


#: A NULL folds away and leaves the index on created_at to those with a value.
N_SINCE = "(%(since)s::timestamptz IS NULL OR n.created_at >= %(since)s)"
D_SINCE = "(%(since)s::timestamptz IS NULL OR d.created_at >= %(since)s)"

OPEN = "('pending', 'sending')"

#: True where a notification's worker is gone, for longer than its lease and the seconds of that parameter.
WORKER_GONE = """NOT EXISTS (
    SELECT FROM workers w WHERE w.id = n.worker_id
      AND w.heartbeat_at >= now() - make_interval(secs => %(lease)s) - make_interval(secs => {seconds}))"""

SOMEBODY_WORKS = "EXISTS (SELECT FROM workers WHERE heartbeat_at >= now() - make_interval(secs => %(lease)s))"

CHECKS = (
    Check(
        "I3",
        "Every ended notification is reported, refused by the gateway, or owed to it.",
        "Nobody will report these by themselves. This is a bug of ours: report it, with the ids.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.worker_id IS NULL AND n.next_attempt_at IS NULL AND n.status NOT IN {OPEN}
          AND n.reported_at IS NULL AND n.report_refused_at IS NULL AND {N_SINCE}""",
    ),
    Check(
        "I4",
        "Every notification that failed with `exhausted` has its dead letter.",
        "Resend them with `manage.py resend ID …`; a dead letter is missing for `redrive` to find.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.error_code = 'exhausted' AND n.status = 'failed' AND {N_SINCE} AND NOT EXISTS (
            SELECT FROM dead_letters l
            WHERE l.notification_id = n.notification_id AND l.code = 'exhausted' AND l.state <> 'redriven')""",
    ),
    # A discarded one stays discarded when its notification is resent or pruned.
    Check(
        "I4",
        "Every dead letter with `exhausted` that was not redriven is of a notification that failed so.",
        "Compare the dead letter with its notification; discard it where that was dealt with otherwise.",
        """
        SELECT l.id::text AS id FROM dead_letters l LEFT JOIN notifications n USING (notification_id)
        WHERE l.code = 'exhausted' AND (n.status, n.error_code) IS DISTINCT FROM ('failed', 'exhausted')
          AND (l.state = 'open' OR l.state = 'discarded' AND n.resends = 0)""",
    ),
    Check(
        "I4",
        "A dead letter is either no valid message, or exhausted.",
        "This version writes no other: ask who else writes to this database.",
        "SELECT id::text AS id FROM dead_letters WHERE code NOT IN ('invalid_message', 'exhausted')",
    ),
    Check(
        "I5",
        "No notification is `sending` whose worker is gone for longer than its lease and 10 seconds.",
        "Is a worker running? Start one with `manage.py rundramatiq`: it takes them up within its lease.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.worker_id IS NOT NULL AND n.status = 'sending' AND {WORKER_GONE.format(seconds="%(grace)s")}
        UNION ALL
        SELECT n.notification_id FROM notifications n
        WHERE n.worker_id IS NULL AND n.next_attempt_at IS NOT NULL AND n.status = 'sending'""",
    ),
    Check(
        "I5",
        "No delivery is `sending` under a notification that nobody has in work.",
        "Its outcome will never land. This is a bug of ours: report it, with the ids.",
        f"""
        SELECT d.notification_id AS id FROM push_deliveries d JOIN notifications n USING (notification_id)
        WHERE d.status = 'sending' AND n.worker_id IS NULL AND {D_SINCE}""",
    ),
    Check(
        "I2",
        "Every send that is counted as unknown has its line in the history.",
        "The count of possible repeats may be wrong for these.",
        f"""
        SELECT d.notification_id AS id FROM push_deliveries d
        WHERE d.unknown_count > 0 AND {D_SINCE} AND d.unknown_count > (
            SELECT count(*) FROM push_attempts a WHERE a.delivery_id = d.id AND a.outcome = 'unknown')""",
    ),
    Check(
        "I2",
        "No delivery was sent again by force more often than its notification was resent.",
        "The count of possible repeats may be wrong for these.",
        f"""
        SELECT d.notification_id AS id FROM push_deliveries d JOIN notifications n USING (notification_id)
        WHERE d.forced_resends > n.resends AND {D_SINCE}""",
    ),
    Check(
        "consistency",
        "Every open notification is due at some time, or in a worker's hands.",
        "Nobody will take these up by themselves. This is a bug of ours: report it, with the ids.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.worker_id IS NULL AND n.next_attempt_at IS NULL AND n.status IN {OPEN} AND {N_SINCE}""",
    ),
    Check(
        "consistency",
        "A notification that is `sent` has a delivery that is, or was before a forced resend.",
        "The gateway may have been told of a success that was none.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.status = 'sent' AND {N_SINCE} AND NOT EXISTS (
            SELECT FROM push_deliveries d
            WHERE d.notification_id = n.notification_id AND (d.status = 'sent' OR d.forced_resends > 0))""",
    ),
    Check(
        "consistency",
        "A notification that ended without being `sent` has no delivery that is, or was.",
        "The gateway may have been told of a failure that was none.",
        f"""
        SELECT DISTINCT n.notification_id AS id
        FROM notifications n JOIN push_deliveries d USING (notification_id)
        WHERE n.status NOT IN ('pending', 'sending', 'sent') AND (d.status = 'sent' OR d.forced_resends > 0)
          AND {N_SINCE}""",
    ),
    Check(
        "consistency",
        "Nothing that has ended has a delivery that has not.",
        "These deliveries will not be sent by themselves: `manage.py resend ID …` sends them.",
        f"""
        SELECT DISTINCT n.notification_id AS id
        FROM notifications n JOIN push_deliveries d USING (notification_id)
        WHERE d.status IN {OPEN} AND n.status NOT IN {OPEN} AND {D_SINCE}""",
    ),
    Check(
        "waiting",
        "While a worker is alive, nothing is overdue for more than five minutes.",
        "The workers have too much to do, or cannot: look at `manage.py doctor` and at their log.",
        f"""
        SELECT n.notification_id AS id FROM notifications n
        WHERE n.worker_id IS NULL AND n.next_attempt_at < now() - make_interval(secs => %(patience)s)
          AND {SOMEBODY_WORKS}
        UNION ALL
        SELECT n.notification_id FROM notifications n
        WHERE n.worker_id IS NOT NULL AND {WORKER_GONE.format(seconds="%(patience)s")} AND {SOMEBODY_WORKS}""",
        must_hold=False,
    ),
)

#: Sums over the deliveries: sends whose outcome nobody knows, and sends although it had been accepted before.
POSSIBLE_REPEATS = f"""
SELECT coalesce(sum(d.unknown_count), 0), coalesce(sum(d.forced_resends), 0) FROM push_deliveries d
WHERE (d.unknown_count > 0 OR d.forced_resends > 0) AND {D_SINCE}"""
