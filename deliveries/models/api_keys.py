"""API keys."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from deliveries.models.columns import moment


class ApiKey(models.Model):
    """Who may call the API, for what, until when. Only the hash is kept."""

    class Scope(models.TextChoices):
        READ = "read", "read: look at notifications and deliveries"
        SEND = "send", "send: accept notifications"
        OPERATE = "operate", "operate: resend and cancel"

    name = models.CharField(max_length=100, unique=True)
    key_hash = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    # What a key of the time before scopes could do.
    scopes = ArrayField(models.CharField(max_length=8, choices=Scope), db_default=["read", "send"])
    expires_at = moment("when it stops being valid by itself; empty: never")
    revoked_at = moment()

    class Meta:
        db_table = "api_keys"
        verbose_name = "API key"

    def __str__(self) -> str:
        return self.name
