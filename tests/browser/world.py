"""The world that the console is looked at in: a site, a worker and the sandbox, and notifications that went through."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import requests
from django.conf import settings
from django.contrib.auth.models import Group, User
from pika.exceptions import UnroutableError

from deliveries import operations
from deliveries.api import keys
from deliveries.operations import Who
from pushproject.processes import free_port
from tests.processes import wait_until
from tests.rabbit import RabbitNode
from tests.world import (
    ROOT,
    Producer,
    SandboxProcess,
    WorkerProcess,
    all_ended,
    database_url,
    eventually,
    message,
    query,
    surroundings,
)

PASSWORD = "a-long-way-to-Tipperary"
BASICS = {"title": "Your parcel is on its way", "body": "It arrives on Tuesday."}

#: User ids by which the sandbox knows how each is to end.
ENDINGS = (
    "ada",
    "multi-bea",
    "mixed-cem",
    "dead-dan",
    "malformed-dora",
    "mismatch-emil",
    "optout-eve",
    "nodevice-fay",
    "unknown-gus",
    "baduser-hal",
    "apns410-ines",
)
POISON = (b'{"user_id": "ada"}', b'{"notification_id": "n-poison", "user_id": ""}')
#: An open breaker stays open; a process that asks too soon is told to wait for long.
SLOW = {"CIRCUIT_BREAKER_TIMEOUT": "600"}


@contextmanager
def site(directory: Path, variables: dict[str, str], *options: str) -> Iterator[str]:
    """`manage.py serve` as operators start it; gives its address."""
    port, log = free_port(), directory / "serve.log"
    command = [sys.executable, "manage.py", "serve", "--bind", f"127.0.0.1:{port}", "--threads", "4", *options]
    environment = os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings", "PORT": str(port)} | variables
    with log.open("w") as out:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=out, stderr=out)
    wait_until(lambda: "Listening at" in log.read_text(), process, log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(40)


@dataclass
class World:
    """What runs, and what it is told to do."""

    address: str
    sandbox: SandboxProcess
    worker: WorkerProcess
    producer: Producer
    ids: list[str] = field(default_factory=list)

    def send(self, user: str, id: str | None = None, **more: Any) -> str:
        """Publishes a notification to a user; returns its id."""
        id = id or f"n-{len(self.ids)}-{user}"
        self.ids.append(id)
        self.producer.publish(message(id, user, **more))
        return id

    def wait(self) -> None:
        """Returns when all has ended and the gateway was told."""
        eventually(all_ended, within=60, what="an end of all notifications")

    def pushes(self, user: str) -> int:
        """How many pushes to a user's devices FCM has taken."""
        return sum(f"-{user}" in entry["tag"] for entry in self.sandbox.book()["accepted"])


def status(id: str) -> str:
    rows = query("SELECT status FROM notifications WHERE notification_id = %s", id)
    return str(rows[0][0]) if rows else ""


@contextmanager
def living(directory: Path, rabbit: RabbitNode) -> Iterator[World]:
    """Everything is up, and every ending has happened."""
    sandbox = SandboxProcess(directory / "sandbox", "--hang", "2")
    variables = surroundings(sandbox, rabbit) | SLOW
    worker = WorkerProcess(directory / "worker.log", variables)
    try:
        with site(directory, variables) as address, closing(Producer(rabbit.url)) as producer:
            worker.wait_until_ready()
            world = World(address, sandbox, worker, producer)
            live_a_while(world)
            yield world
    finally:
        worker.kill()
        sandbox.stop()


def is_taken(world: World, body: bytes) -> bool:
    """Publishes; says whether the worker has its queue already."""
    with suppress(UnroutableError):
        world.producer.publish(body)
        return True
    return False


def live_a_while(world: World) -> None:
    """Every ending, dead letters, a device that has had enough, somebody who cancels."""
    eventually(lambda: is_taken(world, b"not JSON"), what="a queue")
    for body in POISON:
        world.producer.publish(body)
    for user in ENDINGS:
        world.send(user, template_id="parcel", **BASICS)
    world.send("ada", template_id="badtemplate-sale")
    world.send("garbage-ivy", guarantee="at_most_once")
    world.send("quota-jon", ttl=1)
    for turn in range(4):
        world.send("ada", id=f"n-ada-{turn}")
    cancelled = world.send("quota-kim")
    eventually(lambda: query("SELECT 1 FROM brakes WHERE notification_id = %s", cancelled), what="a brake")
    keys.create("gateway", actor="shell root@push")
    operations.cancel([cancelled], Who("user olga", "the campaign was called off"))
    world.wait()


def break_down(world: World) -> None:
    """The project's quota is used up, and then the user service goes down: nothing is sent any more."""
    world.sandbox.control("fcm", "quota", retry_after=900)
    for turn in range(30):
        world.send("ada", id=f"n-storm-{turn}")
    eventually(lambda: query("SELECT 1 FROM brakes WHERE scope = 'project'"), what="the project's brake")
    world.sandbox.control("users", "down")
    for turn in range(12):
        world.send(f"u-{turn}", id=f"n-breaker-{turn}")
    faults = "SELECT 1 FROM push_attempts WHERE error_code = 'breaker_open' OR error_message LIKE '%%breaker%%'"
    eventually(lambda: "breaker" in world.worker.words() or query(faults), what="an open breaker")


def people() -> None:
    """An admin, and somebody for each role. The password is everybody's."""
    User.objects.create_superuser("root", password=PASSWORD)
    for role in Group.objects.all():
        User.objects.create_user(role.name, password=PASSWORD, is_staff=True).groups.add(role)


@cache
def log_in(address: str, name: str) -> str:
    """The session of somebody who has logged in: the cookie's value."""
    session = requests.Session()
    page = f"{address}/admin/login/"
    session.get(page, timeout=10)
    fields = {"username": name, "password": PASSWORD, "csrfmiddlewaretoken": session.cookies["csrftoken"]}
    session.post(page, fields, headers={"Referer": page}, timeout=10)
    return str(session.cookies[settings.SESSION_COOKIE_NAME])


@contextmanager
def empty_site(directory: Path, rabbit: RabbitNode) -> Iterator[str]:
    """A site on a database of its own, in which nothing has happened yet."""
    query("CREATE DATABASE empty_console")
    url = f"{database_url().rpartition('/')[0]}/empty_console"
    variables = {"DATABASE_URL": url, "RABBITMQ_URL": rabbit.url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    named = {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    root = [sys.executable, "manage.py", "createsuperuser", "--noinput", "--username", "root", "--email", ""]
    with site(directory, variables, "--migrate") as address:
        subprocess.run(root, cwd=ROOT, env=os.environ | variables | named, check=True, capture_output=True)
        yield address
    query("DROP DATABASE empty_console")
