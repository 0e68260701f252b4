"""The invariants I1 to I8, from the ledger, the sandbox's book, the queues, the gateway's book and the logs."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from pathlib import Path

from deliveries.models import Status
from deliveries.neighbours.profiles import SPEC
from deliveries.verification import verify
from tests.world import SandboxProcess, check_invariants, query

VERIFY_TIMEOUT = 30.0  # seconds for each question
#: What every device token of the sandbox holds, and how keys and the access tokens of Google begin.
SECRETS = re.compile(r":APA91b|ya29\.|-----BEGIN|Bearer [A-Za-z0-9]")


def check_accepted(confirmed: Iterable[str]) -> None:
    """I1: what was confirmed or answered 202 is a row or a dead letter."""
    ids = list(confirmed)
    lost = query(
        """
        SELECT accepted.id FROM unnest(%s::text[]) AS accepted(id)
        WHERE NOT EXISTS (SELECT FROM notifications WHERE notification_id = accepted.id)
          AND NOT EXISTS (SELECT FROM dead_letters WHERE notification_id = accepted.id)
        """,
        ids,
    )
    assert not lost, f"I1: of {len(ids)} accepted, {len(lost)} are nowhere: {lost[:10]}"


def check_ledger(sandbox: SandboxProcess, *, answers_lost: bool) -> None:
    """I2 to I5, by the books and by what `manage.py verify` asks."""
    check_invariants(sandbox, answers_lost=answers_lost)
    findings, _ = verify(None, VERIFY_TIMEOUT)
    breaches = [finding for finding in findings if finding.is_breach]
    assert not breaches, breaches
    reports = sandbox.reports()
    ends = dict(query("SELECT notification_id, status FROM notifications WHERE reported_at IS NOT NULL"))
    unheard = sorted(ends.keys() - reports.keys())
    assert not unheard, f"I3: the gateway has never heard of these: {unheard[:10]}"
    wrong = {
        id: (status, reports[id][-1]["status"])
        for id, status in ends.items()
        if reports[id][-1]["status"] != SPEC.word(Status(status))
    }
    assert not wrong, f"I3: the gateway's last word of {len(wrong)} is another than the ledger's: {wrong}"


def check_logs(logs: Iterable[Path], secrets: Collection[str]) -> None:
    """I7: no token, key or credential in any log line, nor any of these very `secrets`."""
    assert all(secrets), "a secret that is empty would be found everywhere"
    any_secret = re.compile("|".join([SECRETS.pattern, *map(re.escape, secrets)]))
    for log in logs:
        leaks = [line for line in log.read_text(errors="replace").splitlines() if any_secret.search(line)]
        assert not leaks, f"I7: {log.name} shows {len(leaks)} secrets, as in: {any_secret.sub('…', leaks[0])[:200]}"
