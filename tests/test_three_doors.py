"""One delivery, three doors: API, console and command ask for its resend at the same moment, and it is sent once."""

import os
import subprocess
import sys
import threading

from django.contrib.auth.models import User
from django.db import connections
from django.test import Client
from django.urls import reverse

from deliveries.models import PushDelivery
from tests.api_client import DELIVERIES, Api, a_key
from tests.console import form_of
from tests.world import ROOT, all_ended, check_invariants, database_url, eventually, message, query

AT_EACH_DOOR = 4


def at_once(*calls) -> None:
    go = threading.Barrier(len(calls))
    done = []

    def run(call) -> None:
        go.wait()
        try:
            call()
            done.append(call)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(done) == len(calls)


class Doors:
    """Who asks for the resend of one delivery, again and again until the commands, which start slowly, are through."""

    def __init__(self, delivery: int) -> None:
        self.answers: dict[str, set[int]] = {"api": set(), "console": set(), "command": set()}
        self._key = a_key()
        self._ada = User.objects.create(username="ada", is_superuser=True, is_staff=True)
        self._api = f"{DELIVERIES}{delivery}/resend/"
        self._console = reverse("admin:deliveries_pushdelivery_resend")
        self._form = form_of(self._client().get(self._console, {"id": delivery}))
        self._over = threading.Event()

    def by_api(self) -> None:
        while not self._over.wait(0.05):
            self.answers["api"].add(Api(self._key).post_to(self._api).status_code)

    def by_console(self) -> None:
        while not self._over.wait(0.05):
            self.answers["console"].add(self._client().post(self._console, self._form).status_code)

    def by_command(self) -> None:
        variables = os.environ | {"DATABASE_URL": database_url(), "RABBITMQ_URL": ""}
        command = [sys.executable, "manage.py", "resend", "n1", "--json"]
        ended = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, timeout=60, check=False)
        self.answers["command"].add(ended.returncode)
        self._over.set()

    def _client(self) -> Client:
        client = Client()
        client.force_login(self._ada)
        return client


def test_one_delivery_asked_for_at_three_doors_at_once_is_sent_once(engine, sandbox):
    running = engine()
    sandbox.control("fcm", "refuse400")
    running.accept(message("n1", "ada"))
    eventually(all_ended)
    sandbox.control("fcm", "slow", latency_ms=2500)
    [[delivery]] = query("SELECT id FROM push_deliveries")
    doors = Doors(delivery)
    at_once(*[doors.by_api, doors.by_console, doors.by_command] * AT_EACH_DOOR)
    eventually(lambda: sandbox.book()["accepted_count"] >= 1 and all_ended())
    assert doors.answers["api"] <= {202, 409} and doors.answers["api"]
    assert doors.answers["console"] == {302}
    assert doors.answers["command"] <= {0, 1} and doors.answers["command"]
    assert sandbox.book()["accepted_count"] == 1
    assert query("SELECT count(*) FROM audit_log WHERE action = 'resend'") == [(1,)]
    assert list(PushDelivery.objects.values_list("status", flat=True)) == ["sent"]
    assert query("SELECT resends FROM notifications") == [(1,)]
    check_invariants(sandbox)
