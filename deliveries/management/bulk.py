"""One operation on many subjects: paced, stopped by Ctrl-C, and told outcome by outcome."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeVar

from django.core.management.base import CommandError, CommandParser
from django.db import InterfaceError, OperationalError

from deliveries.management.operating import INCOMPLETE, INTERRUPTED, OperatorCommand, positive
from deliveries.management.pacing import Interruption, Progress, paced
from deliveries.management.periods import moment
from deliveries.operations import Outcome

T = TypeVar("T")

#: Refusals that are told one by one.
SHOWN = 20


class Tally:
    """What came of it so far."""

    def __init__(self) -> None:
        self.codes: Counter[str] = Counter()
        self.warnings: Counter[str] = Counter()
        self.done = 0
        self.refused = 0
        self.refusals: list[Outcome] = []

    @property
    def total(self) -> int:
        return self.done + self.refused

    def add(self, outcomes: Iterable[Outcome]) -> None:
        for outcome in outcomes:
            self.codes[outcome.code] += 1
            self.warnings += Counter([outcome.warning] if outcome.warning else [])
            self.done += outcome.done
            if not outcome.done:
                self.refused += 1
                self.refusals += [outcome] if self.refused <= SHOWN else []

    def document(self) -> dict[str, Any]:
        refusals = [{"subject": o.subject, "code": o.code, "sentence": o.sentence} for o in self.refusals]
        return {
            "done": self.done,
            "refused": self.refused,
            "outcomes": dict(self.codes),
            "warnings": dict(self.warnings),
            "refusals": refusals,
        }

    def lines(self) -> Iterator[str]:
        yield from (f"  {count:10,}  {code}" for code, count in self.codes.most_common())
        yield from (f"  {count:10,}  warned: {warning}" for warning, count in self.warnings.items())
        if self.refused:
            yield f"Refused{f', the first {SHOWN}' if self.refused > SHOWN else ''}:"
        yield from (f"  {refusal.subject}: {refusal.sentence}" for refusal in self.refusals)


class BulkCommand(OperatorCommand):
    """A command that does one thing to many, with `--rate` and `--dry-run`; `dated` is what its times are of."""

    dated = ""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        for option, bound in (("--since", "after"), ("--until", "before")):
            told = f"{self.dated} {bound} this time: 2h (ago), 2026-11-22T14:00"
            parser.add_argument(option, type=moment, metavar="TIME", help=told)
        parser.add_argument("--rate", type=positive, default=200, help="at most so many a second (default %(default)s)")
        parser.add_argument("--dry-run", action="store_true", help="change nothing, say what would be done, in counts")

    def execute(self, *args: Any, **options: Any) -> str | None:
        since, until = options["since"], options["until"]
        if since and until and since >= until:
            self.parser.error("--since has to be before --until")
        return super().execute(*args, **options)

    def carry_out(
        self, act: Callable[[Sequence[T]], list[Outcome]], subjects: Iterable[T], total: int, options: dict[str, Any]
    ) -> None:
        """Does it in batches and tells the outcomes. Raises CommandError where some were refused, or it broke off."""
        tally, progress = Tally(), Progress(self.stderr, "done", total, options["rate"])
        broken_off: OperationalError | InterfaceError | None = None
        with Interruption() as interruption:
            try:
                for batch in paced(subjects, options["rate"], interruption):
                    tally.add(act(batch))
                    progress.show(tally.total)
            except (OperationalError, InterfaceError) as error:
                broken_off = error
            finally:
                progress.clear()
        stopped = interruption.asked and tally.total < total
        document = {
            "dry_run": False,
            "selected": total,
            "interrupted": stopped,
            "broken_off": broken_off is not None,
            **tally.document(),
        }
        end = " Stopped before the end." if stopped or broken_off else ""
        lines = [f"{tally.done:,} of {total:,} done.{end}", *tally.lines()]
        self.tell(document, lines, as_json=options["json"])
        if broken_off:
            raise CommandError(_broken_off(tally, total, broken_off), returncode=INCOMPLETE) from broken_off
        if stopped:
            raise SystemExit(INTERRUPTED)
        if tally.refused:
            raise CommandError(f"{tally.refused:,} of {total:,} were refused", returncode=INCOMPLETE)


def _broken_off(tally: Tally, total: int, error: Exception) -> str:
    reason = str(error).strip()
    return f"the database ended it after {tally.total:,} of {total:,}; run it again for the rest: {reason}"
