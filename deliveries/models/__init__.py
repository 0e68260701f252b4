"""The ledger's tables: what we know about every notification, delivery, attempt, dead letter and worker.

The rows are the only truth about a notification. Only `deliveries.ledger` writes `status`; everything else reads.
"""

from __future__ import annotations

from deliveries.models.api_keys import ApiKey
from deliveries.models.audit import AuditEntry
from deliveries.models.brakes import Brake
from deliveries.models.dead_letters import DeadLetter
from deliveries.models.dead_tokens import DeadToken
from deliveries.models.notifications import Notification, PushAttempt, PushDelivery
from deliveries.models.status import ENDS, TRANSITIONS, Status
from deliveries.models.tallies import Tally
from deliveries.models.workers import Worker

__all__ = [
    "ENDS",
    "TRANSITIONS",
    "ApiKey",
    "AuditEntry",
    "Brake",
    "DeadLetter",
    "DeadToken",
    "Notification",
    "PushAttempt",
    "PushDelivery",
    "Status",
    "Tally",
    "Worker",
]
