"""API keys: made once, shown once, and kept as a hash that nobody can turn back."""

from __future__ import annotations

import hashlib
import secrets

from django.utils import timezone

from deliveries.models import ApiKey

#: Tells secret scanners, and people, what kind of secret this is.
PREFIX = "push_"
RANDOM_BYTES = 32
LONGEST_NAME = 100


def create(name: str) -> str:
    """Returns a new key in plain text; the older key of that name is no longer valid.

    Raises ValueError for a name that is empty or longer than 100 characters.
    """
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise ValueError(f"A key needs a name of 1 to {LONGEST_NAME} characters.")
    key = PREFIX + secrets.token_urlsafe(RANDOM_BYTES)
    ApiKey.objects.update_or_create(
        name=name.strip(),
        defaults={
            "key_hash": hash_of(key.encode()),
            "created_at": timezone.now(),
            "revoked_at": None,
        },
    )
    return key


def revoke(name: str) -> None:
    """Ends the key of that name. Raises ApiKey.DoesNotExist where there is none that is valid."""
    if not ApiKey.objects.filter(name=name, revoked_at=None).update(revoked_at=timezone.now()):
        raise ApiKey.DoesNotExist(f"There is no valid key named {name}.")


def find(key: bytes) -> ApiKey | None:
    """The valid key that was shown as `key`.

    It is looked up by its hash, so the time that takes says nothing about how much was guessed.
    """
    return ApiKey.objects.filter(key_hash=hash_of(key), revoked_at=None).first()


def hash_of(key: bytes) -> str:
    """SHA-256, without salt or stretching: 256 random bits leave nothing to guess."""
    return hashlib.sha256(key).hexdigest()
