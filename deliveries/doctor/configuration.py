"""The settings themselves: what Django's checks say of them, and which of them do not go together."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from django.conf import settings
from django.core.checks import ERROR, WARNING, CheckMessage, run_checks

from deliveries.doctor.findings import Examination, Finding, Level, failed, ok, warning

#: Said in our own words below: plain http, and the hosts, of which there are always the loopback names.
OURS = {"security.W004", "security.W008", "security.W012", "security.W016", "security.W020"}
#: What Django's own checks say without naming the setting or the remedy.
SAID_BETTER = {
    "security.W009": (
        "SECRET_KEY: is shorter than 50 characters, or has fewer than 5 different ones, so sessions can be forged.",
        "Set SECRET_KEY to the output of: python -c 'import secrets; print(secrets.token_urlsafe(50))'",
    ),
    "security.W018": ("DEBUG: is true, so whoever provokes an error reads our code and settings.", "Set DEBUG=false."),
}

#: Seconds that a worker's end takes at the worst, beside the drain: its watchdog, its threads, and the engine's.
ENDING = 25
#: Seconds: compose.yaml lets a worker take 35 to stop.
LONGEST_DRAIN = 10.0
#: Seconds: a pause of this length happens (a failover, a busy machine); after this one people ask where pushes are.
SHORTEST_LEASE, LONGEST_LEASE = 5.0, 120.0


def examine() -> Iterator[Finding]:
    mode = "embedded, without RabbitMQ" if settings.PUSH.embedded_broker else "with RabbitMQ"
    yield ok("settings", f"All can be read. The service runs {mode}.")
    for examination in EXAMINATIONS:
        yield from examination()


def in_production() -> bool:
    """With RabbitMQ, or a database of somebody's own, it is no demo."""
    return not (settings.PUSH.embedded_broker and settings.PUSH.embedded_database)


def _checks() -> Iterator[Finding]:
    """Django's system checks; those for a deployment where it is one."""
    for message in run_checks(include_deployment_checks=in_production()):
        if message.id not in OURS and not message.is_silenced():
            yield _of_check(message)


def _of_check(message: CheckMessage) -> Finding:
    level = Level.FAILED if message.level >= ERROR else Level.WARNING if message.level >= WARNING else Level.OK
    said = " ".join(str(message.msg).split()), message.hint or f"Look up {message.id} among Django's system checks."
    what, fix = SAID_BETTER.get(message.id or "", said)
    return Finding("settings", level, what, str(fix))


def _hosts() -> Iterator[Finding]:
    if in_production() and not settings.PUSH.allowed_hosts:
        what = "ALLOWED_HOSTS: is empty, so the console and the API answer to loopback names only, and 400 to others."
        yield warning("hosts", what, "Set ALLOWED_HOSTS to the names by which people, producers and probes ask.")


def _plain_http() -> Iterator[Finding]:
    if not in_production():
        return
    if settings.PUSH.insecure_http:
        what = "INSECURE_HTTP: is true, so keys, passwords and sessions travel in plain text."
        yield warning("https", what, "Set INSECURE_HTTP=false, and put a proxy with TLS in front.")
    if settings.PUSH.fcm_endpoint.startswith("http://"):
        what = "FCM_ENDPOINT: begins with http://, so access tokens and pushes travel in plain text, and not to Google."
        yield warning("https", what, "Leave FCM_ENDPOINT at https://fcm.googleapis.com, unless this is a test.")


def _drain() -> Iterator[Finding]:
    grace = settings.PUSH.drain_grace
    if grace > LONGEST_DRAIN:
        what = f"DRAIN_GRACE: is {grace:g} s, and supervisors kill sooner: Docker after 10 s, Kubernetes after 30 s."
        fix = f"Set DRAIN_GRACE to {LONGEST_DRAIN:g} or less, and let the supervisor wait for {ENDING} s more at least."
        yield warning("stopping", what, fix)


def _lease() -> Iterator[Finding]:
    lease = settings.PUSH.delivery_lease
    if lease < SHORTEST_LEASE:
        what = f"DELIVERY_LEASE: is {lease:g} s, so a short pause of database or worker makes others send again."
        yield warning("lease", what, "Set DELIVERY_LEASE to 15.")
    if lease > LONGEST_LEASE:
        what = f"DELIVERY_LEASE: is {lease:g} s, and so long rests what a worker had in work when it died."
        yield warning("lease", what, "Set DELIVERY_LEASE to 15.")


def _waits() -> Iterator[Finding]:
    push = settings.PUSH
    for name in ("retry_max_wait", "circuit_breaker_timeout"):
        wait = getattr(push, name)
        if wait >= push.notification_ttl:
            what = f"{name.upper()}: is {wait:g} s, and by then a notification has expired ({push.notification_ttl} s)."
            yield warning("waits", what, f"Set {name.upper()} lower, or NOTIFICATION_TTL higher.")


def _directory() -> Iterator[Finding]:
    push = settings.PUSH
    if (push.embedded_database or push.secret_key is None) and not _writable(push.var_dir):
        what = f"VAR_DIR: {push.var_dir} cannot be written to, and the service keeps its own files there."
        yield failed(
            "directory", what, "Set VAR_DIR to a directory of the service's own user, or mend its permissions."
        )


def _writable(directory: Path) -> bool:
    """Whether it is there, or could be made, for us to write to."""
    nearest = next(path for path in (directory, *directory.parents) if path.exists())
    return nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)


def setting_of(name: str) -> str:
    """The name of the variable that a setting comes from: itself, or the file that holds it."""
    file = getattr(settings.PUSH, f"{name.lower()}_file", None)
    return f"{name}_FILE" if file else name


EXAMINATIONS: tuple[Examination, ...] = (_checks, _hosts, _plain_http, _drain, _lease, _waits, _directory)
