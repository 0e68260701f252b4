"""Makes, lists and revokes API keys, for who has a shell; the console does the same for who has a password."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from deliveries.api import keys
from deliveries.management.operating import OperatorCommand, actor
from deliveries.management.periods import period
from deliveries.models import ApiKey


class Command(OperatorCommand):
    """`manage.py apikey <name>`: the key alone on stdout, so that a script can take it."""

    help = "Make an API key and print it, once; or list the keys, or revoke one."
    epilog = (
        "examples:\n"
        "  manage.py apikey gateway                                    reads and sends, until it is revoked\n"
        "  manage.py apikey on-call --scope read --scope operate --expires 90d\n"
        "  manage.py apikey gateway --revoke\n"
        "  manage.py apikey --list\n"
        "\n"
        "exit codes:\n"
        "  0    done\n"
        "  1    refused: a name that cannot be, or no such key\n"
        "  2    nothing was done: usage, or no database"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", nargs="?", help="who uses it; a key that has this name is replaced")
        parser.add_argument(
            "--scope",
            action="append",
            choices=ApiKey.Scope.values,
            dest="scopes",
            help="what it may do, once or more often (default: read and send)",
        )
        parser.add_argument("--expires", type=period, metavar="TIME", help="for how long it is valid: 90d, 12h")
        instead = parser.add_mutually_exclusive_group()
        instead.add_argument("--revoke", action="store_true", help="end the key of this name")
        instead.add_argument("--list", action="store_true", help="say which keys there are")

    def handle(self, *_args: object, **options: Any) -> None:
        if options["list"] == bool(options["name"]):
            self.parser.error("say the name of a key, or --list")
        if (options["list"] or options["revoke"]) and (options["scopes"] or options["expires"]):
            self.parser.error("--scope and --expires are for a new key: --revoke ends a whole key, --list shows all")
        try:
            self._do(**options)
        except (ValueError, OverflowError, ApiKey.DoesNotExist) as error:
            raise CommandError(str(error)) from error

    def _do(self, **options: Any) -> None:
        if options["list"]:
            self._list(as_json=options["json"])
        elif options["revoke"]:
            keys.revoke(options["name"], actor=actor())
            if options["json"]:
                self.tell({"name": options["name"], "revoked": True}, [], as_json=True)
            self.stderr.write(f"The key of {options['name']} is revoked.", self.style.SUCCESS)
        else:
            self._create(options["name"], options["scopes"], options["expires"], as_json=options["json"])

    def _create(self, name: str, scopes: list[str] | None, valid_for: timedelta | None, *, as_json: bool) -> None:
        scopes = scopes or list(keys.DEFAULT_SCOPES)
        expires_at = timezone.now() + valid_for if valid_for else None
        key, replaced = keys.create(name, scopes, expires_at, actor=actor())
        if replaced:
            self.stderr.write(f"The older key of {name} is no longer valid.", self.style.WARNING)
        until = f", valid until {expires_at:%Y-%m-%d %H:%M} UTC" if expires_at else ""
        self.stderr.write(f"The key of {name} ({', '.join(scopes)}{until}); it is not shown again:", self.style.NOTICE)
        self.tell(
            {"name": name, "key": key, "scopes": scopes, "expires_at": expires_at, "replaced": replaced},
            [key],
            as_json=as_json,
        )

    def _list(self, *, as_json: bool) -> None:
        columns = ("name", "scopes", "created_at", "expires_at", "revoked_at")
        rows = list(ApiKey.objects.order_by("name").values(*columns))
        self.tell({"keys": rows}, map(_line, rows), as_json=as_json)


def _line(row: dict[str, Any]) -> str:
    if row["revoked_at"]:
        state = f"revoked {row['revoked_at']:%Y-%m-%d %H:%M}"
    elif row["expires_at"] is None:
        state = "valid"
    else:
        state = (
            f"{'valid until' if row['expires_at'] > timezone.now() else 'expired'} {row['expires_at']:%Y-%m-%d %H:%M}"
        )
    return f"{row['name']:30} {','.join(row['scopes']):20} {state}"
