"""Finding notifications and deliveries by whole ids, or by the fingerprint of a device's token."""

from __future__ import annotations

import re

from django.db.models import BinaryField, F, Func, OuterRef, Q, Subquery, Value
from django.db.models.lookups import Exact, IsNull

from deliveries.console.filters import FOUND
from deliveries.console.paging import Condition
from deliveries.models import DeadToken, Notification, PushDelivery

#: A correlation id is shared by few notifications; more than these are not looked through.
MOST_CORRELATED = 1000

FINGERPRINT = re.compile(r"#?([0-9a-f]{8})", re.IGNORECASE)

HELP = "A whole notification id, user id or correlation id, or a device's fingerprint: the 8 digits behind its #."


def notifications(term: str) -> Condition:
    """Those that a search finds, by whatever the term is."""
    if digits := _fingerprint(term):
        own = PushDelivery.objects.filter(_hashed(digits), notification=OuterRef("pk")).values("pk")
        # As EXISTS, PostgreSQL would hash the tokens of all deliveries at once.
        return _of_device(digits, Q(IsNull(Subquery(own[:1]), False)))
    ids = _ids(term)
    return _exactly(Q(pk__in=ids) | Q(user_id=term)) if ids else Condition.equal("user_id", term, FOUND)


def deliveries(term: str) -> Condition:
    """The same of deliveries. Found in two steps: an OR across two tables would use no index."""
    if digits := _fingerprint(term):
        return _of_device(digits, _hashed(digits))
    ids = _ids(term)
    return _exactly(Q(notification__in=ids) | Q(user_id=term)) if ids else Condition.equal("user_id", term, FOUND)


def _exactly(fits: Q) -> Condition:
    return Condition(fits, fits, FOUND)


def _ids(term: str) -> list[str]:
    """Notifications that have this id or correlation id."""
    named = Notification.objects.filter(Q(pk=term) | Q(correlation_id=term))
    return list(named.values_list("pk", flat=True)[:MOST_CORRELATED])


def _fingerprint(term: str) -> str:
    """The digits where the term can be nothing else: an id may look like them."""
    found = FINGERPRINT.fullmatch(term)
    if found is None:
        return ""
    is_id = not term.startswith("#") and (_ids(term) or Notification.objects.filter(user_id=term).exists())
    return "" if is_id else found[1].lower()


def _hashed(digits: str) -> Q:
    """No index knows tokens by their hash: each push would pay for it."""
    whole = Func(F("device_token"), Value("UTF8"), function="convert_to", output_field=BinaryField())
    begin = Func(Func(whole, function="sha256"), 1, 4, function="substr", output_field=BinaryField())
    return Q(Exact(begin, Value(bytes.fromhex(digits), output_field=BinaryField())))


def _of_device(digits: str, fits: Q) -> Condition:
    """Dead devices are known by their hash, and so by their user; living ones are looked for among the latest rows."""
    owners = DeadToken.objects.filter(token_hash__startswith=digits).values_list("user_id", flat=True)
    users = list(owners[:MOST_CORRELATED])
    return Condition(fits, Q(user_id__in=users), FOUND) if users else Condition(fits)
