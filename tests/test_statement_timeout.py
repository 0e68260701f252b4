"""Who waits for a lock in the web process is told so, and its thread is free again."""

import psycopg
import pytest
from django.db import connection
from django.db.backends.signals import connection_created

from deliveries import statement_timeout
from deliveries.ledger.connection import conninfo
from tests.api_client import DELIVERIES, NOTIFICATIONS, fault
from tests.world import message, query

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def bounded(monkeypatch):
    """This process's connections are those of a web process, of little patience."""
    monkeypatch.setattr(statement_timeout, "SECONDS", 0.2)
    statement_timeout.bound_statements()
    connection.close()
    yield
    connection_created.disconnect(statement_timeout._bound)
    connection.close()


@pytest.fixture
def locked(api):
    """Somebody has all of the tables to themselves."""
    with psycopg.connect(conninfo()) as other:
        other.execute("LOCK TABLE notifications, push_deliveries")
        yield


def test_a_request_that_waits_for_a_lock_is_a_503(api, locked, bounded):
    for answer in (api.get(f"{NOTIFICATIONS}n-1/"), api.get(DELIVERIES), api.post(message("n-1"))):
        assert (answer.status_code, fault(answer)["code"]) == (503, "database_unavailable")
        assert int(answer["Retry-After"]) > 0


def test_connections_of_commands_are_not_bounded():
    connection.close()
    assert query("SHOW statement_timeout") == [("0",)]
