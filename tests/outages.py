"""Servers that are away, for one process: real addresses at which nobody listens."""

from collections.abc import Iterator
from contextlib import contextmanager

import dramatiq
from django.db import connection

from deliveries.broker import PushBroker
from tests.processes import free_port


@contextmanager
def database_away() -> Iterator[None]:
    """Django finds nobody at the database's address."""
    connection.close()
    usual = connection.settings_dict["PORT"]
    connection.settings_dict["PORT"] = str(free_port())
    yield
    connection.close()
    connection.settings_dict["PORT"] = usual


@contextmanager
def broker_instead(broker: dramatiq.Broker) -> Iterator[None]:
    """Another broker is the process's."""
    usual = dramatiq.get_broker()
    dramatiq.set_broker(broker)
    yield
    dramatiq.set_broker(usual)


def unreachable_rabbitmq(password: str = "guest") -> PushBroker:
    return PushBroker(url=f"amqp://guest:{password}@127.0.0.1:{free_port()}/")
