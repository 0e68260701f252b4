"""Sends again what did not arrive."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from django.core.management.base import CommandParser

from deliveries import operations, selection
from deliveries.management.bulk import BulkCommand
from deliveries.management.operating import actor, positive
from deliveries.models import ENDS, Status
from deliveries.operations import Target, Who
from deliveries.selection import Wanted

FILTERS = ("ids", "status", "error_code", "user", "since", "until")


class Command(BulkCommand):
    """`manage.py resend`: by id, or everything that ended alike; the same as the console's and the API's."""

    help = "Send again what ended without being sent: by id, status, error code, user and time."
    dated = "those that ended"
    epilog = """\
examples:
  manage.py resend order-17-shipped --reason "the customer asked"
  manage.py resend --since 2h --error-code UNAVAILABLE --dry-run
  manage.py resend --user ada --status cancelled --status skipped

exit codes:
  0    all of it is due again (or the dry run is told)
  1    some were refused, and are told; or the database broke off
  2    nothing was done: usage, or no database
  130  stopped by Ctrl-C or SIGTERM, between two batches
"""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("ids", nargs="*", metavar="ID", help="a notification's id")
        parser.add_argument(
            "--status",
            action="append",
            choices=sorted(end.value for end in ENDS),
            help="how a delivery ended, or a notification without any; may be repeated (default: failed and expired; "
            "with ids: all but sent)",
        )
        parser.add_argument(
            "--error-code",
            action="append",
            metavar="CODE",
            help="the delivery's or its notification's; may be repeated",
        )
        parser.add_argument("--user", help="the user's id")
        parser.add_argument("--limit", type=positive, help="at most so many notifications, the longest ended first")
        parser.add_argument("--force", action="store_true", help="even what was sent, or may have been, already")
        parser.add_argument("--reason", default="", help="why, for the audit log")

    def handle(self, *_args: object, **options: Any) -> None:
        if not any(options[name] for name in FILTERS):
            self.parser.error("say what to resend: an ID, --status, --error-code, --user, --since or --until")
        wanted = _wanted(options)
        if options["dry_run"]:
            return self._foretell(wanted, options)
        who = Who(actor(), options["reason"])
        total, targets = _targets(wanted, options)
        return self.carry_out(partial(operations.resend, who=who, force=options["force"]), targets, total, options)

    def _foretell(self, wanted: Wanted, options: dict[str, Any]) -> None:
        groups, notifications = selection.groups(wanted), selection.target_count(wanted)
        missed = max(0, len(wanted.ids) - notifications)
        selected, unknown = sum(group.count for group in groups), sum(group.unknown for group in groups)
        document = {
            "dry_run": True,
            "notifications": notifications,
            "selected": selected,
            "unknown": unknown,
            "missed": missed,
            "groups": [
                {"status": g.status, "error_code": g.error_code, "count": g.count, "unknown": g.unknown} for g in groups
            ],
        }
        lines = [
            f"{'count':>10}  {'unknown':>9}  {'status':9}  error code",
            *(f"{g.count:10,}  {g.unknown:9,}  {g.status:9}  {g.error_code or '-'}" for g in groups),
            f"{selected:10,}  {unknown:9,}  in all, of {notifications:,} notifications",
            "Unknown: nobody knows whether the last try arrived, so sending again may be a repeat.",
            *([f"{missed:,} of the {len(wanted.ids):,} ids have nothing to be resent now."] if missed else []),
        ]
        self.tell(document, lines, as_json=options["json"])


def _wanted(options: dict[str, Any]) -> Wanted:
    """The selection that the options speak of. Whoever names ids means them, however they ended."""
    named = tuple(dict.fromkeys(options["ids"]))
    usual = sorted(ENDS - (set() if options["force"] else {Status.SENT})) if named else selection.USUAL
    return Wanted(
        ids=named,
        statuses=tuple(options["status"] or usual),
        codes=tuple(options["error_code"] or ()),
        user=options["user"],
        since=options["since"],
        until=options["until"],
        limit=options["limit"],
    )


def _targets(wanted: Wanted, options: dict[str, Any]) -> tuple[int, Iterable[Target]]:
    """How many, and which. Ids without any filter are all tried, so that each one's refusal is told."""
    if wanted.ids and not any(options[name] for name in (*FILTERS[1:], "limit")):
        return len(wanted.ids), [Target(id) for id in wanted.ids]
    return selection.target_count(wanted), selection.targets(wanted)
