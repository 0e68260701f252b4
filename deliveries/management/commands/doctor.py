"""Looks at everything that has to be right and says what is not, why, and how to mend it: see docs/doctor.md."""

from __future__ import annotations

import json
import logging
import sys
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.core.management.base import BaseCommand

from deliveries.doctor.examining import examine
from deliveries.doctor.findings import Finding, Level

LEVELS = tuple(Level)


class Command(BaseCommand):
    """`manage.py doctor`: exit status 0, or 1 when something failed. Settings that cannot be read are 78, as ever."""

    help = "Examine settings, database, RabbitMQ, FCM and the services around us; say what is wrong and the fix."
    requires_system_checks = ()  # they are among the findings

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="the findings as one JSON object on stdout")

    def handle(self, *_args: object, **options: Any) -> None:
        with _quiet():
            findings = sorted(examine(), key=lambda finding: LEVELS.index(finding.level))
        (self._write_json if options["json"] else self._write)(findings)
        if findings[-1].level == Level.FAILED:
            sys.exit(1)

    def _write_json(self, findings: list[Finding]) -> None:
        found = [{"name": one.name, "level": one.level, "what": one.what, "fix": one.fix or None} for one in findings]
        self.stdout.write(json.dumps({"status": findings[-1].level, "findings": found}, indent=2, ensure_ascii=False))

    def _write(self, findings: list[Finding]) -> None:
        width = max(len(finding.name) for finding in findings)
        for finding in findings:
            self.stdout.write(f"{self._painted(finding.level)} {finding.name:{width}}  {finding.what}")
            if finding.fix:
                self.stdout.write(f"{'':{8 + width}}   Fix: {finding.fix}")
        counts = Counter(finding.level for finding in findings)
        self.stdout.write(f"{counts[Level.OK]} ok, {counts[Level.WARNING]} to look at, {counts[Level.FAILED]} failed")

    def _painted(self, level: Level) -> str:
        paint: dict[Level, Callable[[str], str]] = {
            Level.OK: self.style.SUCCESS,
            Level.WARNING: self.style.WARNING,
            Level.FAILED: self.style.ERROR,
        }
        return paint[level](f"{level:8}")


@contextmanager
def _quiet() -> Iterator[None]:
    """Libraries log each fault that is examined here, at length."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
