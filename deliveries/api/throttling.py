"""How much each key may ask: a bucket of tokens, filled at `API_RATE` a minute."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from math import inf
from threading import Lock
from time import monotonic

from django.conf import settings
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle
from rest_framework.views import APIView

from deliveries.models import ApiKey

logger = logging.getLogger(__name__)

#: A client that opens a page asks several things at once, so a bucket holds this many tokens even where a second brings
#: fewer; but never more than a minute brings.
SMALLEST_BURST = 60


@dataclass(slots=True)
class Bucket:
    """What one key has left. Fewer than none is a debt: a long list is let in and paid for by those who come later."""

    tokens: float
    filled_at: float
    told_at: float = -inf

    def fill(self, per_second: float, most: float) -> None:
        now = monotonic()
        self.tokens = min(most, self.tokens + (now - self.filled_at) * per_second)
        self.filled_at = now

    def tell(self, name: str) -> None:
        """Says so in the log, once a minute: who asks too much does it again and again."""
        if self.filled_at - self.told_at >= 60:
            self.told_at = self.filled_at
            logger.warning("The API key %s asks more than %d times a minute", name, settings.PUSH.api_rate)


_buckets: dict[int, Bucket] = {}
_lock = Lock()


def take(key: ApiKey, count: int, *, on_credit: bool = False) -> float:
    """Takes tokens out of the key's bucket. Returns 0, or the seconds until there is one: then it took none.

    `on_credit` takes them all the same.
    """
    per_second = settings.PUSH.api_rate / 60
    most = min(per_second * 60, max(SMALLEST_BURST, per_second))
    with _lock:
        bucket = _buckets.setdefault(key.pk, Bucket(most, monotonic()))
        bucket.fill(per_second, most)
        if bucket.tokens < 1 and not on_credit:
            bucket.tell(key.name)
            return (1 - bucket.tokens) / per_second
        bucket.tokens -= count
        return 0.0


class KeyRate(BaseThrottle):
    """Lets a key make `API_RATE` requests a minute, in this process.

    Every process of the web service counts for itself, so n of them let n times as many through: this keeps one client
    from taking all of the service for itself, it is no exact quota.
    """

    _wait = 0.0

    def allow_request(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        """False for a key that has used up what it had."""
        self._wait = take(request.auth, 1) if isinstance(request.auth, ApiKey) else 0.0
        return not self._wait

    def wait(self) -> float:
        """Seconds until the next request."""
        return self._wait
