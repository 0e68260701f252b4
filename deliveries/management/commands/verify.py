"""Checks the promises against the ledger's rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError, CommandParser

from deliveries.ledger.invariants import Check
from deliveries.management.operating import IMPOSSIBLE, INCOMPLETE, OperatorCommand, positive
from deliveries.management.pacing import Progress
from deliveries.management.periods import moment
from deliveries.verification import EXAMPLES, NOT_PROVABLE, Finding, Repeats, TooSlow, verify


class Command(OperatorCommand):
    """`manage.py verify`: every invariant that rows alone can prove, and how many repeats are possible."""

    help = "Check what the ledger's rows can prove of the promises. It changes nothing and locks nothing."
    epilog = """\
Whole tables are read for what has ended; --since reads only what was accepted after it.

exit codes:
  0    every check holds (there may be warnings)
  1    a promise is broken; the ids are told
  2    it could not be checked: usage, no database, or too slow
  130  stopped by Ctrl-C
"""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--since", type=moment, metavar="TIME", help="2h for two hours ago, or 2026-11-22T14:00")
        parser.add_argument(
            "--timeout", type=positive, default=300, metavar="SECONDS", help="for each check (default %(default)s)"
        )

    def handle(self, *_args: object, **options: Any) -> None:
        findings, repeats = self._verify(options["since"], options["timeout"])
        self.tell(_document(findings, repeats), _lines(findings, repeats), as_json=options["json"])
        broken = [finding.check.name for finding in findings if finding.is_breach]
        if broken:
            raise CommandError(f"broken: {', '.join(dict.fromkeys(broken))}", returncode=INCOMPLETE)

    def _verify(self, since: Any, timeout: int) -> tuple[list[Finding], Repeats]:
        progress = Progress(self.stderr, "checks")
        asked: list[Check] = []

        def about_to(check: Check) -> None:
            asked.append(check)
            progress.say(f"{check.name}: {check.promise}")

        try:
            return verify(since, timeout, about_to)
        except TooSlow:
            raise CommandError(
                f"this took longer than {timeout} s: {asked[-1].promise} Look at less with --since, "
                "or wait longer with --timeout.",
                returncode=IMPOSSIBLE,
            ) from None
        finally:
            progress.clear()


def _document(findings: list[Finding], repeats: Repeats) -> dict[str, Any]:
    return {
        "clean": not any(finding.is_breach for finding in findings),
        "checks": [
            {
                "name": finding.check.name,
                "promise": finding.check.promise,
                "result": _result(finding),
                "count": finding.count,
                "examples": finding.examples,
            }
            for finding in findings
        ],
        "possible_repeats": {
            "at_most": repeats.at_most,
            "unknown_outcomes": repeats.unknown_outcomes,
            "forced_resends": repeats.forced_resends,
        },
        "not_provable": NOT_PROVABLE,
    }


def _lines(findings: list[Finding], repeats: Repeats) -> Iterator[str]:
    for finding in findings:
        yield f"{_result(finding):8} {finding.check.name:12} {finding.check.promise}"
        if finding.count:
            more = ", …" if finding.count > EXAMPLES else ""
            yield f"{'':21} {finding.count:,} do not: {', '.join(finding.examples)}{more}"
            yield f"{'':21} {finding.check.advice}"
    yield (
        f"\nAt most {repeats.at_most:,} pushes may have reached a device more than once: "
        f"{repeats.unknown_outcomes:,} sends with an unknown outcome, {repeats.forced_resends:,} sent again by force."
    )
    yield "\nRows alone cannot prove:"
    yield from (f"  {name}  {what}" for name, what in NOT_PROVABLE.items())


def _result(finding: Finding) -> str:
    if not finding.count:
        return "holds"
    return "BROKEN" if finding.is_breach else "warning"
