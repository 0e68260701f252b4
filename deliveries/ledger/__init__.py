"""The ledger: the only code that writes a notification's rows, in set-based statements, by a group-committing writer.

A change is a small dataclass; the writer takes all changes of one kind that have gathered and hands them to the kind's
`apply`, which answers one result per change. Every change may be applied twice with the effect of once, for its
answer can be lost with the connection; only the count of a dead letter may then be one too high.
"""

from deliveries.ledger.accepting import Accept, Accepted, DeadLettered
from deliveries.ledger.braking import Braked, Lift, PausesOver, TidyBrakes
from deliveries.ledger.claiming import Claim, ClaimSuspects
from deliveries.ledger.dead_tokens import TokenAlive, TokenDied
from deliveries.ledger.pausing import Pause, Resume
from deliveries.ledger.releasing import Forgotten, ReleaseOrphans, ReleaseWorker
from deliveries.ledger.sending import Abandon, Landed, Started, StartSends
from deliveries.ledger.settling import Attempted, Reported, Settle
from deliveries.ledger.waking import Wake
from deliveries.ledger.writer import Writer

__all__ = [
    "Abandon",
    "Accept",
    "Accepted",
    "Attempted",
    "Braked",
    "Claim",
    "ClaimSuspects",
    "DeadLettered",
    "Forgotten",
    "Landed",
    "Lift",
    "Pause",
    "PausesOver",
    "ReleaseOrphans",
    "ReleaseWorker",
    "Reported",
    "Resume",
    "Settle",
    "StartSends",
    "Started",
    "TidyBrakes",
    "TokenAlive",
    "TokenDied",
    "Wake",
    "Writer",
]
