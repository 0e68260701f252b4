"""Django's admin, as the delivery console."""

from django.apps import apps as installed
from django.contrib.admin import apps


class ConsoleConfig(apps.AdminConfig):
    """In the place of django.contrib.admin."""

    default = False  # settings name it
    default_site = "pushproject.site.ConsoleSite"

    def ready(self) -> None:
        """Calls what the theme writes above Django's own pages as the menu does."""
        super().ready()
        installed.get_app_config("auth").verbose_name = "Who may"
        options = installed.get_model("auth", "Group")._meta  # noqa: SLF001 - public, for all its name
        options.verbose_name, options.verbose_name_plural = "role", "roles"
