"""Deletes what ended long ago."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from deliveries.ledger.pruning import Pruned, Pruning
from deliveries.management.operating import INTERRUPTED, OperatorCommand, positive
from deliveries.management.pacing import Interruption, Progress
from deliveries.management.periods import past, seconds


class Command(OperatorCommand):
    """`manage.py prune`: to be run every night, beside working workers."""

    help = (
        "Delete notifications that ended and were reported long ago, with their deliveries and attempts, "
        "dead letters that were closed long ago, and dead tokens whose memory is over."
    )
    epilog = """\
Stays: notifications with an open dead letter, dead tokens that are held or of which the user
service is owed word, and, without --audit-log, the audit log. A message with the id of a
notification that was pruned is a new one.

exit codes:
  0    done
  2    nothing was done: usage, or no database
  130  stopped by Ctrl-C or SIGTERM; what was counted until then is gone
"""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--older-than", type=past, default="30d", metavar="AGE", help="30d (default), 12w, or a date"
        )
        parser.add_argument("--audit-log", action="store_true", help="delete entries of the audit log of that age, too")
        parser.add_argument("--batch", type=positive, default=1000, help="rows a transaction (default %(default)s)")
        parser.add_argument("--pause", type=seconds, default=0.1, help="seconds between two (default %(default)s)")
        parser.add_argument("--dry-run", action="store_true", help="say what would go")

    def handle(self, *_args: object, **options: Any) -> None:
        pruning = Pruning(options["older_than"], options["batch"])
        if options["dry_run"]:
            return self._tell(pruning.forecast(audit_log=options["audit_log"]), options)
        with Interruption() as interruption:
            self._repeat(pruning.prune_notifications, "notifications", interruption, options["pause"])
            self._repeat(pruning.prune_dead_letters, "dead letters", interruption, options["pause"])
            self._repeat(pruning.prune_dead_tokens, "dead tokens", interruption, options["pause"])
            if options["audit_log"]:
                self._repeat(pruning.prune_audit_log, "audit entries", interruption, options["pause"])
        self._tell(pruning.pruned, options, interrupted=interruption.asked)
        if interruption.asked:
            raise SystemExit(INTERRUPTED)
        return None

    def _repeat(self, prune: Callable[[], int], what: str, interruption: Interruption, pause: float) -> None:
        progress = Progress(self.stderr, f"{what} pruned")
        done = 0
        while not interruption.asked and (pruned := prune()):
            done += pruned
            progress.show(done)
            interruption.pause(pause)
        progress.clear()

    def _tell(self, pruned: Pruned, options: dict[str, Any], *, interrupted: bool = False) -> None:
        before = options["older_than"]
        document = {"before": before.isoformat(), "dry_run": options["dry_run"], "interrupted": interrupted}
        verb = "Would prune" if options["dry_run"] else "Pruned"
        counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in asdict(pruned).items())
        end = "; stopped before the end." if interrupted else "."
        line = f"{verb} what ended before {before:%Y-%m-%d %H:%M %Z}: {counts}{end}"
        self.tell(document | asdict(pruned), [line], as_json=options["json"])
