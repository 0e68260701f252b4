"""`manage.py sandbox` becomes `python -m sandbox`, a process that shares nothing with ours."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from django.core.management.base import BaseCommand

_ROOT = Path(__file__).resolve().parents[3]


class Command(BaseCommand):
    """Replaces this process by the sandbox; all options are the sandbox's own."""

    help = "Start the sandbox: Google, the neighbours and a phone on one port (`--help` for more)."
    requires_system_checks = ()

    def run_from_argv(self, argv: list[str]) -> None:
        """All options belong to the sandbox, which explains and checks them itself."""
        _become_sandbox(argv[2:])

    def handle(self, *args: Any, **_options: Any) -> None:
        _become_sandbox(args)


def _become_sandbox(arguments: Sequence[str]) -> NoReturn:
    path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path}
    os.execve(sys.executable, [sys.executable, "-m", "sandbox", *arguments], environment)
