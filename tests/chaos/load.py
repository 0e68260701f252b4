"""Steady load from threads: a producer that repeats until RabbitMQ confirms, a client that takes no for an answer."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any

import requests

from tests.chaos.scene import Scene
from tests.chaos.traffic import LOST
from tests.world import Producer

Message = dict[str, Any]


class Load:
    """Publishes messages at `rate` a second, each until it is confirmed, in a thread that ends when all are out."""

    def __init__(self, scene: Scene, messages: Iterable[Message], rate: float) -> None:
        self._scene = scene
        self._messages = messages
        self._rate = rate
        self._stopped = threading.Event()
        #: When each was tried first, by the wall clock of this machine, which is the database's too.
        self.published_at: dict[str, float] = {}
        self._thread = threading.Thread(target=self._run, name="load", daemon=True)
        self._thread.start()

    @property
    def done(self) -> bool:
        return not self._thread.is_alive()

    def finish(self, *, within: float = 120.0) -> None:
        """Waits until everything is out."""
        self._thread.join(within)
        assert self.done, f"{len(self.published_at)} published, and not all of them"

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        producer: Producer | None = None
        for message in paced(self._messages, self._rate):
            while not self._stopped.is_set():
                try:
                    producer = producer or Producer(self._scene.rabbit.url)
                    self.published_at.setdefault(message["notification_id"], time.time())
                    producer.publish(message)
                except LOST:  # away, or without a word: whether it was taken is not known
                    producer = None
                    self._stopped.wait(0.3)
                else:
                    self._scene.confirmed.add(message["notification_id"])
                    break
            if self._stopped.is_set():
                break
        if producer is not None:
            with suppress(*LOST):
                producer.close()


class Client:
    """Posts messages to the API at `rate` a second, each once: what is not answered 202 is nobody's promise."""

    def __init__(self, post: Callable[[Message], int], messages: Iterable[Message], rate: float) -> None:
        self.answers: dict[int, int] = {}
        self._post = post
        self._messages = messages
        self._rate = rate
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="client", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        self._thread.join(120)
        assert not self._thread.is_alive(), self.answers

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join(60)

    def _run(self) -> None:
        for message in paced(self._messages, self._rate):
            if self._stopped.is_set():
                return
            try:
                status = self._post(message)
            except requests.RequestException:
                status = 0
            self.answers[status] = self.answers.get(status, 0) + 1


def paced(messages: Iterable[Message], rate: float) -> Iterator[Message]:
    """The messages at so many a second; after a halt it does not hurry to catch up."""
    due = time.monotonic()
    for message in messages:
        due = max(due + 1 / rate, time.monotonic() - 1)
        time.sleep(max(0.0, due - time.monotonic()))
        yield message
