"""Django's admin, as the delivery console."""

from django.contrib.admin import apps


class ConsoleConfig(apps.AdminConfig):
    """In the place of django.contrib.admin."""

    default = False  # settings name it
    default_site = "pushproject.site.ConsoleSite"
