"""API keys: made once, shown once, and kept as a hash that nobody can turn back."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from deliveries.models import ApiKey, AuditEntry

#: Tells secret scanners, and people, what kind of secret this is.
PREFIX = "push_"
RANDOM_BYTES = 32
LONGEST_NAME = 100
DEFAULT_SCOPES = (ApiKey.Scope.READ.value, ApiKey.Scope.SEND.value)


class Made(NamedTuple):
    """A new key in plain text, and whether it took the place of one that was valid until then."""

    key: str
    replaced: bool


class NameTaken(ValueError):
    """A valid key has the name, and was not to be replaced."""

    def __init__(self) -> None:
        super().__init__("There is a valid key of this name. Take another name, or revoke that key first.")


def create(
    name: str,
    scopes: Sequence[str] = DEFAULT_SCOPES,
    expires_at: datetime | None = None,
    *,
    actor: str,
    replace: bool = True,
) -> Made:
    """Returns a new key; the older key of that name is no longer valid.

    `scopes` are words of `ApiKey.Scope`; `expires_at` is when it stops being valid by itself. Who made it is written
    into the audit log. Raises ValueError for a name that is empty, longer than 100 characters or not printable, for no
    scope or an unknown one, and for an expiry that is over; NameTaken, unless `replace`, where a valid key has it.
    """
    name = name.strip()
    _check(name, scopes, expires_at)
    scopes = [scope for scope in ApiKey.Scope.values if scope in scopes]
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    new = {"key_hash": hash_of(key.encode()), "scopes": scopes, "expires_at": expires_at}
    with transaction.atomic():
        row, is_first = ApiKey.objects.select_for_update().get_or_create(name=name, defaults=new)
        replaced = not is_first and _valid().filter(pk=row.pk).exists()
        if replaced and not replace:
            raise NameTaken
        ApiKey.objects.filter(pk=row.pk).update(**new, created_at=timezone.now(), revoked_at=None)
        detail = {
            "scopes": scopes,
            "expires_at": expires_at.isoformat() if expires_at else None,
            "replaced": replaced,
        }
        AuditEntry.objects.create(actor=actor, action=AuditEntry.Action.KEY_MADE, subject=name, detail=detail)
    return Made(key, replaced)


def revoke(name: str, *, actor: str, reason: str = "") -> None:
    """Ends the key of that name; who did it and why is written down. Raises ApiKey.DoesNotExist where there is none."""
    name = name.strip()
    with transaction.atomic():
        if not ApiKey.objects.filter(name=name, revoked_at=None).update(revoked_at=timezone.now()):
            raise ApiKey.DoesNotExist(f"There is no valid key named {name}.")
        AuditEntry.objects.create(actor=actor, action=AuditEntry.Action.KEY_REVOKED, subject=name, reason=reason)


def find(key: bytes) -> ApiKey | None:
    """The valid key that was shown as `key`: neither revoked nor expired.

    It is looked up by its hash, so the time that takes says nothing about how much was guessed.
    """
    return _valid().filter(key_hash=hash_of(key)).first()


def expiry(key: bytes) -> datetime | None:
    """When the key stops, or stopped, being valid by itself; None where there is no such key or no such time."""
    return ApiKey.objects.filter(key_hash=hash_of(key), revoked_at=None).values_list("expires_at", flat=True).first()


def hash_of(key: bytes) -> str:
    """SHA-256, without salt or stretching: 256 random bits leave nothing to guess."""
    return hashlib.sha256(key).hexdigest()


def _valid() -> QuerySet[ApiKey]:
    return ApiKey.objects.filter(Q(expires_at=None) | Q(expires_at__gt=timezone.now()), revoked_at=None)


def _check(name: str, scopes: Sequence[str], expires_at: datetime | None) -> None:
    if not 0 < len(name) <= LONGEST_NAME or not name.isprintable():
        raise ValueError(f"A key needs a name of 1 to {LONGEST_NAME} printable characters.")
    if not scopes or not set(scopes) <= set(ApiKey.Scope.values):
        raise ValueError(f"A key needs one scope or more of: {', '.join(ApiKey.Scope.values)}.")
    if expires_at is not None and expires_at <= timezone.now():
        raise ValueError("The key would have expired before it was made.")
