"""The main job through real RabbitMQ and PostgreSQL, with the worker that operators start."""

import json
from pathlib import Path

import pytest

from deliveries.broker.inspection import look_at
from tests.world import (
    all_ended,
    check_invariants,
    counted,
    eventually,
    message,
    query,
)

DNS_CORE_ARGUMENTS = {
    "x-dead-letter-exchange": "notifications.dlx",
    "x-dead-letter-routing-key": "failed",
    "x-max-priority": 10,
}
MIXED = (("ok", 60), ("optout", 5), ("nodevice", 5), ("unknown", 5), ("multi", 5), ("dead", 5))


def declare_as_dns_core(channel) -> None:
    """What a NestJS gateway does when it starts."""
    channel.exchange_declare("notifications.direct", "direct", durable=True)
    channel.exchange_declare("notifications.dlx", "direct", durable=True)
    channel.queue_declare("failed.queue", durable=True)
    channel.queue_bind("failed.queue", "notifications.dlx", "failed")
    channel.queue_declare("push.queue", durable=True, arguments=DNS_CORE_ARGUMENTS)
    channel.queue_bind("push.queue", "notifications.direct", "push")


def rows(count: int):
    """Whether so many notifications are accepted, ended and reported."""
    return lambda: query("SELECT count(*) FROM notifications") == [(count,)] and all_ended()


def publish_mixed(producer) -> None:
    for prefix, count in MIXED:
        for number in range(count):
            producer.publish(message(f"{prefix}-{number}"))


@pytest.mark.parametrize("first", ["gateway", "service"])
def test_the_main_job(worker, producer, sandbox, first):
    if first == "gateway":
        declare_as_dns_core(producer.channel)
        publish_mixed(producer)
        running = worker().wait_until_ready()
    else:
        running = worker().wait_until_ready()
        eventually(lambda: "Engine started" in running.words())
        there = producer.channel.connection  # the consumer declares after the worker says that it is ready
        eventually(lambda: look_at(there, "push.queue").consumers, what="a consumer of push.queue")
        declare_as_dns_core(producer.channel)
        publish_mixed(producer)
    eventually(rows(85), what="85 notifications ended and reported")
    book = sandbox.book()
    assert book["accepted_count"] == 75
    assert counted("push_deliveries", "status", "error_code") == {("sent", ""): 75, ("failed", "UNREGISTERED"): 5}
    assert book["report_count"] == 85
    allowed = {"notification_id", "status", "timestamp", "error"}
    assert all(report["body"].keys() <= allowed for report in book["reports"])
    assert producer.depth("push.queue") == 0
    tokens = [token for [token] in query("SELECT device_token FROM push_deliveries")]
    words = running.words()
    assert len(tokens) == 80
    assert not [token for token in tokens if token in words or token[-20:] in words], "a device token is in the log"
    assert "BEGIN PRIVATE KEY" not in words
    check_invariants(sandbox)


def test_a_push_to_a_topic_comes_from_the_queue_and_is_sent_once(worker, producer, sandbox):
    sandbox.control("users", "down")
    declare_as_dns_core(producer.channel)
    producer.publish({"notification_id": "n1", "topic": "/topics/news", "template_id": "welcome", "variables": {}})
    worker().wait_until_ready()
    eventually(rows(1), what="an end and a report")
    [push] = sandbox.book()["accepted"]
    assert (push["target"], push["token"], push["tag"]) == ("topic", "news", "n1")
    assert sandbox.hits("users") == 0
    assert sandbox.reports()["n1"][0]["status"] == "delivered"
    check_invariants(sandbox)


def _dramatiq_shaped(**fields) -> bytes:
    """A body that Dramatiq would take for one of its own messages."""
    known = {"queue_name": "push.queue", "actor_name": "receive", "args": [], "kwargs": {}, "options": {}}
    return json.dumps(known | {"message_id": "shaped", "message_timestamp": 1} | fields).encode()


def _request(id: str, **fields) -> bytes:
    return json.dumps({"notification_id": id, "user_id": "u", "title": "t"} | fields).encode()


HOSTILE = [
    b"",
    b"not json",
    b"\x00\xff\xfe",
    b"{",
    b"null",
    b"[]",
    b'"text"',
    b"17",
    b"{}",
    b'{"notification_id": null}',
    b'{"notification_id": {"a": 1}, "user_id": "u", "title": "t"}',
    b'{"notification_id": ["x"], "user_id": "u", "title": "t"}',
    b'{"notification_id": "bad-1", "user_id": ["u"], "title": "t"}',
    b'{"notification_id": "bad-2", "user_id": "u"}',
    b'{"notification_id": "bad-3", "user_id": "u", "title": 7, "ttl": "soon"}',
    b'{"notification_id": "bad-4", "user_id": "u", "title": "t", "variables": "none"}',
    b'{"notification_id": "bad-5", "user_id": "u", "title": "t", "metadata": [1]}',
    b'{"notification_id": "bad-6", "user_id": "u", "title": "t", "priority": {"a": 1}}',
    b'{"notification_id": "bad-7", "user_id": "u", "title": "t", "ttl": -5}',
    b'{"notification_id": "bad-8", "user_id": "u", "title": "nul \\u0000 inside"}',
    b'{"notification_id": "bad\\u00009", "user_id": "u", "title": "t"}',
    b'{"notification_id": "bad-10", "user_id": "u", "title": "t", "variables": {"a\\u0000": 1}}',
    b'{"notification_id": "bad-11", "user_id": "u", "title": "\\ud800"}',
    _request("bad-12", title="t" * 2000),
    _request("x" * 256),
    _request("bad-13", metadata={"x": "y" * 1_000_000}),
    b"x" * 1_000_000,
    b"[" * 100_000,
    b'{"notification_id": "bad-14", "user_id": "u", "title": "t", "variables": ' + b'{"a":' * 500 + b"1" + b"}" * 501,
    b'{"notification_id": "bad-15", "user_id": "u", "title": "t", "variables": ' + b'{"a":' * 5000 + b"1" + b"}" * 5001,
    _dramatiq_shaped(options=None),
    _dramatiq_shaped(actor_name=["receive"]),
    _dramatiq_shaped(queue_name="elsewhere", args=[1]),
    _dramatiq_shaped(options={"eta": 99999999999999}),
    _dramatiq_shaped(actor_name="nobody", options={"pipe_target": {}}),
    _dramatiq_shaped(queue_name="push.queue.resume", actor_name="resume", args=[["ok-1"]]),
    b'{"pattern": "notifications.push", "data": {"notification_id": "bad-16"}}',
    b'{"pattern": "notifications.push", "data": {"notification_id": "bad-17", "user_id": 1.5, "title": true}}',
    b'{"notification_id": true, "user_id": "u", "title": "t"}',
    b'{"notification_id": "bad-18", "user_id": "u", "title": "t", "expires_at": "tomorrow"}',
]


def test_hostile_bodies_are_dead_letters_and_hold_nothing_up(worker, producer, sandbox):
    assert len(HOSTILE) == 40
    declare_as_dns_core(producer.channel)
    running = worker("--threads", "3").wait_until_ready()
    producer.publish(message("first"))
    eventually(rows(1), what="the first, for which all threads are there")
    threads = _threads(running)
    for number in range(219):
        producer.publish(message(f"ok-{number}"))
        if number % 5 == 0 and number // 5 < 40:
            producer.publish(HOSTILE[number // 5])
    eventually(rows(220), what="the good ones")
    assert counted("notifications", "status") == {"sent": 220}
    eventually(lambda: counted("dead_letters", "code") == {"invalid_message": 40}, what="40 dead letters")
    assert not query("SELECT 1 FROM dead_letters WHERE jsonb_array_length(reasons) = 0")
    eventually(lambda: producer.depth("failed.queue") == 40, what="40 copies")
    named = {row[0] for row in query("SELECT notification_id FROM dead_letters WHERE notification_id IS NOT NULL")}
    assert {f"bad-{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 16, 17, 18)} <= named
    eventually(lambda: not query("SELECT 1 FROM dead_letters WHERE report_due_at IS NOT NULL"), what="reports paid")
    for id in named:
        [report] = sandbox.reports()[id]
        assert report["status"] == "failed"
        assert report["error"]
    assert _threads(running) >= threads, "a thread has died"
    producer.publish(message("after"))
    eventually(rows(221), what="one more")
    assert "y" * 50 not in running.words(), "a body is in the log"


def _threads(running) -> int:
    """How many threads the worker process has."""
    [child] = _children(running._process.pid)
    return len(list(Path(f"/proc/{child}/task").iterdir()))


def _children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def test_kill_9_with_hundreds_in_flight_loses_nothing_and_counts_what_it_does_not_know(worker, producer, slow_sandbox):
    declare_as_dns_core(producer.channel)
    running = worker(**slow_sandbox.variables()).wait_until_ready()
    for number in range(300):
        producer.publish(message(f"n{number}"))
    eventually(lambda: slow_sandbox.book(full=False)["accepted_count"] > 50, what="some of them sent")
    running.kill()
    assert counted("notifications", "status").get("sending", 0) > 100
    worker(**slow_sandbox.variables()).wait_until_ready()
    eventually(rows(300), within=60, what="300 ended and reported")
    assert counted("notifications", "status") == {"sent": 300}
    [[unknown]] = query("SELECT sum(unknown_count) FROM push_deliveries")
    repeats = slow_sandbox.book(full=False)["repeats"]
    assert 0 < repeats <= unknown
    check_invariants(slow_sandbox, answers_lost=True)


def test_sigterm_finishes_what_is_in_flight(worker, producer, slow_sandbox):
    declare_as_dns_core(producer.channel)
    running = worker(**slow_sandbox.variables()).wait_until_ready()
    for number in range(500):
        producer.publish(message(f"n{number}"))
    eventually(lambda: counted("notifications", "status").get("sending", 0) > 100, what="hundreds in flight")
    code = running.terminate()
    assert code == 0, running.words()[-3000:]
    statuses = counted("notifications", "status")
    assert "sending" not in statuses, statuses
    assert query("SELECT count(*) FROM notifications WHERE worker_id IS NOT NULL") == [(0,)]
    assert query("SELECT coalesce(sum(unknown_count), 0) FROM push_deliveries") == [(0,)]
    assert query("SELECT count(*) FROM workers") == [(0,)]
    worker(**slow_sandbox.variables()).wait_until_ready()
    eventually(rows(500), within=60, what="500 ended and reported")
    assert counted("notifications", "status") == {"sent": 500}
    assert slow_sandbox.book(full=False)["repeats"] == 0
    check_invariants(slow_sandbox)


def test_rundramatiq_without_rabbitmq_says_what_to_do(worker):
    refused = worker(RABBITMQ_URL="")
    eventually(lambda: not refused.running, what="an end")
    assert "RABBITMQ_URL" in refused.words()
    assert "Traceback" not in refused.words()


def test_where_there_is_no_gateway_nothing_is_owed_to_it(worker, producer, sandbox):
    declare_as_dns_core(producer.channel)
    producer.publish(message("ok-1"))
    producer.publish({"notification_id": "no-user"})
    worker(API_GATEWAY_URL="none")
    eventually(rows(1), what="an end that counts as reported")
    eventually(lambda: counted("dead_letters", "code") == {"invalid_message": 1}, what="a dead letter")
    assert query("SELECT report_due_at, reported_at FROM dead_letters") == [(None, None)]
    assert sandbox.reports() == {}
    [[upstreams]] = query("SELECT breakers FROM workers")
    assert "gateway" not in upstreams
