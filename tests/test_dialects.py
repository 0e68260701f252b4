"""The main job in every world that we know: its own messages in, its own paths, keys and words out."""

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import pytest
from pydantic import SecretStr

from tests.test_end_to_end import MIXED, declare_as_dns_core, rows
from tests.world import SandboxProcess, check_invariants, counted, eventually, message, query

TEMPLATE = "6f1c1c5e-54c3-4b8e-9d0a-2f1f5d8c7e10"


def uuid(name: str) -> str:
    return str(uuid5(NAMESPACE_URL, name))


def as_spec(user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    return message(uuid(user), user, variables={"name": "O'Brien"}), {}


def as_ancestor(user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the ancestor's push service expects, and its own example has: priority 1 for what is urgent."""
    body = {
        "notification_id": uuid(user),
        "user_id": user,
        "template_code": "welcome",
        "variables": {"name": "O'Brien"},
        "priority": 1,
        "metadata": {"source": "test"},
    }
    return body, {}


def as_dns_core(user: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What its gateway publishes, which is not what its push service expects."""
    id = uuid(user)
    body = {
        "correlation_id": uuid(f"correlation of {user}"),
        "template_id": TEMPLATE,
        "variables": {"user_name": "O'Brien", "verification_link": "https://example.com/?a&b", "app_name": "App"},
        "priority": 10,
        "retry_count": 0,
        "created_at": "2026-11-22T10:00:00.000Z",
        "metadata": {"user_id": user, "source": "api_gateway", "request_ip": "192.0.2.7"},
        "request_id": id,
        "type": "push",
    }
    return body, {"message_id": id, "priority": 10, "timestamp": int(time.time() * 1000)}


@dataclass(frozen=True)
class World:
    """A dialect, and what the 85 messages come to in it."""

    dialect: str
    written: Callable[[str], tuple[dict[str, Any], dict[str, Any]]]
    sends: int
    words: dict[str, int]
    keys: dict[str, set[str]]
    high: bool
    calls: dict[str, int]
    title: str


FLAT = {"notification_id", "status", "timestamp"}
CHANNEL = {"channel", "status"}
WORLDS = [
    World(
        "spec", as_spec, 75, {"delivered": 65, "failed": 20},
        {"delivered": FLAT, "failed": FLAT | {"error"}}, False,
        {"lookups": 85, "renders": 70, "reports": 85, "refused_lookups": 5}, "Welcome, O'Brien!",
    ),
    World(
        "ancestor", as_ancestor, 65, {"sent": 65, "skipped": 10, "failed": 10},
        {"sent": CHANNEL | {"sent_at"}, "skipped": CHANNEL | {"error_message"}, "failed": CHANNEL | {"error_message"}},
        True,
        {"lookups": 85, "token_lookups": 75, "renders": 70, "reports": 85, "refused_lookups": 5,
         "refused_token_lookups": 5}, "Welcome, O'Brien!",
    ),
    World(
        "dns-core", as_dns_core, 65, {"delivered": 65, "failed": 20},
        {"delivered": FLAT, "failed": FLAT | {"error"}}, True,
        {"lookups": 85, "token_lookups": 75, "renders": 70, "reports": 85, "refused_lookups": 5}, "News for O'Brien",
    ),
]  # fmt: skip


@pytest.fixture
def neighbours(tmp_path):
    """Starts sandboxes with options of a test's own."""
    started: list[SandboxProcess] = []

    def start(*options: str) -> SandboxProcess:
        started.append(SandboxProcess(tmp_path / f"sandbox-{len(started)}", *options))
        return started[-1]

    yield start
    for process in started:
        process.stop()


@pytest.mark.parametrize("world", WORLDS, ids=lambda world: world.dialect)
def test_the_main_job_in_every_dialect(worker, producer, neighbours, world):
    """As the sandbox speaks them. The `push-token` of its dns-core is what that world's push service asks and its user
    service lacks: that part shows what we would do with it, and not that it is there.
    """
    sandbox = neighbours("--dialect", world.dialect)
    declare_as_dns_core(producer.channel)
    for prefix, count in MIXED:
        for number in range(count):
            body, properties = world.written(f"{prefix}-{number}")
            producer.publish(body, **properties)
    worker(**sandbox.variables(), UPSTREAM_PROFILE=world.dialect)
    eventually(rows(85), what="85 notifications ended and reported")
    assert counted("notifications", "status") == {"sent": 65, "skipped": 10, "failed": 10}
    assert counted("notifications", "high_priority") == {world.high: 85}
    assert counted("notifications", "error_code") == {
        "": 65, "opted_out": 5, "no_device": 5, "unknown_user": 5, "UNREGISTERED": 5,
    }  # fmt: skip
    assert counted("push_deliveries", "status") == {"sent": world.sends, "failed": 5}
    book = sandbox.book()
    assert book["accepted_count"] == world.sends
    assert {entry["title"] for entry in book["accepted"]} == {world.title}
    assert Counter(report["status"] for report in book["reports"]) == world.words
    assert {report["notification_id"] for report in book["reports"]} == {
        uuid(f"{prefix}-{number}") for prefix, count in MIXED for number in range(count)
    }
    assert not [report for report in book["reports"] if report["body"].keys() != world.keys[report["status"]]]
    assert {what: number for what, number in book["counts"].items() if number} == world.calls | {"tokens": 1}
    assert producer.depth("failed.queue") == 0
    check_invariants(sandbox)


# --- Headers ---------------------------------------------------------------------------------------

HEADERS = {"users": "X-User-Key: one", "templates": "Authorization: Bearer two", "gateway": "X-Status-Secret: three"}


def demanding(neighbours) -> SandboxProcess:
    return neighbours(*[part for pair in HEADERS.items() for part in ("--require-header", "=".join(pair))])


def test_every_neighbour_gets_the_header_that_it_demands(engine, neighbours):
    sandbox = demanding(neighbours)
    world = {name.lower(): value for name, value in sandbox.variables().items()}
    running = engine(
        **world,
        user_service_header=SecretStr(HEADERS["users"]),
        template_service_header=SecretStr(HEADERS["templates"]),
        api_gateway_header=SecretStr(HEADERS["gateway"]),
    )
    running.accept(message("ok-1"))
    eventually(rows(1), what="an end and its report")
    assert counted("notifications", "status") == {"sent": 1}
    assert "unauthorized" not in sandbox.book()["counts"]


def test_a_neighbour_that_misses_its_header_is_named_and_waited_for(engine, neighbours):
    sandbox = demanding(neighbours)
    engine(**{name.lower(): value for name, value in sandbox.variables().items()}).accept(message("ok-1"))
    eventually(lambda: counted("notifications", "error_code") == {"user_service_denied": 1}, what="a refusal")
    [[status, reason, attempts, wait]] = query(
        "SELECT status, error_message, attempts, extract(epoch FROM next_attempt_at - now())::float8 FROM notifications"
    )
    assert "user service refuses us with 401" in reason
    assert (status, attempts) == ("pending", 0)
    assert 50 < wait <= 66
    assert sandbox.book()["counts"]["unauthorized"] == 1


# --- Tokens in messages ------------------------------------------------------------------------------


@pytest.mark.parametrize(("trusted", "users"), [(True, 0), (False, 1)])
def test_a_trusted_message_brings_its_devices_and_nobody_asks_for_others(worker, producer, sandbox, trusted, users):
    declare_as_dns_core(producer.channel)
    brought = {"device_tokens": [{"token": "ok-brought-along-by-the-message", "platform": "ios"}]}
    producer.publish(message("optout-1" if trusted else "ok-1", **brought))
    running = worker(TRUST_MESSAGE_TOKENS=str(trusted).lower(), LOG_LEVEL="DEBUG")
    eventually(rows(1), what="an end and its report")
    book = sandbox.book()
    [[token, platform]] = query("SELECT device_token, platform FROM push_deliveries")
    assert ((token, platform) == ("ok-brought-along-by-the-message", "ios")) is trusted
    assert book["accepted"][0]["token"] == token
    assert book["counts"]["lookups"] == users
    [[request]] = query("SELECT request::text FROM notifications")
    assert ("brought-along" in request) is trusted
    assert "brought-along" not in running.words()
