"""Makes and revokes API keys: the only way to get one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from deliveries.api import keys
from deliveries.management.operating import actor
from deliveries.models import ApiKey


class Command(BaseCommand):
    """`manage.py apikey <name>`: the key alone on stdout, so that a script can take it."""

    help = "Make an API key and print it, once; or revoke one."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("name", help="who uses it; a key that has this name is replaced")
        parser.add_argument("--revoke", action="store_true", help="end the key of this name")

    def handle(self, *_args: object, **options: Any) -> None:
        name = options["name"]
        try:
            return self._revoke(name) if options["revoke"] else self._create(name)
        except (ValueError, ApiKey.DoesNotExist) as error:
            raise CommandError(str(error)) from error

    def _create(self, name: str) -> None:
        key = keys.create(name, actor=actor())
        self.stderr.write(f"The key of {name}; it is not shown again:", self.style.NOTICE)
        self.stdout.write(key)

    def _revoke(self, name: str) -> None:
        keys.revoke(name, actor=actor())
        self.stderr.write(f"The key of {name} is revoked.", self.style.SUCCESS)
