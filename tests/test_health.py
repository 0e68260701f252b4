"""Health: it tells the truth about what is away, quickly, and nothing that a stranger should not know."""

import json
import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

import pika
import psycopg
import pytest
from django.db import connection
from django.utils import timezone
from pika.exceptions import AMQPError

from deliveries import health
from deliveries.broker import EmbeddedBroker, PushBroker, Topology
from deliveries.broker.inspection import asked, look_at
from deliveries.ledger.asking import ask
from tests.console import dead_token
from tests.outages import broker_instead, database_away, unreachable_rabbitmq, way_to
from tests.world import eventually, message, query

HEALTH = "/api/v1/health"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(health, "_migrated", False)
    _forget()
    yield
    _forget()


def _forget() -> None:
    health.rabbitmq.forget()
    health.likeness.forget()


@pytest.fixture
def consumed(producer) -> Iterator[pika.adapters.blocking_connection.BlockingChannel]:
    """`push.queue` as a worker makes it, and somebody who consumes it."""
    connection = producer.channel.connection
    Topology().ensure_intake(connection)
    channel = connection.channel()
    channel.basic_consume("push.queue", lambda *_: None)
    return channel


@pytest.fixture
def without_database(transactional_db) -> Iterator[None]:
    with database_away():
        yield


def work(*, ago: float = 0, in_flight: int = 0, **breakers: str) -> None:
    """A worker that beat its heart `ago` seconds ago."""
    states = {name: {"breaker": {"state": state}} for name, state in breakers.items()}
    query(
        "INSERT INTO workers (id, host, pid, in_flight, breakers, heartbeat_at)"
        " VALUES (%s, 'a-host', 4711, %s, %s, now() - make_interval(secs => %s))",
        uuid4(),
        in_flight,
        json.dumps(states),
        ago,
    )


@contextmanager
def read_only() -> Iterator[None]:
    """New connections to the test's database change nothing."""
    name = connection.ops.quote_name(connection.settings_dict["NAME"])
    query(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    yield
    query(f"ALTER DATABASE {name} RESET default_transaction_read_only")


def states(told: dict) -> dict[str, str]:
    return {name: upstream["state"] for name, upstream in told["upstreams"].items()}


def test_all_is_well(client, consumed):
    work(in_flight=3, fcm="closed", gateway="closed")
    work(in_flight=4, fcm="closed", gateway="closed", ago=5)
    answer = client.get(HEALTH)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    told = answer.json()
    assert told.pop("database").pop("latency_ms") >= 0
    last, oldest = (told["workers"].pop(name) for name in ("last_heard_seconds", "oldest_heartbeat_seconds"))
    assert 0 <= last < 5 <= oldest < 15, "in seconds, wide enough for a busy machine"
    assert told == {
        "status": "ok",
        "rabbitmq": {
            "status": "up",
            "queue": {
                "name": "push.queue",
                "exists": True,
                "messages": 0,
                "consumers": 1,
                "expected": True,
                "difference": None,
            },
            "dead_letters": {"name": "failed.queue", "messages": 0},
            "blocked": False,
        },
        "workers": {"alive": 2, "silent": 0, "in_flight": 7},
        "upstreams": {
            "fcm": {"state": "closed", "retry_after": 0.0},
            "gateway": {"state": "closed", "retry_after": 0.0},
        },
        "oldest_due_seconds": 0.0,
        "brakes": {"on": 0, "project": False, "process": False},
        "dead_letters": {"open": 0},
        "dead_tokens": {"held": 0, "pruning": "on"},
        "reports": {"refused_last_day": 0},
    }


@pytest.mark.parametrize(
    ("ago", "stopped", "pruning", "status"),
    [(0, True, "stopped", "degraded"), (3600, True, "on", "ok"), (0, False, "on", "ok")],
)
def test_while_pruning_has_stopped_it_is_degraded(client, consumed, ago, stopped, pruning, status):
    work(fcm="closed")
    work(ago=ago)
    windows = [{"seconds": 60, "accepted": 1, "dead": 99}]
    told = {"fcm": {"breaker": {"state": "closed"}, "verdicts": {"windows": windows, "stopped": stopped}}}
    query("UPDATE workers SET breakers = %s WHERE breakers = '{}'", json.dumps(told))
    answer = client.get(HEALTH).json()
    assert (answer["dead_tokens"], answer["status"]) == ({"held": 0, "pruning": pruning}, status)


def test_held_tokens_are_counted_and_do_not_make_it_degraded(client, consumed):
    work(fcm="closed")
    dead_token("t1", held_at=timezone.now())
    dead_token("t2")
    answer = client.get(HEALTH).json()
    assert (answer["dead_tokens"], answer["status"]) == ({"held": 1, "pruning": "on"}, "ok")


def test_what_the_gateway_refused_to_hear_is_counted_for_a_day(client, engine, sandbox):
    sandbox.control("gateway", "refuse400")
    engine().accept(*(message(f"n{number}") for number in range(3)))
    eventually(lambda: client.get(HEALTH).json()["reports"] == {"refused_last_day": 3})
    query("UPDATE notifications SET report_refused_at = now() - interval '25 hours' WHERE notification_id = 'n1'")
    assert client.get(HEALTH).json()["reports"] == {"refused_last_day": 2}


def test_it_is_quick_because_it_asks_little(client, consumed, monkeypatch, django_assert_num_queries):
    """Counted, for no clock can be trusted on a busy machine: one connection each, seven questions and four."""
    work(fcm="closed")
    counted: Counter[str] = Counter()

    def count(kind: type, name: str) -> None:
        usual = getattr(kind, name)

        def call(*args, **more):
            counted[f"{kind.__name__}.{name}"] += 1
            return usual(*args, **more)

        monkeypatch.setattr(kind, name, call)

    for kind, name in (
        (psycopg.AsyncConnection, "connect"),
        (psycopg.AsyncConnection, "execute"),
        (pika.BlockingConnection, "__init__"),
        (pika.BlockingConnection, "channel"),
    ):
        count(kind, name)
    with django_assert_num_queries(0):
        assert client.get(HEALTH).json()["status"] == "ok"
    assert counted == {
        "AsyncConnection.connect": 1,
        "AsyncConnection.execute": 1 + 7,  # the first sets how long the others may take
        "BlockingConnection.__init__": 1,
        "BlockingConnection.channel": 4,
    }


def test_without_a_living_worker_it_is_degraded(client, consumed):
    work(ago=3600)
    answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    told = answer.json()["workers"]
    assert 3600 <= told.pop("last_heard_seconds") < 3660
    assert told == {"alive": 0, "silent": 1, "in_flight": 0, "oldest_heartbeat_seconds": None}


def test_a_worker_that_was_killed_is_told_and_does_not_make_it_degraded(client, consumed):
    """Its row stays for a day, and its notifications have gone to others."""
    work(in_flight=1)
    work(in_flight=5, ago=600)
    work(in_flight=5, ago=3 * 24 * 3600)
    told = client.get(HEALTH).json()
    assert told["status"] == "ok"
    assert (told["workers"]["alive"], told["workers"]["silent"], told["workers"]["in_flight"]) == (1, 1, 1)


@pytest.mark.parametrize("state", ["open", "half-open"])
def test_one_open_breaker_anywhere_makes_it_degraded(client, consumed, state):
    work(fcm="closed", gateway=state)
    work(fcm="closed", gateway="closed")
    answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert states(answer.json()) == {"fcm": "closed", "gateway": state}


def test_of_breakers_that_are_open_the_longest_wait_is_told(client, consumed):
    for wait in (5.0, 40.0):
        work(gateway="open")
        told = json.dumps({"gateway": {"breaker": {"state": "open", "retry_after": wait}}})
        query("UPDATE workers SET breakers = %s WHERE breakers->'gateway'->'breaker'->'retry_after' IS NULL", told)
    work(gateway="half-open")
    assert client.get(HEALTH).json()["upstreams"] == {"gateway": {"state": "open", "retry_after": 40.0}}


def test_what_a_real_worker_tells_is_understood(client, consumed, engine):
    engine()
    told = eventually(lambda: (now := client.get(HEALTH).json())["workers"]["alive"] and now)
    assert told["status"] == "ok"
    assert set(told["upstreams"]) == {"fcm", "gateway", "ledger", "template_service", "user_service"}
    assert set(states(told).values()) == {"closed"}


def test_a_queue_that_is_missing_is_told_and_makes_it_degraded(client, rabbit):
    work()
    told = client.get(HEALTH).json()
    assert told["status"] == "degraded"
    assert told["rabbitmq"]["queue"] == {
        "name": "push.queue",
        "exists": False,
        "messages": None,
        "consumers": None,
        "expected": None,
        "difference": None,
    }
    assert told["rabbitmq"]["dead_letters"] == {"name": "failed.queue", "messages": None}


def test_a_queue_that_nobody_consumes_makes_it_degraded(client, producer):
    work()
    Topology().ensure_intake(producer.channel.connection)
    producer.publish({})
    eventually(lambda: producer.depth("push.queue") == 1)
    told = client.get(HEALTH).json()
    assert told["status"] == "degraded"
    assert (told["rabbitmq"]["queue"]["messages"], told["rabbitmq"]["queue"]["consumers"]) == (1, 0)


def test_a_queue_with_other_arguments_is_told_and_works_all_the_same(client, producer):
    work()
    producer.channel.queue_declare("push.queue", durable=True, arguments={"x-max-priority": 5, "x-message-ttl": 1000})
    producer.channel.basic_consume("push.queue", lambda *_: None)
    told = client.get(HEALTH).json()
    assert told["status"] == "ok"
    assert told["rabbitmq"]["queue"]["expected"] is False
    assert told["rabbitmq"]["queue"]["difference"] in (
        "x-dead-letter-exchange: expected notifications.dlx, found none",
        "x-max-priority: expected 10, found 5",
        "x-message-ttl: expected none, found 1000",
    )


def test_rabbitmq_is_seldom_asked_for_a_difference(client, producer):
    """It writes a line to its log each time that it finds one."""
    producer.channel.queue_declare("push.queue", durable=True)
    assert client.get(HEALTH).json()["rabbitmq"]["queue"]["expected"] is False
    producer.channel.queue_delete("push.queue")
    Topology().ensure_intake(producer.channel.connection)
    health.rabbitmq.forget()
    assert client.get(HEALTH).json()["rabbitmq"]["queue"]["expected"] is False
    producer.channel.queue_delete("push.queue")
    health.rabbitmq.forget()
    assert client.get(HEALTH).json()["rabbitmq"]["queue"]["exists"] is False
    Topology().ensure_intake(producer.channel.connection)
    health.rabbitmq.forget()
    assert client.get(HEALTH).json()["rabbitmq"]["queue"]["expected"] is True, "one that is new is asked about anew"


def test_an_alarm_of_rabbitmq_makes_it_degraded(client, consumed, rabbitmq):
    work()
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        told = eventually(lambda: (now := _asked_anew(client))["rabbitmq"]["blocked"] and now)
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    assert told["status"] == "degraded"
    eventually(lambda: _asked_anew(client)["rabbitmq"]["blocked"] is False)


def _asked_anew(client) -> dict:
    health.rabbitmq.forget()
    return client.get(HEALTH).json()


def test_who_may_not_declare_does_not_know_what_is_expected(client, consumed, rabbitmq):
    work()
    rabbitmq.ctl("add_user", "reader", "reader")
    rabbitmq.ctl("set_permissions", "reader", "^none$", "^none$", ".*")
    try:
        with broker_instead(PushBroker(url=rabbitmq.url.replace("guest:guest", "reader:reader"))):
            told = client.get(HEALTH).json()
    finally:
        rabbitmq.ctl("delete_user", "reader")
    assert told["status"] == "ok"
    assert told["rabbitmq"]["queue"]["consumers"] == 1
    assert told["rabbitmq"]["queue"]["expected"] is None
    assert told["rabbitmq"]["blocked"] is None


def test_open_dead_letters_are_counted(client):
    for number, state in enumerate(("open", "open", "redriven")):
        query(
            "INSERT INTO dead_letters (body_hash, body, size, code, reasons, state)"
            " VALUES (%s, '', 0, 'invalid_message', '[]', %s)",
            str(number),
            state,
        )
    assert client.get(HEALTH).json()["dead_letters"] == {"open": 2}


def test_credentials_that_are_refused_make_it_degraded_without_a_word_of_why(client, rabbitmq):
    work(gateway="closed")
    fcm = {"ok": False, "breaker": {"state": "closed"}, "credentials": "See /secret/file."}
    query("UPDATE workers SET breakers = %s", json.dumps({"fcm": fcm}))
    answer = client.get(HEALTH)
    assert states(answer.json()) == {"fcm": "no credentials"}
    assert answer.json()["status"] == "degraded"
    assert "secret" not in answer.content.decode()


@pytest.mark.parametrize(("others", "status"), [("open", "down"), ("closed", "degraded")])
def test_a_ledger_that_no_worker_can_write_to_is_down(client, consumed, others, status):
    """Its disk is full: it can be read all the same."""
    work(ledger="open")
    work(ledger=others)
    told = client.get(HEALTH).json()
    assert told["status"] == status
    assert ("reason" in told["database"]) == (status == "down")


def test_a_database_that_only_reads_is_down(client, consumed):
    work()
    with read_only():
        told = client.get(HEALTH).json()
    assert (told["status"], told["database"]["reason"]) == ("down", health.UNWRITABLE)


def test_breakers_of_the_dead_do_not_count(client, consumed):
    work(fcm="closed")
    work(ago=3600, fcm="open")
    assert client.get(HEALTH).json()["status"] == "ok"


def test_the_age_of_the_oldest_due_row_is_told(client):
    for name, high, due in (("a", False, 30), ("b", True, 90), ("c", True, -60)):
        query(
            "INSERT INTO notifications (notification_id, user_id, correlation_id, source, request,"
            " high_priority, accept_token, expires_at, next_attempt_at) VALUES"
            " (%s, 'u', 'c', 'api', %s, %s, 1, now(), now() - make_interval(secs => %s))",
            name,
            json.dumps(message(name)),
            high,
            due,
        )
    assert 90 <= client.get(HEALTH).json()["oldest_due_seconds"] < 120


def test_without_rabbitmq_it_is_down(client):
    work()
    with broker_instead(unreachable_rabbitmq()):
        answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert answer.json()["rabbitmq"] == {"status": "down"}
    assert answer.json()["database"]["status"] == "up"


def test_a_rabbitmq_that_says_nothing_is_down_and_is_not_waited_for(client):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"amqp://guest:guest@127.0.0.1:{silent.getsockname()[1]}/"
        begun = time.monotonic()
        with broker_instead(PushBroker(url=url)):
            assert client.get(HEALTH).json()["rabbitmq"] == {"status": "down"}
        assert time.monotonic() - begun < 10


def test_rabbitmq_is_not_asked_by_every_probe(client, rabbitmq):
    assert client.get(HEALTH).json()["rabbitmq"]["status"] == "up"
    with broker_instead(unreachable_rabbitmq()):
        assert client.get(HEALTH).json()["rabbitmq"]["status"] == "up"


def test_in_embedded_mode_there_is_no_rabbitmq_to_be_down(client):
    work()
    with broker_instead(EmbeddedBroker()):
        answer = client.get(HEALTH).json()
    assert (answer["status"], answer["rabbitmq"]) == ("ok", {"status": "embedded"})


def test_without_the_database_it_is_down_but_alive(client, without_database):
    answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (503, "down")
    assert client.get(f"{HEALTH}/ready").status_code == 503
    assert client.get(f"{HEALTH}/live").json() == {"status": "ok"}


def test_a_stranger_learns_no_address_and_no_name(client, without_database):
    with broker_instead(unreachable_rabbitmq(password="hush")):
        paths = (HEALTH, f"{HEALTH}/live", f"{HEALTH}/ready")
        shown = "".join(client.get(path).content.decode() for path in paths)
    here = connection.settings_dict
    for secret in ("127.0.0.1", "localhost", "hush", "guest", here["PORT"], here["USER"], here["NAME"]):
        assert secret not in shown


def test_a_database_that_falls_silent_is_not_waited_for(postgres):
    """psycopg would cancel the question, and wait for that too."""

    async def freeze(asked) -> None:
        os.kill(asked.info.backend_pid, signal.SIGSTOP)
        frozen.append(asked.info.backend_pid)
        await asked.execute("SELECT 1")

    frozen: list[int] = []
    begun = time.monotonic()
    try:
        with pytest.raises(psycopg.OperationalError):
            ask(freeze, 1)
    finally:
        os.kill(frozen[0], signal.SIGCONT)
    assert time.monotonic() - begun < 3


def test_a_rabbitmq_that_falls_silent_is_not_waited_for(rabbitmq):
    there = pika.URLParameters(rabbitmq.url)
    begun = time.monotonic()
    with way_to(there.port) as (port, silent):
        there.port = port
        with asked([there], 1) as connection:
            assert look_at(connection, "nowhere").exists is False
            silent.set()
            with pytest.raises(AMQPError):
                look_at(connection, "nowhere")
    assert time.monotonic() - begun < 10


def test_a_table_that_others_hold_is_not_waited_for(client, rabbitmq):
    """A migration may lock it for minutes; a probe that hangs as long would get us restarted."""
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("BEGIN")
        cursor.execute("LOCK TABLE workers IN ACCESS EXCLUSIVE MODE")
        begun = time.monotonic()
        answer = client.get(HEALTH)
        assert time.monotonic() - begun < 20
        assert (answer.status_code, answer.json()["database"]["status"]) == (503, "down")
        assert client.get(f"{HEALTH}/ready").status_code == 200
        cursor.execute("ROLLBACK")
    other.close()


def test_it_is_ready_only_once_it_is_migrated(client):
    done = query("DELETE FROM django_migrations WHERE app = 'deliveries' RETURNING name, applied")
    try:
        answer = client.get(f"{HEALTH}/ready")
        assert answer.status_code == 503
        assert "manage.py migrate" in answer.json()["reason"]
    finally:
        for row in done:
            query("INSERT INTO django_migrations (app, name, applied) VALUES ('deliveries', %s, %s)", *row)
    assert client.get(f"{HEALTH}/ready").json() == {"status": "ok"}


def test_a_ready_process_looks_for_migrations_no_more(client, django_assert_num_queries):
    client.get(f"{HEALTH}/ready")
    with django_assert_num_queries(0):  # the one question goes over a connection of its own
        assert client.get(f"{HEALTH}/ready").status_code == 200


@pytest.mark.parametrize("path", ["", "/", "/live", "/live/", "/ready", "/ready/"])
def test_without_a_key_and_with_or_without_a_slash_it_is_found_and_not_refused(client, path):
    work()
    assert client.get(HEALTH + path).status_code in (200, 503)
    assert client.get(HEALTH + path).json()["status"] in ("ok", "degraded", "down")


def test_being_alive_needs_no_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get(f"{HEALTH}/live").status_code == 200
