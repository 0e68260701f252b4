"""Selecting: the statements by which operators find what to resend and to redrive. They only read."""

from __future__ import annotations

# A unit is a delivery, or a notification that ended without any. The two halves of `coded` each have an index.
SELECTED = """
WITH coded AS (
    SELECT d.id FROM push_deliveries d WHERE d.error_code <> '' AND d.error_code = ANY(%(codes)s::text[])
    UNION
    SELECT d.id FROM notifications n JOIN push_deliveries d USING (notification_id)
    WHERE n.error_code <> '' AND n.error_code = ANY(%(codes)s::text[])
), unit AS (
    SELECT n.notification_id, n.resends, n.ended_at, d.id, d.status, d.error_code, d.unknown_count > 0 AND (
               SELECT a.outcome FROM push_attempts a WHERE a.delivery_id = d.id ORDER BY a.id DESC LIMIT 1
           ) = 'unknown' AS unknown
    FROM push_deliveries d JOIN notifications n USING (notification_id)
    WHERE d.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending')
      AND (%(codes)s::text[] IS NULL OR d.id IN (SELECT id FROM coded))
      AND (%(ids)s::text[] IS NULL OR d.notification_id = ANY(%(ids)s::text[]))
      AND (%(user)s::text IS NULL OR d.user_id = %(user)s::text)
      AND (%(since)s::timestamptz IS NULL OR n.ended_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR n.ended_at < %(until)s)
    UNION ALL
    SELECT n.notification_id, n.resends, n.ended_at, NULL, n.status, n.error_code, false
    FROM notifications n
    WHERE n.status = ANY(%(statuses)s::text[]) AND n.status NOT IN ('pending', 'sending')
      AND NOT EXISTS (SELECT FROM push_deliveries d WHERE d.notification_id = n.notification_id)
      AND (%(codes)s::text[] IS NULL OR n.error_code <> '' AND n.error_code = ANY(%(codes)s::text[]))
      AND (%(ids)s::text[] IS NULL OR n.notification_id = ANY(%(ids)s::text[]))
      AND (%(user)s::text IS NULL OR n.user_id = %(user)s::text)
      AND (%(since)s::timestamptz IS NULL OR n.ended_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR n.ended_at < %(until)s)
), target AS (
    SELECT notification_id, resends, ended_at, array_agg(id ORDER BY id) FILTER (WHERE id IS NOT NULL) AS deliveries
    FROM unit GROUP BY notification_id, resends, ended_at ORDER BY ended_at, notification_id LIMIT %(limit)s
)
"""

TARGETS = f"{SELECTED} SELECT notification_id, deliveries, resends FROM target ORDER BY ended_at, notification_id"

GROUPS = f"""
{SELECTED}
SELECT status, error_code, count(*), count(*) FILTER (WHERE unknown)
FROM unit WHERE notification_id IN (SELECT notification_id FROM target)
GROUP BY status, error_code ORDER BY count(*) DESC, status, error_code
"""

TARGET_COUNT = f"{SELECTED} SELECT count(*) FROM target"

LETTERS = """
WITH letter AS (
    SELECT * FROM dead_letters l
    WHERE CASE WHEN %(ids)s::bigint[] IS NULL THEN l.state = 'open' ELSE l.id = ANY(%(ids)s::bigint[]) END
      AND (%(code)s::text IS NULL OR l.code = %(code)s::text)
      AND (%(notification_id)s::text IS NULL OR l.notification_id = %(notification_id)s::text)
      AND (%(since)s::timestamptz IS NULL OR l.last_seen_at >= %(since)s)
      AND (%(until)s::timestamptz IS NULL OR l.last_seen_at < %(until)s)
      AND (%(text)s::text IS NULL OR EXISTS (
          SELECT FROM jsonb_array_elements_text(l.reasons) reason
          WHERE strpos(lower(reason), lower(%(text)s::text)) > 0))
)
"""

LETTER_IDS = f"{LETTERS} SELECT id FROM letter ORDER BY id"

LETTER_GROUPS = f"""
{LETTERS}
SELECT code, coalesce(reasons ->> 0, '') AS reason, count(*) FROM letter
GROUP BY code, reason ORDER BY count(*) DESC, code, reason
"""
