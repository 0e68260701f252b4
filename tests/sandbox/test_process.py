"""The sandbox, from outside: the book, the page, the process."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import requests

from sandbox.devices import STATES
from sandbox.orders import FAULTS
from tests.sandbox_process import ROOT, Sandbox, call_fcm, call_gateway, call_users, running, tagged

# --- The book ------------------------------------------------------------------------------------


def test_the_book_counts_repeats_of_one_tag_on_one_device(sandbox: Sandbox) -> None:
    for token, tag in [("ok-a", "1"), ("ok-a", "1"), ("ok-a", "2"), ("ok-b", "1"), ("ok-a", "1")]:
        sandbox.send(tagged(token, tag, title="T"))
    sandbox.send(tagged("ok-a", None))
    book = sandbox.book()
    assert (book["accepted_count"], book["repeats"], book["untagged"]) == (6, 2, 1)


@pytest.mark.parametrize(
    "part",
    [
        {"android": {"notification": {"tag": "t"}, "collapseKey": "other"}},
        {"androidV2": {"remote_notification": {"notification": {"tag": "t"}}}},
        {"android": {"collapse_key": "t"}},
        {"apns": {"headers": {"apns-collapse-id": "t"}}},
        {"webpush": {"notification": {"tag": "t"}}},
    ],
)
def test_the_tag_is_found_where_the_platforms_keep_it(sandbox: Sandbox, part: dict[str, Any]) -> None:
    sandbox.send({"token": "ok-1", **part})
    assert sandbox.book()["accepted"][0]["tag"] == "t"


def test_the_book_survives_a_kill_and_the_access_tokens_do_not(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        bearer, key = first.bearer, json.loads(first.key_file.read_text())["private_key"]
        first.send(tagged("ok-1", "t", title="kept"))
        call_gateway(first)
        call_users(first)
        first.send({"token": "dead-1"})
        before = first.book()
        os.kill(first.process.pid, signal.SIGKILL)
        first.process.wait()
    with (tmp_path / "book.jsonl").open("ab") as book:
        book.write(b'{"kind":"acc')  # as a full disk leaves it
    with running(tmp_path) as second:
        assert second.book() == before
        assert json.loads(second.key_file.read_text())["private_key"] == key
        assert second.send({"token": "ok-1"}, bearer).status_code == 401
        assert "kept" in second.get("/phone").text
        assert second.send(tagged("ok-1", "t")).status_code == 200
        assert second.book()["repeats"] == 1


def test_a_cleared_book_stays_clear(tmp_path: Path) -> None:
    with running(tmp_path) as first:
        call_fcm(first)
        first.clear()
        call_gateway(first)
    with running(tmp_path) as second:
        book = second.book()
        assert (book["accepted_count"], book["report_count"], book["counts"]["tokens"]) == (0, 1, 0)


def test_a_book_of_a_hundred_thousand_is_opened_and_read_quickly(tmp_path: Path) -> None:
    entry = {
        "kind": "accepted", "at": "2026-11-22T10:00:00.000+00:00", "name": "n", "target": "token",
        "title": "T" * 40, "body": "B" * 120, "image": None, "link": None, "priority": "HIGH",
        "data": {},
    }  # fmt: skip
    with (tmp_path / "book.jsonl").open("w") as file:
        for i in range(100_000):
            line = {**entry, "token": f"ok-{i % 5000}" + "x" * 150, "tag": str(i // 2)}
            file.write(json.dumps(line) + "\n")
    with running(tmp_path) as sandbox:
        started = time.monotonic()
        assert sandbox.get("/book?full=0").json()["accepted_count"] == 100_000
        assert time.monotonic() - started < 2
        assert len(sandbox.book()["accepted"]) == 100_000
        assert time.monotonic() - started < 15


def start_in_vain(*options: str) -> str:
    """What a sandbox that cannot start says."""
    command = [sys.executable, "-m", "sandbox", *options]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    return ended.stderr


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    (tmp_path / "book.jsonl").write_bytes(b'{"kind":"counted","what":"lookups"}\n\0\0\0\n')
    second = start_in_vain("--port", "0", "--dir", str(tmp_path))
    assert re.fullmatch(r"sandbox: .+book.jsonl has a damaged line: .+; remove the file\n", second)


def test_two_sandboxes_do_not_share_a_directory(tmp_path: Path) -> None:
    with running(tmp_path):
        command = [sys.executable, "-m", "sandbox", "--port", "0", "--dir", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert re.fullmatch(r"sandbox: another sandbox is using .+; give another --dir\n", second.stderr)


def test_a_taken_port_is_one_clear_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "sandbox", "--port", port, "--dir", str(tmp_path)]
        second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert second.returncode == 1
    assert re.fullmatch(rf"sandbox: cannot start on 127.0.0.1:{port}: .+\n", second.stderr)


# --- The pages -----------------------------------------------------------------------------------


def test_the_first_page_documents_every_prefix_fault_and_address(sandbox: Sandbox) -> None:
    page = sandbox.get("/").text
    words = "optout- nodevice- unknown- multi- dead- baduser- slowuser- malformed- mismatch- quota- "
    words += "unavailable- hang- badtemplate- reset-after-accept refuse400 html500 revoke-tokens "
    words += "/token messages:send /api/v1/users/ /api/v1/templates/render /api/v1/push/status/ "
    words += "/book /phone /control garbage huge refuse403 rotate-key /health welcome otp order_shipped"
    assert [word for word in words.split() if word not in page] == []


def test_every_state_and_fault_and_option_is_on_the_page_and_in_the_help(sandbox: Sandbox) -> None:
    words = [*STATES, *FAULTS, *STATES.values(), *FAULTS.values()]
    command = [sys.executable, "-m", "sandbox", "--help"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert [word for word in words if word not in told] == []
    page = unescape(sandbox.get("/").text)
    options = set(re.findall(r"--[a-z-]+", told)) - {"--help"}
    assert [word for word in (*words, *options) if word not in page] == []


# --- The process ---------------------------------------------------------------------------------


def test_it_stops_at_a_signal_even_while_somebody_looks(tmp_path: Path) -> None:
    with (
        running(tmp_path) as sandbox,
        requests.get(f"{sandbox.url}/phone/events", stream=True, timeout=30),
    ):
        sandbox.process.send_signal(signal.SIGTERM)
        assert sandbox.process.wait(20) == 0


def test_the_django_command_becomes_the_sandbox(tmp_path: Path) -> None:
    code = (
        "import sys; from deliveries.management.commands.sandbox import Command; "
        "Command().run_from_argv(['manage.py', 'sandbox', *sys.argv[1:]])"
    )
    with running(tmp_path, command=(sys.executable, "-c", code)) as sandbox:
        assert sandbox.get("/health").status_code == 200
        sandbox.process.send_signal(signal.SIGINT)
        assert sandbox.process.wait(20) == 0


def test_the_sandbox_imports_nothing_of_ours() -> None:
    rooms = ["pushproject", "deliveries", "providers", "django", "dramatiq"]
    code = f"import sys, sandbox.__main__; print([m for m in {rooms} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
