"""The delivery console: what operators see of the ledger, in Django's admin. It only ever looks."""

import django_dramatiq.admin  # noqa: F401 - it registers what we take out below
from django.contrib import admin
from django_dramatiq.models import Task

from deliveries.console import api_keys, dead_letters, notifications, push_deliveries, workers

__all__ = ["api_keys", "dead_letters", "notifications", "push_deliveries", "workers"]

admin.site.site_header = admin.site.site_title = "Delivery console"
admin.site.index_title = "Push notifications and what became of them"

# Its page prints messages without escaping them, and its table stays empty here.
admin.site.unregister(Task)
