"""The sandbox's quotas, from outside: so many sends in a window, and 429 until it ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox_process import (
    ERROR_INFO,
    QUOTA_FAILURE,
    Sandbox,
    details_of,
    eventually,
    fcm_code,
    running,
)


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Sandbox]:
    """Four sends a minute for the whole project."""
    with running(tmp_path, "--quota", "4") as sandbox:
        yield sandbox


def sent(sandbox: Sandbox, *targets: str) -> list[int]:
    return [sandbox.send({"token": target}).status_code for target in targets]


def test_the_projects_quota_counts_what_is_sent_and_what_the_client_did_wrong(project: Sandbox) -> None:
    assert sent(project, "ok-1", "dead-1", "not a token") == [200, 404, 400]
    assert project.send({"token": "ok-1", "colour": "red"}).status_code == 400
    answer = project.send({"token": "ok-2"})
    assert (answer.status_code, fcm_code(answer)) == (429, None)
    info = details_of(answer)[ERROR_INFO]
    assert (info["reason"], info["metadata"]["quota_limit"]) == ("RATE_LIMIT_EXCEEDED", "SendsPerMinutePerProject")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60
    assert project.book()["refusals"]["RESOURCE_EXHAUSTED"] == 1


def test_strangers_and_troubles_of_fcms_own_do_not_use_the_quota_up(project: Sandbox) -> None:
    assert [project.send({"token": "ok-1"}, "made-up").status_code for _ in range(3)] == [401] * 3
    assert sent(project, *["unavailable-1", "quota-1", "html502-1"] * 2) == [503, 429, 502] * 2
    assert sent(project, *["ok-1"] * 5) == [200] * 4 + [429]


def test_a_window_ends_and_what_was_refused_in_it_is_not_counted(tmp_path: Path) -> None:
    with running(tmp_path, "--quota", "2", "--quota-window", "1.5") as sandbox:
        assert sandbox.bearer
        assert sent(sandbox, "ok-1", "ok-1") == [200, 200]
        refused = sandbox.send({"token": "ok-1"})
        assert (refused.status_code, refused.headers["Retry-After"] in "12") == (429, True)
        eventually(lambda: sent(sandbox, "ok-1") == [200])
        assert sandbox.book()["accepted_count"] == 3
        assert sandbox.book()["refusals"]["RESOURCE_EXHAUSTED"] > 3


@pytest.mark.parametrize(
    ("option", "full", "others", "subject"),
    [
        ("--device-quota", {"token": "ok-1"}, [{"token": "ok-2"}, {"fid": "ok-3"}, {"topic": "news"}], "device"),
        ("--topic-quota", {"topic": "news"}, [{"topic": "sport"}, {"token": "ok-1"}], "topic"),
    ],
)
def test_a_device_or_topic_that_gets_too_much_leaves_the_others_alone(
    tmp_path: Path, option: str, full: dict[str, Any], others: list[dict[str, Any]], subject: str
) -> None:
    with running(tmp_path, option, "2") as sandbox:
        assert [sandbox.send(full).status_code for _ in range(2)] == [200, 200]
        answer = sandbox.send(full)
        assert (answer.status_code, fcm_code(answer)) == (429, "QUOTA_EXCEEDED")
        assert details_of(answer)[QUOTA_FAILURE]["violations"][0]["subject"] == subject
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert [sandbox.send(other).status_code for other in others] == [200] * len(others)
        (refused,) = sandbox.book()["refused"]
        assert refused["token"] == next(iter(full.values()))


def test_without_a_quota_there_is_none(tmp_path: Path) -> None:
    with running(tmp_path) as sandbox:
        assert set(sent(sandbox, *["ok-1"] * 20)) == {200}
