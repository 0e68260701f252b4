"""`make demo`: the whole service on one machine, beside the sandbox, with something to look at.

1. stop what a killed demo left, 2. start the sandbox, 3. migrate, make an operator, an API key and, the first time,
a day of sample history, 4. start `manage.py serve`, 5. send one notification of every ending, 6. say where to look.
"""

import secrets
import shlex
import signal
import sys
import time
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connections
from django.utils import timezone

from deliveries.api import keys
from deliveries.ledger import samples
from pushproject.demo import Demo, DemoError, alone, port

OUTCOME_SECONDS = 20
# What is sent, and how it is to end.
ENDINGS: dict[str, dict[str, Any]] = {
    "sent": {"user_id": "ok-ada", "template_id": "welcome", "variables": {"name": "Ada"}},
    "sent, to three devices": {"user_id": "multi-bea", "template_id": "order_shipped"},
    "sent, to a browser": {"user_id": "web-ivo", "template_id": "welcome"},
    "failed, the app was removed": {"user_id": "dead-cem", "template_id": "otp"},
    "skipped, the user opted out": {"user_id": "optout-dan", "template_id": "welcome"},
    "skipped, no device": {"user_id": "nodevice-eva", "template_id": "welcome"},
    "failed, unknown user": {"user_id": "unknown-flo", "template_id": "welcome"},
    "failed, unknown template": {"user_id": "ok-gus", "template_id": "unknown-template"},
    "expired": {"user_id": "ok-hal", "template_id": "otp", "ttl": 0},
}


class Command(BaseCommand):
    """`manage.py demo`."""

    help = "Run the whole service with the sandbox and an embedded PostgreSQL, until Ctrl-C."

    def handle(self, *args: Any, **options: Any) -> None:
        if not (settings.PUSH.embedded_database and settings.PUSH.embedded_broker):
            raise CommandError("the demo keeps a database of its own: use `make demo`")
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        directory = settings.PUSH.var_dir.resolve() / "demo"
        try:
            with alone(directory):
                self.show(Demo(directory, port(settings.PUSH.port), port(9099)))
        except DemoError as error:
            raise CommandError(str(error)) from error
        except KeyboardInterrupt:
            self.stdout.write("stopped")

    def show(self, demo: Demo) -> None:
        began = time.monotonic()
        run = secrets.token_hex(4)
        demo.start_sandbox()
        call_command("migrate", verbosity=0)
        password, key = operator_password(), keys.create("demo", actor="shell demo").key  # the last demo's key ends
        if samples.are_wanted():
            samples.seed(timezone.now())
        connections["default"].close()
        demo.start_service()
        self.stdout.write(f"Up after {time.monotonic() - began:.1f} s. One of every ending:\n\n")
        self.stdout.flush()
        with requests.Session() as session:
            self.send_every_ending(Producer(session, demo.web, key), run)
        self.invite(demo, password, key, run)
        demo.watch()

    def send_every_ending(self, producer: "Producer", run: str) -> None:
        """Sends one notification of each kind, waits for them, and shows how each ended."""
        ids = {about: f"demo-{run}-{number}" for number, about in enumerate(ENDINGS, 1)}
        for about, message in ENDINGS.items():
            producer.send({"notification_id": ids[about], **message})
        deadline = time.monotonic() + OUTCOME_SECONDS
        for about, notification_id in ids.items():
            ending = producer.ending(notification_id, deadline)
            self.stdout.write(f"  {notification_id:16} {about:28} -> {ending}")

    def invite(self, demo: Demo, password: str, key: str, run: str) -> None:
        """Two commands to try, and where to look: at the dashboard first."""
        address = f"{demo.web}/api/v1/notifications/"
        header = f"-H {shlex.quote(f'Authorization: Bearer {key}')}"
        json = "-H 'Content-Type: application/json'"
        body = f'{{"notification_id":"hello-{run}","user_id":"ok-you","template_id":"welcome"}}'
        lines = (
            "\nSend one, and see what became of it:\n",
            f"curl -i -X POST {address} {header} {json} -d '{body}'",
            f"curl -i {address}hello-{run}/ {header}",
            f"\n  logs     {demo.directory}",
            f"  phone    {demo.sandbox}/phone",
            f"  console  {demo.web}/admin/ (user operator, password {password})",
            "\nThe console opens on the dashboard. When it first starts, the demo puts a day of sample history there,",
            "marked as such; one click removes it for good.",
            "\nCtrl-C stops everything.",
        )
        for line in lines:
            self.stdout.write(line)
        self.stdout.flush()


def operator_password() -> str:
    """The operator's password on the first start, afterwards how to set another."""
    if User.objects.filter(username="operator").exists():
        return "unchanged; `.venv/bin/python manage.py changepassword operator` sets another"
    password = secrets.token_urlsafe(12)
    User.objects.create_superuser("operator", password=password)
    return f"{password}, printed only this once"


class Producer:
    """Speaks to the API as somebody who wants notifications sent."""

    def __init__(self, session: requests.Session, web: str, key: str) -> None:
        self.address = f"{web}/api/v1/notifications/"
        self.session = session
        self.session.headers["Authorization"] = f"Bearer {key}"

    def send(self, message: dict[str, Any]) -> None:
        """Raises DemoError unless it is accepted."""
        answer = self.session.post(self.address, json=message, timeout=10)
        if answer.status_code != requests.codes.accepted:
            raise DemoError(f"POST {self.address} answered {answer.status_code}: {answer.text}")

    def ending(self, notification_id: str, deadline: float) -> str:
        """The terminal status and its reason; what it is so far when the deadline passes."""
        while True:
            answer = self.session.get(f"{self.address}{notification_id}/", timeout=10)
            if not answer.ok:
                raise DemoError(f"GET {answer.url} answered {answer.status_code}: {answer.text}")
            found = answer.json()
            if found["status"] not in ("pending", "sending") or time.monotonic() > deadline:
                return " ".join(dict.fromkeys((found["status"], found["error_code"]))).strip()
            time.sleep(0.1)
