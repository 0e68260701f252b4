"""Token fates: what a provider's answer says of the token itself, and for how long it is taken at its word."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from deliveries.ledger import TokenAlive, TokenDied
from deliveries.prune_guard import PruneGuard
from deliveries.work import Delivery, Work
from providers.errors import ProviderError

#: Seconds for which a token of another project's is not tried again, at most: it may well be ours, and the credentials
#: another project's.
QUARANTINE = 24 * 3600.0


class TokenFates:
    """Dead tokens are remembered for `memory` seconds; `tells` says whether the user service is told of them.

    What is said of a topic says nothing of any token. Neither does a dry run, whatever comes of it: were only its dead
    tokens counted, and not what would be accepted, they would soon be too many.
    """

    def __init__(self, guard: PruneGuard, memory: float, *, tells: bool) -> None:
        self._guard = guard
        self._memory = memory
        self._tells = tells

    def accepted(self, delivery: Delivery, began_at: datetime) -> Iterator[TokenAlive]:
        """The provider took a send that began at that time: whatever was said of its token before, it lives."""
        if delivery.target != "topic":
            self._guard.count(delivery.provider, dead=False)
        if delivery.once_dead:
            yield TokenAlive(delivery.device_token, began_at)

    def failed(self, work: Work, delivery: Delivery, error: ProviderError, began_at: datetime) -> Iterator[TokenDied]:
        """Where the provider calls the token dead, or another project's: is it to be believed?"""
        if error.fate == "kept" or delivery.target == "topic" or work.request.dry_run:
            return
        assert delivery.id is not None
        self._guard.count(delivery.provider, dead=True)
        yield TokenDied(
            work.id,
            delivery.id,
            delivery.user_id,
            delivery.device_token,
            delivery.platform,
            delivery.provider,
            error.code,
            error.fate,
            self._memory if error.fate == "dead" else min(self._memory, QUARANTINE),
            work.request.correlation_id,
            self._tells and error.fate == "dead",
            self._guard.holds(delivery.provider),
            began_at,
        )
