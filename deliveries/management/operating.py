"""What the commands of operators have in common: JSON for scripts, exit codes in their help, a name in the log."""

from __future__ import annotations

import getpass
import json
import os
import socket
import sys
from argparse import ArgumentTypeError, RawDescriptionHelpFormatter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter
from django.db import InterfaceError, OperationalError

from deliveries.management.schema import refuse_old_schema

#: Exit codes; argparse itself ends with 2.
INCOMPLETE = 1
IMPOSSIBLE = 2
INTERRUPTED = 130


class HelpFormatter(DjangoHelpFormatter, RawDescriptionHelpFormatter):
    """Leaves the lines of the epilog as they are."""


class OperatorCommand(BaseCommand):
    """A command with `--json` and an epilog; without a database that is ready it says so, and exits with 2.

    Ctrl-C ends it with 130 and a line.
    """

    epilog = ""
    requires_system_checks = ()  # their warnings are for those who start the service

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        kwargs |= {"epilog": self.epilog, "formatter_class": HelpFormatter}
        self.parser = super().create_parser(prog_name, subcommand, **kwargs)
        return self.parser

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON object on stdout, for scripts")

    def execute(self, *args: Any, **options: Any) -> str | None:
        try:
            _refuse_unready()
            return super().execute(*args, **options)
        except (OperationalError, InterfaceError) as error:
            raise CommandError(f"the database ended it: {str(error).strip()}", returncode=IMPOSSIBLE) from error
        except KeyboardInterrupt:
            raise CommandError("stopped by Ctrl-C", returncode=INTERRUPTED) from None

    def tell(self, document: dict[str, Any], lines: Iterable[str], *, as_json: bool) -> None:
        """The result: `document` for a script, with times as ISO 8601; `lines` for a person, who need not read them."""
        text = json.dumps(document, default=datetime.isoformat, ensure_ascii=False) if as_json else "\n".join(lines)
        try:
            self.stdout.write(text)
            self.stdout.flush()
        except BrokenPipeError:  # as in `| head`; Python would complain once more when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def actor() -> str:
    """Who runs this command, for the audit log: `shell user@host`."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user has no name
        user = str(os.getuid())
    return f"shell {user}@{socket.gethostname()}"


def positive(text: str) -> int:
    """A whole number above 0. Raises ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(f"{text!r} is no whole number above 0")
    return int(text)


def _refuse_unready() -> None:
    try:
        refuse_old_schema()
    except CommandError as error:
        raise CommandError(str(error), returncode=IMPOSSIBLE) from error
