"""The delivery console: what operators see of the ledger, and do, in Django's admin.

Nothing is edited by hand: what is done goes through `deliveries.operations` and `deliveries.api.keys`.
"""

import django_dramatiq.admin  # noqa: F401 - it registers what we take out below
from django.contrib import admin
from django_dramatiq.models import Task

from deliveries.console import (
    api_keys,
    audit,
    brakes,
    dead_letters,
    dead_tokens,
    notifications,
    push_deliveries,
    users,
    workers,
)

__all__ = [
    "api_keys",
    "audit",
    "brakes",
    "dead_letters",
    "dead_tokens",
    "notifications",
    "push_deliveries",
    "users",
    "workers",
]

# Its page prints messages without escaping them, and its table stays empty here.
admin.site.unregister(Task)
