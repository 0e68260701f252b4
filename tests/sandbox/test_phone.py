"""The sandbox's phone, from outside: what it shows, at once and live."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest
import requests

from tests.sandbox_process import Sandbox, eventually, tagged


def test_the_phone_shows_a_push_escaped_and_whose_it_is(sandbox: Sandbox) -> None:
    message = tagged(sandbox.token_of("anna"), "t", title="<b>Hi</b>", body="a & b")
    sandbox.send({**message, "webpush": {"fcmOptions": {"link": "https://example.com/?a&b"}}})
    page = sandbox.get("/phone").text
    assert "&lt;b&gt;Hi&lt;/b&gt;" in page
    assert "a &amp; b" in page
    assert "https://example.com/?a&amp;b" in page
    assert "anna · android" in page
    assert "<b>Hi" not in page


def test_a_repeat_replaces_the_first_on_its_device_only(sandbox: Sandbox) -> None:
    for user, title in [("anna", "early"), ("berta", "hers"), ("anna", "later")]:
        sandbox.send(tagged(sandbox.token_of(user), "t", title=title))
    page = sandbox.get("/phone").text
    assert ("early" in page, "later" in page, "hers" in page) == (False, True, True)
    assert page.count("replaced, 2 times sent") == 1


def test_the_phone_can_show_one_device(sandbox: Sandbox) -> None:
    for user in ("anna", "berta"):
        sandbox.send(tagged(sandbox.token_of(user), "t", title=f"for {user}"))
    page = sandbox.get("/phone", params={"device": "berta · android"}).text
    assert ("for anna" in page, "for berta" in page) == (False, True)
    assert '<option value="anna · android">' in page


@pytest.mark.parametrize("image", ["javascript:alert(1)", "data:text/html,x", '"><script>'])
def test_only_pictures_from_the_web_are_shown(sandbox: Sandbox, image: str) -> None:
    sandbox.send({"token": "ok-1", "notification": {"title": "T", "image": image}})
    page = sandbox.get("/phone").text
    assert '<img class="picture"' not in page
    assert image not in page


def test_the_phone_needs_nothing_from_elsewhere(sandbox: Sandbox) -> None:
    answer = sandbox.get("/phone")
    assert not re.search(r"""(src|href)=["']?(https?:)?//""", answer.text)
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_pushes_arrive_live(sandbox: Sandbox) -> None:
    (after,) = re.findall(r"events\?after=(\d+)", sandbox.get("/phone").text)
    seen: list[dict[str, Any]] = []

    def listen(stream: requests.Response) -> None:
        for line in stream.iter_lines():
            if line.startswith(b'data: {"key'):
                seen.append(json.loads(line[6:]))
                if len(seen) == 2:
                    return

    path = f"{sandbox.url}/phone/events?after={after}"
    with requests.get(path, stream=True, timeout=30) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        listener = threading.Thread(target=listen, args=(stream,))
        listener.start()
        sandbox.send(tagged(sandbox.token_of("anna"), "t", title="<one>"))
        eventually(lambda: seen)
        sandbox.send(tagged(sandbox.token_of("anna"), "t", title="two"))
        listener.join(20)
    assert [push["device"] for push in seen] == ["anna · android"] * 2
    assert "&lt;one&gt;" in seen[0]["html"]
    assert "replaced, 2 times sent" in seen[1]["html"]
    assert seen[0]["key"] == seen[1]["key"]
