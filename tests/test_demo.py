"""`make demo`: what it prints can be run, what it did is still there, and it survives a kill."""

import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from pathlib import Path
from typing import Self

import pytest
import requests

from pushproject.environment import BASE_DIR, Environment
from pushproject.processes import command_line, free_port
from tests.processes import wait_until

READY = "Ctrl-C stops everything."


class Started:
    """A demo that is up, and what it has printed."""

    def __init__(self, var: Path, web_port: int) -> None:
        ours = {name.upper() for name in Environment.model_fields}
        kept = {name: value for name, value in os.environ.items() if name not in ours}
        own = {"DJANGO_SETTINGS_MODULE": "pushproject.settings", "ENV_FILE": "", "VAR_DIR": str(var)}
        self.var, out = var, var / "demo.out"
        with out.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", "demo"],
                env=kept | own | {"PORT": str(web_port)},
                cwd=BASE_DIR,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        wait_until(lambda: READY in out.read_text(), self.process, out)
        self.text = out.read_text()

    def curls(self) -> list[requests.Response]:
        return [curl(line) for line in self.text.splitlines() if line.startswith("curl")]

    def book(self) -> dict:
        address = re.search(r"phone +(\S+)/phone", self.text)
        assert address
        return requests.get(f"{address[1]}/book", timeout=10).json()

    def children(self) -> list[int]:
        return [int((self.var / f"demo/{name}.pid").read_text()) for name in ("serve", "sandbox")]

    def password(self) -> str:
        [printed] = re.findall(r"password (\S+), printed only", self.text)
        return printed

    def end(self, number: signal.Signals) -> int:
        self.process.send_signal(number)
        return self.process.wait(30)


def curl(line: str) -> requests.Response:
    """Does what curl would: as a shell splits it, with the options that we print."""
    parser = ArgumentParser()
    parser.add_argument("program", choices=["curl"])
    parser.add_argument("-i", action="store_true")
    parser.add_argument("-X", default="GET")
    parser.add_argument("-H", action="append")
    parser.add_argument("-d")
    parser.add_argument("address")
    said = parser.parse_args(shlex.split(line))
    headers = dict(header.split(": ", 1) for header in said.H)
    return requests.request(said.X, said.address, headers=headers, data=said.d, timeout=10)


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture(scope="module")
def first(passable):
    demo = Started(passable, free_port())
    yield demo
    if demo.process.poll() is None:
        demo.end(signal.SIGTERM)


def test_every_ending_is_shown(first):
    for about, ending in (
        ("sent, to three devices", "sent"),
        ("sent, to a browser", "sent"),
        ("failed, the app was removed", "failed UNREGISTERED"),
        ("skipped, the user opted out", "skipped opted_out"),
        ("skipped, no device", "skipped no_device"),
        ("failed, unknown user", "failed unknown_user"),
        ("failed, unknown template", "failed template_missing"),
        ("expired", "expired"),
    ):
        assert re.search(rf"{about} +-> {ending}$", first.text, re.MULTILINE), first.text


def test_the_two_printed_commands_send_one_and_look_at_it(first):
    posted, _ = first.curls()
    assert posted.status_code == 202
    wait_for(lambda: first.curls()[1].json()["status"] == "sent")
    shown = [entry for entry in first.book()["accepted"] if "hello-" in json.dumps(entry)]
    assert len(shown) == 1


class Operator:
    """Somebody at the console of a demo, with the password that the first one printed."""

    def __init__(self, demo: Started, first: Started) -> None:
        address, password = re.search(r"console +(\S+) \(user operator, password (\S+)", demo.text), first.password()
        assert address
        self.address = address[1]
        self.session = requests.Session()
        self.session.get(self.address, timeout=10)
        self.page = self.post("login/", username="operator", password=password, next="/admin/")

    def post(self, path: str, **form: str) -> requests.Response:
        form["csrfmiddlewaretoken"] = self.session.cookies["csrftoken"]
        return self.session.post(f"{self.address}{path}", data=form, timeout=10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.session.close()


def test_the_operator_gets_in_with_the_printed_password_and_finds_a_day_of_history(first):
    with Operator(first, first) as operator:
        assert operator.page.url == operator.address
        assert "Log out" in operator.page.text
        assert "sample history of the demo" in operator.page.text


def test_the_last_words_lead_to_the_console(first):
    last = first.text.split("\ncurl")[-1]
    assert "/admin/ (user operator" in last
    assert "The console opens on the dashboard" in last


def test_stopped_and_started_again_it_has_everything_and_sends_nothing_twice(first, passable):
    [hello] = re.findall(r"/notifications/(hello-\w+)/", first.text)
    with Operator(first, first) as operator:
        assert "The sample history is removed" in operator.post("samples/remove/").text
    children = first.children()
    assert first.end(signal.SIGINT) == 0
    assert not any(map(command_line, children))
    second = Started(passable, free_port())
    try:
        assert "password unchanged" in second.text
        [key] = set(re.findall(r"Bearer (\w[\w-]+)", second.text))
        address = second.curls()[1].url.rsplit("/", 2)[0]
        headers = {"Authorization": f"Bearer {key}"}
        answer = requests.get(f"{address}/{hello}/", headers=headers, timeout=10)
        assert answer.json()["status"] == "sent"
        assert second.book()["repeats"] == 0
        with Operator(second, first) as operator:
            assert "sample history" not in operator.page.text  # what was removed stays away
        assert requests.get(f"{address}/{hello}/", headers=old_key(first), timeout=10).status_code == 401
    finally:
        second.end(signal.SIGTERM)


def old_key(demo: Started) -> dict[str, str]:
    [key] = set(re.findall(r"Bearer (\w[\w-]+)", demo.text))
    return {"Authorization": f"Bearer {key}"}


def test_after_a_kill_the_next_finds_what_was_left(passable):
    killed = Started(passable, free_port())
    children = killed.children()
    killed.end(signal.SIGKILL)
    following = Started(passable, free_port())
    assert not any(map(command_line, children))
    assert following.end(signal.SIGINT) == 0
    assert not list((passable / "demo").glob("*.pid"))


def test_a_second_demo_takes_the_place_of_the_first(passable):
    older = Started(passable, free_port())
    newer = Started(passable, free_port())
    assert older.process.wait(30) == 143
    assert newer.curls()[0].status_code == 202
    assert newer.end(signal.SIGINT) == 0
