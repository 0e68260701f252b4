"""Puts dead letters back after a fix, or closes them."""

from __future__ import annotations

from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from deliveries import operations, selection
from deliveries.management.bulk import SHOWN, BulkCommand
from deliveries.management.operating import actor, positive
from deliveries.masking import conceal_text
from deliveries.operations import Who
from deliveries.selection import WantedLetters

FILTERS = ("ids", "code", "notification", "reason_contains", "since", "until")

#: Characters of a reason that a line of the dry run has.
REASON_SHOWN = 100


class Command(BulkCommand):
    """`manage.py redrive`: a message is read anew, an exhausted notification is resent."""

    help = "Put open dead letters back after a fix: by id, code, notification, reason and time. Or discard them."
    dated = "those that were last seen"
    epilog = """\
examples:
  manage.py redrive 17 18
  manage.py redrive --code invalid_message --reason-contains "user_id" --dry-run
  manage.py redrive --code exhausted --since 1d --rate 50
  manage.py redrive --notification order-17 --discard --reason "the order was cancelled"

exit codes:
  0    all of them are redriven or discarded (or the dry run is told)
  1    some were refused, and are told; or the database broke off
  2    nothing was done: usage, or no database
  130  stopped by Ctrl-C or SIGTERM, between two batches
"""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", type=positive, metavar="LETTER_ID", help="a dead letter's number")
        parser.add_argument("--code", choices=("invalid_message", "exhausted"), help="what they are")
        parser.add_argument("--notification", metavar="ID", help="the notification they are of")
        parser.add_argument("--reason-contains", metavar="TEXT", help="a part of one of their reasons, in any case")
        parser.add_argument("--discard", action="store_true", help="close them for good instead; needs --reason")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *_args: object, **options: Any) -> None:
        if not any(options[name] for name in FILTERS):
            self.parser.error("say which: a LETTER_ID, --code, --notification, --reason-contains, --since or --until")
        if options["discard"] and not options["reason"].strip():
            self.parser.error("--discard needs a --reason: it is all that is left of them")
        wanted = _wanted(options)
        if options["dry_run"]:
            return self._foretell(wanted, options)
        act = operations.discard if options["discard"] else operations.redrive
        ids = _chosen(wanted, options)
        return self.carry_out(partial(act, who=Who(actor(), options["reason"])), ids, len(ids), options)

    def _foretell(self, wanted: WantedLetters, options: dict[str, Any]) -> None:
        groups = [(code, conceal_text(reason), count) for code, reason, count in selection.letter_groups(wanted)]
        selected = sum(count for _, _, count in groups)
        document = {
            "dry_run": True,
            "selected": selected,
            "groups": [{"code": code, "reason": reason, "count": count} for code, reason, count in groups],
        }
        shown = [f"{count:10,}  {code:15}  {reason[:REASON_SHOWN]}" for code, reason, count in groups[:SHOWN]]
        rest = [f"{'':10}  … and {len(groups) - SHOWN:,} more reasons"] if len(groups) > SHOWN else []
        lines = [f"{'count':>10}  {'code':15}  first reason", *shown, *rest, f"{selected:10,}  in all"]
        self.tell(document, lines, as_json=options["json"])


def _wanted(options: dict[str, Any]) -> WantedLetters:
    return WantedLetters(
        ids=tuple(dict.fromkeys(options["ids"])),
        code=options["code"],
        notification_id=options["notification"],
        text=options["reason_contains"],
        since=options["since"],
        until=options["until"],
    )


def _chosen(wanted: WantedLetters, options: dict[str, Any]) -> list[int]:
    """Their ids. Ids without any filter are all tried, so that each one's refusal is told."""
    if wanted.ids and not any(options[name] for name in FILTERS[1:]):
        return list(wanted.ids)
    return selection.letter_ids(wanted)
