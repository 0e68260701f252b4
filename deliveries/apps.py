"""Names the application for Django; nothing is started here, since every command loads it."""

import importlib

from django.apps import AppConfig


class DeliveriesConfig(AppConfig):
    """The application that holds the ledger, its pipeline and its doors."""

    name = "deliveries"
    verbose_name = "Push notifications"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        importlib.import_module("deliveries.checks")
