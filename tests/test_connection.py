"""The ledger's connections: what bounds them, that the operator's word wins, and what they outlast."""

import asyncio
import socket
from contextlib import contextmanager
from uuid import uuid4

import psycopg
import pytest
from django.db import connections
from psycopg.conninfo import conninfo_to_dict

from deliveries.heartbeat import Heartbeat
from deliveries.ledger.asking import ask
from deliveries.ledger.change import Hand
from deliveries.ledger.connection import connect, conninfo
from pushproject.database import PATIENCE
from tests.processes import free_port
from tests.world import all_ended, database_url, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)


def shown(options: str = "", patience: float = 30.0) -> list[str]:
    with connect(psycopg.conninfo.make_conninfo(conninfo(), options=options), patience) as found:
        names = ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout", "enable_seqscan")
        return [found.execute(f"SHOW {name}").fetchone()[0] for name in names]


def test_a_statement_of_the_writers_has_an_end():
    assert shown() == ["15s", "30s", "12s", "off"]
    assert shown(patience=1.5) == ["750ms", "1500ms", "12s", "off"]


def test_the_operators_options_win():
    assert shown("-c statement_timeout=7s") == ["15s", "7s", "12s", "off"]


def test_a_peer_that_is_gone_is_noticed():
    assert PATIENCE.items() <= conninfo_to_dict(conninfo()).items()


def test_of_several_servers_the_one_that_takes_writes_is_found():
    known = conninfo_to_dict(conninfo())
    several = {"host": f"127.0.0.1,{known['host']}", "port": f"{free_port()},{known['port']}"}
    with connect(psycopg.conninfo.make_conninfo(**known | several, target_session_attrs="read-write")) as found:
        assert found.info.port == int(known["port"])


@pytest.fixture
def silent_first(monkeypatch):
    """Before the server there is one that takes connections and says nothing."""
    known = connections["default"].settings_dict
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setitem(known, "PORT", f"{silent.getsockname()[1]},{known['PORT']}")
        monkeypatch.setitem(known, "HOST", f"127.0.0.1,{known['HOST']}")
        yield


def test_a_first_server_that_is_silent_cuts_no_worker_off_from_the_second(silent_first):
    async def live() -> bool:
        heartbeat = Heartbeat(conninfo(), Hand(uuid4(), 10.0), lambda: (0, {}, (1, 1)))
        async with asyncio.timeout(20):
            await heartbeat.start()
        await heartbeat.stop()
        return heartbeat.alive()

    assert asyncio.run(live())


def test_a_first_server_that_is_silent_keeps_no_answer_from_who_asks(silent_first):
    ask(lambda asked: asked.execute("SELECT 1"), 2.0)


def test_a_locked_table_is_waited_for(engine, caplog):
    running = engine(watchdog_timeout=3.0)
    with psycopg.connect(database_url()) as other:
        other.execute("LOCK TABLE push_deliveries")
        running.accept(message("n1"))
        eventually(lambda: "55P03 canceling statement due to lock timeout" in caplog.text)
    eventually(all_ended)
    assert query("SELECT status FROM notifications") == [("sent",)]


@contextmanager
def read_only(database: str):
    """Whoever connects now has come to a server that takes no writes."""
    query(f'ALTER DATABASE "{database}" SET default_transaction_read_only = on')
    query(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()",
        database,
    )
    try:
        yield
    finally:
        query(f'ALTER DATABASE "{database}" RESET default_transaction_read_only')


def test_a_server_that_has_become_read_only_is_left_for_another(engine, caplog):
    running = engine()
    with read_only(conninfo_to_dict(conninfo())["dbname"]):
        running.engine.resume(["nobody"])
        eventually(lambda: caplog.text.count("25006 cannot execute") > 2, what="both refused")
    running.accept(message("n1"))
    eventually(all_ended)
    assert query("SELECT status FROM notifications") == [("sent",)]
