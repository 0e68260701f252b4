"""The audit log, written in the transaction of what it tells of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from psycopg import Cursor

from deliveries.ledger.change import rows
from deliveries.masking import conceal_text
from deliveries.models import AuditEntry

WRITE = """
INSERT INTO audit_log (actor, action, subject, reason, detail)
SELECT %(actor)s, %(action)s, subject, %(reason)s, detail
FROM json_to_recordset(%(rows)s::json) AS i(subject text, detail jsonb)
"""


#: Characters of a reason that are kept.
LONGEST_REASON = 500


@dataclass(frozen=True, slots=True)
class Audited:
    """Who does something, and why. `actor` is `user ada`, `key gateway` or `shell root@host`.

    The reason goes far (to the gateway, too), so what looks like a device token in it is masked.
    """

    actor: str
    reason: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", conceal_text(self.reason.replace("\0", "").strip())[:LONGEST_REASON])


def write_down(
    cursor: Cursor[Any], action: AuditEntry.Action, by: Audited, details: Mapping[str, dict[str, Any]]
) -> None:
    """One entry for each subject, with what else there is to know of it."""
    if not details:
        return
    entries = [{"subject": subject, "detail": detail} for subject, detail in details.items()]
    cursor.execute(WRITE, rows(entries) | {"actor": by.actor, "action": action.value, "reason": by.reason})
