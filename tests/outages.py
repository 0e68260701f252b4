"""Servers that are away, for one process: real addresses at which nobody listens, or nobody answers any more."""

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

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


@contextmanager
def way_to(port: int) -> Iterator[tuple[int, threading.Event]]:
    """A port by which one connection leads to another port, and what silences it: it stays open, nothing passes."""
    silent = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor(1) as thread:
        door.settimeout(10)
        led = thread.submit(_lead, door, port, silent)
        yield door.getsockname()[1], silent
        led.result()


def _lead(door: socket.socket, port: int, silent: threading.Event) -> None:
    near, _ = door.accept()
    with near, socket.create_connection(("127.0.0.1", port)) as far, ThreadPoolExecutor(1) as back:
        back.submit(_pass_on, far, near, silent)
        _pass_on(near, far, silent)
        with suppress(OSError):  # it hung up first
            far.shutdown(socket.SHUT_RDWR)


def _pass_on(source: socket.socket, target: socket.socket, silent: threading.Event) -> None:
    """Until either side hangs up."""
    with suppress(OSError):
        while content := source.recv(65536):
            if not silent.is_set():
                target.sendall(content)
