"""API keys: made once, shown once, and kept as a hash that nobody can turn back."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from datetime import datetime

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from deliveries.models import ApiKey, AuditEntry

#: Tells secret scanners, and people, what kind of secret this is.
PREFIX = "push_"
RANDOM_BYTES = 32
LONGEST_NAME = 100
DEFAULT_SCOPES = (ApiKey.Scope.READ.value, ApiKey.Scope.SEND.value)


def create(name: str, scopes: Sequence[str] = DEFAULT_SCOPES, expires_at: datetime | None = None, *, actor: str) -> str:
    """Returns a new key in plain text; the older key of that name is no longer valid.

    `scopes` are words of `ApiKey.Scope`; `expires_at` is when it stops being valid by itself. Who made it is written
    into the audit log. Raises ValueError for a name that is empty or longer than 100 characters, for no scope or an
    unknown one, and for an expiry that is over.
    """
    name = name.strip()
    _check(name, scopes, expires_at)
    scopes = [scope for scope in ApiKey.Scope.values if scope in scopes]
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    with transaction.atomic():
        ApiKey.objects.update_or_create(
            name=name,
            defaults={
                "key_hash": hash_of(key.encode()),
                "created_at": timezone.now(),
                "scopes": scopes,
                "expires_at": expires_at,
                "revoked_at": None,
            },
        )
        detail = {"scopes": scopes, "expires_at": expires_at.isoformat() if expires_at else None}
        AuditEntry.objects.create(actor=actor, action=AuditEntry.Action.KEY_MADE, subject=name, detail=detail)
    return key


def revoke(name: str, *, actor: str) -> None:
    """Ends the key of that name, and writes down who did. Raises ApiKey.DoesNotExist where there is none to end."""
    with transaction.atomic():
        if not ApiKey.objects.filter(name=name, revoked_at=None).update(revoked_at=timezone.now()):
            raise ApiKey.DoesNotExist(f"There is no valid key named {name}.")
        AuditEntry.objects.create(actor=actor, action=AuditEntry.Action.KEY_REVOKED, subject=name)


def find(key: bytes) -> ApiKey | None:
    """The valid key that was shown as `key`: neither revoked nor expired.

    It is looked up by its hash, so the time that takes says nothing about how much was guessed.
    """
    unexpired = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return ApiKey.objects.filter(unexpired, key_hash=hash_of(key), revoked_at=None).first()


def expiry(key: bytes) -> datetime | None:
    """When the key stops, or stopped, being valid by itself; None where there is no such key or no such time."""
    return ApiKey.objects.filter(key_hash=hash_of(key), revoked_at=None).values_list("expires_at", flat=True).first()


def hash_of(key: bytes) -> str:
    """SHA-256, without salt or stretching: 256 random bits leave nothing to guess."""
    return hashlib.sha256(key).hexdigest()


def _check(name: str, scopes: Sequence[str], expires_at: datetime | None) -> None:
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"A key needs a name of 1 to {LONGEST_NAME} characters.")
    if not scopes or not set(scopes) <= set(ApiKey.Scope.values):
        raise ValueError(f"A key needs one scope or more of: {', '.join(ApiKey.Scope.values)}.")
    if expires_at is not None and expires_at <= timezone.now():
        raise ValueError("The key would have expired before it was made.")
