"""Health: it tells the truth about what is away, quickly, and nothing that a stranger should not know."""

import json
import socket
import time
from collections.abc import Iterator
from uuid import uuid4

import pytest
from django.db import connection

from deliveries import health
from deliveries.broker import EmbeddedBroker, PushBroker
from tests.outages import broker_instead, database_away, unreachable_rabbitmq
from tests.world import eventually, message, query

HEALTH = "/api/v1/health"

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _nothing_remembered(monkeypatch) -> Iterator[None]:
    monkeypatch.setattr(health, "_migrated", False)
    health.rabbitmq.forget()
    yield
    health.rabbitmq.forget()


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


def test_all_is_well(client, rabbitmq):
    work(in_flight=3, fcm="closed", gateway="closed")
    work(in_flight=4, fcm="closed", gateway="closed")
    answer = client.get(HEALTH)
    assert answer.status_code == 200
    assert answer["Cache-Control"] == "no-store"
    told = answer.json()
    assert told.pop("database").pop("latency_ms") >= 0
    assert told == {
        "status": "ok",
        "rabbitmq": {"status": "up"},
        "workers": {"alive": 2, "in_flight": 7},
        "upstreams": {"fcm": "closed", "gateway": "closed"},
        "oldest_due_seconds": 0.0,
    }


def test_without_a_living_worker_it_is_degraded(client, rabbitmq):
    work(ago=3600)
    answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["workers"] == {"alive": 0, "in_flight": 0}


@pytest.mark.parametrize("state", ["open", "half-open"])
def test_one_open_breaker_anywhere_makes_it_degraded(client, rabbitmq, state):
    work(fcm="closed", gateway=state)
    work(fcm="closed", gateway="closed")
    answer = client.get(HEALTH)
    assert (answer.status_code, answer.json()["status"]) == (200, "degraded")
    assert answer.json()["upstreams"] == {"fcm": "closed", "gateway": state}


def test_what_a_real_worker_tells_is_understood(client, rabbitmq, engine):
    engine()
    told = eventually(lambda: (now := client.get(HEALTH).json())["workers"]["alive"] and now)
    assert told["status"] == "ok"
    assert set(told["upstreams"]) == {"fcm", "gateway", "template_service", "user_service"}
    assert set(told["upstreams"].values()) == {"closed"}


def test_credentials_that_are_refused_make_it_degraded_without_a_word_of_why(client, rabbitmq):
    work(gateway="closed")
    fcm = {"ok": False, "breaker": {"state": "closed"}, "credentials": "See /secret/file."}
    query("UPDATE workers SET breakers = %s", json.dumps({"fcm": fcm}))
    answer = client.get(HEALTH)
    assert answer.json()["upstreams"] == {"fcm": "no credentials"}
    assert answer.json()["status"] == "degraded"
    assert "secret" not in answer.content.decode()


def test_breakers_of_the_dead_do_not_count(client, rabbitmq):
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
    assert client.get(HEALTH).json()["rabbitmq"] == {"status": "up"}
    with broker_instead(unreachable_rabbitmq()):
        assert client.get(HEALTH).json()["rabbitmq"] == {"status": "up"}


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


def test_a_ready_process_looks_for_migrations_no_more(client, django_assert_max_num_queries):
    client.get(f"{HEALTH}/ready")
    with django_assert_max_num_queries(4):  # BEGIN, the limit, the question, COMMIT
        assert client.get(f"{HEALTH}/ready").status_code == 200


@pytest.mark.parametrize("path", ["", "/", "/live", "/live/", "/ready", "/ready/"])
def test_no_key_and_no_slash_is_needed(client, path):
    work()
    assert client.get(HEALTH + path).status_code in (200, 503)
    assert client.get(HEALTH + path).json()["status"] in ("ok", "degraded", "down")


def test_being_alive_needs_no_database(client, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert client.get(f"{HEALTH}/live").status_code == 200
