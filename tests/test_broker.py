"""The broker layer against a real RabbitMQ: nothing accepted is lost, nothing foreign can stop it."""

import json
import logging
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from uuid import uuid4

import dramatiq
import pika
import pytest
from dramatiq import Worker
from dramatiq.errors import ConnectionClosed

from deliveries.broker import (
    Batch,
    EmbeddedBroker,
    Envelope,
    NotPublished,
    PushBroker,
    Topology,
    TopologyConflict,
    intake,
)
from deliveries.broker.connection import connecting, with_defaults
from tests.outages import way_to
from tests.processes import free_port

TOKEN = "fAkE-device-token:APA91bSECRET"
DNS_CORE = {
    "x-dead-letter-exchange": "notifications.dlx",
    "x-dead-letter-routing-key": "failed",
    "x-max-priority": 10,
}


@pytest.fixture(autouse=True)
def quick_restart(monkeypatch):
    """As `rundramatiq` sets it by the environment, which Dramatiq reads on import."""
    monkeypatch.setattr("dramatiq.worker.CONSUMER_RESTART_DELAY_SECS", 0.2)


@pytest.fixture
def topology():
    own = uuid4().hex[:8]
    return Topology(
        queue=f"push.{own}",
        exchange=f"direct.{own}",
        dead_letter_exchange=f"dlx.{own}",
        dead_letter_queue=f"failed.{own}",
    )


@pytest.fixture
def channel(rabbitmq):
    """The rest of the world: publishes with confirms, looks at queues."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbitmq.url))
    channel = connection.channel()
    channel.confirm_delivery()
    yield channel
    with suppress(pika.exceptions.AMQPError):
        connection.close()


@pytest.fixture
def make_broker(rabbitmq, topology):
    made = []

    def make(**options) -> PushBroker:
        made.append(PushBroker(**{"url": rabbitmq.url, "topology": topology, **options}))
        return made[-1]

    yield make
    for broker in made:
        broker.close()


@pytest.fixture
def broker(make_broker):
    return make_broker()


def until(condition: Callable[[], object], what: str, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s in vain until {what}"
        time.sleep(0.02)


@contextmanager
def working(broker, receive=None, resume=None, threads=2) -> Iterator[Worker]:
    """A worker with our two actors; whatever happens inside, all its threads live at the end."""
    for name, queue, function in (
        ("receive", broker.topology.queue, receive or commit),
        ("resume", broker.topology.wake_queue, resume or Woken()),
    ):
        dramatiq.actor(function, actor_name=name, queue_name=queue, broker=broker)
    worker = Worker(broker, worker_threads=threads, worker_timeout=100)
    worker.start()
    try:
        until(lambda: all(c.consumer for c in worker.consumers.values()), "consumers are there")
        yield worker
        assert all(thread.is_alive() for thread in worker.workers)
        assert all(thread.is_alive() for thread in worker.consumers.values())
    finally:
        worker.stop(timeout=10_000)


def commit(batch: Batch) -> None:
    batch.committed = True


class Ledger:
    """An actor that keeps what it commits, and takes `pause` seconds for it."""

    def __init__(self, pause: float = 0) -> None:
        self.pause = pause
        self.envelopes: list[Envelope] = []
        self.batches: list[int] = []

    def __call__(self, batch: Batch) -> None:
        time.sleep(self.pause)
        self.envelopes += batch
        self.batches.append(len(batch))
        batch.committed = True

    @property
    def bodies(self) -> list[bytes]:
        return [envelope.body for envelope in self.envelopes]


class Doors:
    """An actor that stands before a message until the test lets it in, with or without a commit."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.doors: dict[str, threading.Event] = {}
        self.refused: set[str] = set()

    def __call__(self, batch: Batch) -> None:
        (envelope,) = batch
        name = envelope.body.decode()
        door = self.doors.setdefault(name, threading.Event())
        self.seen.append(name)
        assert door.wait(60)
        if name in self.refused:
            self.refused.discard(name)
            raise RuntimeError("the database is away")
        batch.committed = True

    def open(self, name: str, *, refuse: bool = False) -> None:
        if refuse:
            self.refused.add(name)
        self.doors.setdefault(name, threading.Event()).set()


def put(channel, topology, body: bytes | str, **properties) -> None:
    if isinstance(body, str):
        body = body.encode()
    channel.basic_publish("", topology.queue, body, pika.BasicProperties(delivery_mode=2, **properties), True)


def waiting(channel, queue: str) -> int:
    return channel.queue_declare(queue, passive=True).method.message_count


def consumer_of(worker: Worker, topology: Topology):
    return worker.consumers[topology.queue].consumer


def connections(rabbitmq) -> set[str]:
    return set(rabbitmq.ctl("-q", "list_connections", "--no-table-headers", "pid").split())


def hang_up(rabbitmq, worker: Worker) -> None:
    """RabbitMQ closes everybody's connection; returns when the worker consumes again."""
    before = {name: thread.consumer for name, thread in worker.consumers.items()}
    rabbitmq.close_all_connections()
    until(
        lambda: all(thread.consumer is not before[name] for name, thread in worker.consumers.items()),
        "consumers are new",
    )


# ── The way in ────────────────────────────────────────────────────────────────────────────────────


def test_a_message_arrives_with_its_properties(channel, broker, topology):
    ledger = Ledger()
    with working(broker, ledger):
        put(
            channel,
            topology,
            b'{"a": 1}',
            message_id="m-1",
            correlation_id="c-1",
            priority=7,
            headers={"x": 1},
            timestamp=1_700_000_000_000,
        )
        until(lambda: ledger.envelopes, "it has arrived")
    assert ledger.envelopes == [Envelope(b'{"a": 1}', "m-1", "c-1", 7)]
    assert waiting(channel, topology.queue) == 0


@pytest.mark.parametrize("id", ["a\x00b", "a\nb", "a\x7fb", "x" * 256, b"a\x00\xff"])
def test_a_property_that_can_be_no_id_counts_as_absent(id):
    properties = pika.BasicProperties(message_id=id, correlation_id=id)
    envelope = Envelope.of((pika.spec.Basic.Deliver(), properties, b"{}"))
    assert envelope == Envelope(b"{}")


@pytest.mark.parametrize(("id", "kept"), [("x" * 255, "x" * 255), ("ü", "ü"), (b"a\xff", "a\ufffd"), (None, None)])
def test_any_other_property_is_kept_as_text(id, kept):
    properties = pika.BasicProperties(message_id=id, correlation_id=id)
    envelope = Envelope.of((pika.spec.Basic.Deliver(), properties, b"{}"))
    assert (envelope.message_id, envelope.correlation_id) == (kept, kept)


def test_waiting_messages_come_as_batches_of_a_hundred_at_most(channel, broker, topology):
    broker.topology.ensure_intake(channel.connection)
    for number in range(450):
        put(channel, topology, str(number))
    ledger = Ledger(pause=0.05)
    with working(broker, ledger, threads=1):
        until(lambda: len(ledger.envelopes) == 450, "all have arrived")
    assert sorted(map(int, ledger.bodies)) == list(range(450))
    assert max(ledger.batches) <= 100
    assert len(ledger.batches) < 45, "batches of ten and fewer are crumbs"


def test_a_batch_is_bounded_in_bytes_too(channel, broker, topology):
    broker.topology.ensure_intake(channel.connection)
    for _ in range(9):
        put(channel, topology, b"x" * 600_000)
    ledger = Ledger(pause=0.5)  # time enough for pika to read more than one batch may hold
    with working(broker, ledger, threads=1):
        until(lambda: len(ledger.envelopes) == 9, "all have arrived")
    assert max(ledger.batches) <= 2


def test_no_more_batches_are_out_than_the_worker_has_threads(channel, broker, topology):
    doors = Doors()
    with working(broker, doors, threads=2) as worker:
        put(channel, topology, "a")
        until(lambda: doors.seen == ["a"], "a is out")
        put(channel, topology, "b")
        until(lambda: len(doors.seen) == 2, "b is out")
        put(channel, topology, "c")
        until(lambda: waiting(channel, topology.queue) == 0, "pika has read c")
        assert worker.work_queue.qsize() == 0
        doors.open("a")
        until(lambda: "c" in doors.seen, "c is out")
        doors.open("b")
        doors.open("c")


def test_the_prefetch_is_ours_and_not_two_for_each_thread(channel, make_broker, topology):
    broker = make_broker(prefetch=25)
    broker.topology.ensure_intake(channel.connection)
    for number in range(60):
        put(channel, topology, str(number))
    gate, entered = threading.Event(), threading.Event()

    def wait(batch: Batch) -> None:
        entered.set()
        gate.wait(60)
        batch.committed = True

    with working(broker, wait, threads=1):
        assert entered.wait(30)
        until(lambda: waiting(channel, topology.queue) == 35, "25 are with the worker")
        gate.set()
        until(lambda: waiting(channel, topology.queue) == 0, "all are taken")


def test_a_worker_holds_one_connection_for_each_queue_and_none_besides(rabbitmq, broker):
    before = connections(rabbitmq)
    with working(broker, threads=4):
        until(lambda: len(connections(rabbitmq) - before) == 2, "both consumers are connected")


# ── Settled when committed, by whom it was delivered to ───────────────────────────────────────────


def test_an_actor_that_raises_gets_its_messages_again(channel, broker, topology, caplog):
    attempts = Counter()

    def receive(batch: Batch) -> None:
        attempts.update(envelope.body for envelope in batch)
        if attempts[batch[0].body] < 3:
            raise RuntimeError("the database is away")
        batch.committed = True

    with working(broker, receive):
        put(channel, topology, "a")
        until(lambda: attempts[b"a"] == 3, "it has come three times")
    assert waiting(channel, topology.queue) == 0


def test_an_actor_that_forgets_to_commit_gets_its_messages_again(channel, broker, topology):
    seen: list[bytes] = []

    def receive(batch: Batch) -> None:
        seen.append(batch[0].body)
        batch.committed = len(seen) > 1

    with working(broker, receive):
        put(channel, topology, "a")
        until(lambda: len(seen) == 2, "it has come again")
    assert seen == [b"a", b"a"]
    assert waiting(channel, topology.queue) == 0


def test_a_message_that_fails_comes_again_after_a_pause(channel, broker, topology):
    times: list[float] = []

    def receive(batch: Batch) -> None:
        times.append(time.monotonic())
        raise RuntimeError

    with working(broker, receive):
        put(channel, topology, "a")
        until(lambda: len(times) == 3, "it has come three times")
    assert times[2] - times[0] > 1.9
    assert waiting(channel, topology.queue) == 1, "what nobody committed is still there"


def test_without_an_actor_messages_stay_in_the_queue(channel, broker, topology):
    broker.topology.ensure_intake(channel.connection)
    put(channel, topology, "a")
    broker.declare_queue(topology.queue)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    until(lambda: waiting(channel, topology.queue) == 0, "it is with the worker")
    assert worker.consumers[topology.queue].is_alive()
    worker.stop(timeout=10_000)
    until(lambda: waiting(channel, topology.queue) == 1, "it is back")


def test_an_ack_after_a_reconnect_takes_no_other_message_with_it(rabbitmq, channel, make_broker):
    """B has on the new channel the tag that A had on the old one, and is not committed yet."""
    broker = make_broker(prefetch=1)
    doors = Doors()
    with working(broker, doors, threads=2) as worker:
        put(channel, broker.topology, "A")
        until(lambda: doors.seen == ["A"], "A is out")
        put(channel, broker.topology, "B", priority=10)
        hang_up(rabbitmq, worker)
        until(lambda: doors.seen == ["A", "B"], "B is out, on the new channel")
        doors.open("A")
        until(lambda: worker.work_queue.unfinished_tasks == 1, "A is done")
        doors.open("B", refuse=True)
        until(lambda: doors.seen.count("B") == 2, "B, which was not committed, has come again")
    assert doors.seen.count("A") == 2, "nor is the repeat of A acked by the first"


def test_a_refusal_after_a_reconnect_hands_back_nothing_of_the_new_channel(rabbitmq, channel, make_broker, monkeypatch):
    monkeypatch.setattr(intake, "REQUEUE_AFTER", 0.2)
    broker = make_broker(prefetch=1)
    doors = Doors()
    with working(broker, doors, threads=2) as worker:
        put(channel, broker.topology, "A")
        until(lambda: doors.seen == ["A"], "A is out")
        hang_up(rabbitmq, worker)
        consumer = consumer_of(worker, broker.topology)
        until(lambda: doors.seen == ["A", "A"], "A is out again")
        doors.open("A", refuse=True)
        until(lambda: worker.work_queue.unfinished_tasks == 0, "both are done")
        pause_is_over = threading.Event()  # after which a batch is handed back
        there = consumer.connection
        there.add_callback_threadsafe(lambda: there.call_later(intake.REQUEUE_AFTER, pause_is_over.set))
        assert pause_is_over.wait(10), "the consumer is gone"
        assert consumer_of(worker, broker.topology) is consumer


def test_acking_a_younger_batch_does_not_ack_an_older_one(rabbitmq, broker, topology, channel):
    doors = Doors()
    with working(broker, doors, threads=3) as worker:
        for name in "123":
            put(channel, topology, name)
            until(lambda name=name: name in doors.seen, f"{name} is out")
        doors.open("3")
        doors.open("2")
        until(lambda: len(consumer_of(worker, topology).outstanding) == 1, "2 and 3 are acked")
        hang_up(rabbitmq, worker)
        until(lambda: len(doors.seen) == 4, "something has come again")
        doors.open("1")
    assert doors.seen == ["1", "2", "3", "1"]


def test_batches_that_are_done_in_any_order_are_all_acked(channel, broker, topology):
    doors = Doors()
    with working(broker, doors, threads=4) as worker:
        for name in "1234":
            put(channel, topology, name)
            until(lambda name=name: name in doors.seen, f"{name} is out")
        for name in "3142":
            doors.open(name)
        until(lambda: not consumer_of(worker, topology).outstanding, "all are settled")
    assert waiting(channel, topology.queue) == 0
    assert doors.seen == list("1234")


def test_a_shutdown_acks_what_is_done_and_hands_back_the_rest(channel, broker, topology):
    doors = Doors()
    with working(broker, doors, threads=2):
        for name in "ab":
            put(channel, topology, name)
            until(lambda name=name: name in doors.seen, f"{name} is out")
        put(channel, topology, "c")
        doors.open("a")
        until(lambda: "c" in doors.seen, "c is out")
        doors.open("b")
        doors.open("c", refuse=True)
    until(lambda: waiting(channel, topology.queue) == 1, "c is back")


def test_ten_thousand_messages_survive_hang_ups_every_three_seconds(rabbitmq, broker, topology):
    committed: Counter[bytes] = Counter()
    calls = Counter()

    def receive(batch: Batch) -> None:
        calls["all"] += 1
        if calls["all"] % 40 == 0:
            raise RuntimeError("a commit fails now and then")
        time.sleep(0.05)
        committed.update(envelope.body for envelope in batch)
        batch.committed = True

    published = threading.Event()
    confirmed: list[bytes] = []
    publisher = threading.Thread(target=publish_all, args=(rabbitmq, topology, confirmed, published))
    with working(broker, receive, threads=4) as worker:
        publisher.start()
        hang_ups = 0
        while not published.wait(3) or hang_ups < 3:
            rabbitmq.close_all_connections()
            hang_ups += 1
        publisher.join()
        until(lambda: set(committed) >= set(confirmed), "every confirmed message is committed", 60)
        until(lambda: not consumer_of(worker, topology).outstanding, "all are settled")
        assert len(worker.workers) == 4
    assert len(confirmed) == 10_000
    assert hang_ups >= 3
    assert rabbitmq.list_queues()[topology.queue] == 0


def publish_all(rabbitmq, topology, confirmed: list[bytes], published: threading.Event) -> None:
    """A gateway: confirms, and again when the connection was lost before one came."""
    parameters = pika.URLParameters(rabbitmq.url)
    while len(confirmed) < 10_000:
        try:
            with pika.BlockingConnection(parameters) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                while len(confirmed) < 10_000:
                    body = str(len(confirmed)).encode()
                    put(channel, topology, body)
                    confirmed.append(body)
        except pika.exceptions.AMQPError:
            time.sleep(0.1)
    published.set()


# ── Foreign bodies ────────────────────────────────────────────────────────────────────────────────


def dramatiq_shaped(**changes) -> bytes:
    shape = {
        "queue_name": "default",
        "actor_name": "receive",
        "args": [],
        "kwargs": {},
        "options": {},
        "message_id": "1",
        "message_timestamp": 1,
    }
    return json.dumps({**shape, **changes}).encode()


HOSTILE_BODIES = {
    "not JSON": b"\x80\x81 not JSON",
    "empty": b"",
    "a number": b"1",
    "null": b"null",
    "options null": dramatiq_shaped(options=None),
    "a list as actor name": dramatiq_shaped(actor_name=["receive"]),
    "an unknown actor": dramatiq_shaped(actor_name="nobody"),
    "a foreign queue": dramatiq_shaped(queue_name="elsewhere"),
    "far-future eta": dramatiq_shaped(options={"eta": 10**15}),
    "a pipe": dramatiq_shaped(options={"pipe_target": dramatiq_shaped().decode()}),
    "args not a list": dramatiq_shaped(args=7),
    "NULs": b'{"notification_id": "\\u0000"}\x00\x00',
    "a megabyte": b"x" * 1_048_576,
    "deep nesting": b"[" * 100_000,
    "lone surrogate": b'"\\ud800"',
}


def test_hostile_bodies_are_data_for_the_one_actor(channel, broker, topology):
    ledger = Ledger()
    with working(broker, ledger) as worker:
        consumer = consumer_of(worker, topology)
        for body in HOSTILE_BODIES.values():
            put(channel, topology, body)
            put(channel, topology, b'{"good": true}')
        until(lambda: len(ledger.envelopes) == 2 * len(HOSTILE_BODIES), "all have arrived")
        assert consumer_of(worker, topology) is consumer, "the consumer has not been restarted"
    expected = Counter(HOSTILE_BODIES.values())
    expected[b'{"good": true}'] += len(HOSTILE_BODIES)
    assert Counter(ledger.bodies) == expected
    assert waiting(channel, topology.queue) == 0


class RawProperties(pika.BasicProperties):
    """Properties as other clients may encode them, and pika would not."""

    def __init__(self, flags: int, payload: bytes) -> None:
        super().__init__()
        self.raw = [struct.pack(">H", flags), payload]

    def encode(self):
        return self.raw


def header(kind: bytes, value: bytes) -> RawProperties:
    entry = b"\x01h" + kind + value
    return RawProperties(pika.BasicProperties.FLAG_HEADERS, struct.pack(">I", len(entry)) + entry)


def nested(levels: int) -> bytes:
    value = b""
    for _ in range(levels):
        value = b"A" + struct.pack(">I", len(value)) + value
    return value[1:]


HOSTILE_PROPERTIES = {
    "a time in milliseconds": header(b"T", struct.pack(">Q", 1_700_000_000_000)),
    "arrays in arrays": header(b"A", nested(2_000)),
    "an id that is not UTF-8": RawProperties(pika.BasicProperties.FLAG_MESSAGE_ID, b"\x02\xff\xfe"),
}


@pytest.mark.parametrize("properties", HOSTILE_PROPERTIES.values(), ids=HOSTILE_PROPERTIES)
def test_hostile_properties_do_not_stop_the_queue(channel, broker, topology, properties):
    broker.topology.ensure_intake(channel.connection)
    channel.basic_publish("", topology.queue, b"bad", properties)
    channel.basic_publish("", topology.queue, b"good")
    ledger = Ledger()
    with working(broker, ledger) as worker:
        consumer = consumer_of(worker, topology)
        until(lambda: len(ledger.envelopes) == 2, "both have arrived")
        assert consumer_of(worker, topology) is consumer, "the consumer has not been restarted"
    assert ledger.bodies == [b"bad", b"good"]
    assert all(isinstance(e.message_id, str | None) for e in ledger.envelopes)


def test_no_body_reaches_a_log_line(channel, broker, topology, caplog):
    caplog.set_level(logging.DEBUG)
    body = json.dumps({"push_token": TOKEN})
    seen = []

    def receive(batch: Batch) -> None:
        seen.append(batch)
        if len(seen) == 1:
            raise RuntimeError("the database is away")
        batch.committed = True

    with working(broker, receive):
        put(channel, topology, body)
        put(channel, topology, body)
        until(lambda: len(seen) >= 2, "one has come again")
        broker.publish_dead_letter(body.encode(), "not wanted")
        channel.queue_delete(topology.dead_letter_queue)
        broker.publish_dead_letter(body.encode(), "returned by RabbitMQ, then published again")
    assert "Failed to process message" in caplog.text, "Dramatiq has shown the message"
    assert TOKEN not in caplog.text
    assert TOKEN not in repr(seen) + str(seen[0][0])


# ── Topology ──────────────────────────────────────────────────────────────────────────────────────


def test_the_default_names_are_the_ones_everybody_uses():
    topology = Topology()
    assert (topology.queue, topology.exchange, topology.routing_keys) == (
        "push.queue",
        "notifications.direct",
        ("push",),
    )
    assert (topology.dead_letter_queue, topology.creation_arguments()) == ("failed.queue", DNS_CORE)


@pytest.mark.parametrize(
    "arguments",
    [
        DNS_CORE,
        None,
        {"x-message-ttl": 86_400_000, "x-max-priority": 10, "x-max-length": 100_000},
        {"x-queue-type": "quorum"},
    ],
    ids=["dns-core", "none", "a time to live", "quorum"],
)
def test_a_queue_that_exists_is_taken_as_it_is(channel, broker, topology, arguments):
    channel.queue_declare(topology.queue, durable=True, arguments=arguments)
    put(channel, topology, "published before")
    ledger = Ledger()
    with working(broker, ledger):
        channel.basic_publish(topology.exchange, "push", b"published after", mandatory=True)
        until(lambda: len(ledger.envelopes) == 2, "both have arrived")
    channel.queue_declare(topology.queue, durable=True, arguments=arguments)  # no 406
    assert waiting(channel, topology.dead_letter_queue) == 0, "dead letters have a place"


def test_a_gateway_that_declares_afterwards_is_not_refused(channel, broker, topology):
    with working(broker):
        pass
    channel.exchange_declare(topology.exchange, "direct", durable=True)
    channel.exchange_declare(topology.dead_letter_exchange, "direct", durable=True)
    channel.queue_declare(
        topology.queue,
        durable=True,
        arguments={**DNS_CORE, "x-dead-letter-exchange": topology.dead_letter_exchange},
    )
    channel.queue_declare(topology.dead_letter_queue, durable=True)
    channel.queue_bind(topology.queue, topology.exchange, "push")
    channel.basic_publish(topology.exchange, "push", b"in", mandatory=True)
    channel.basic_publish(topology.dead_letter_exchange, "failed", b"dead", mandatory=True)
    assert waiting(channel, topology.queue) == 1
    assert waiting(channel, topology.dead_letter_queue) == 1


def test_dramatiqs_companion_queues_are_never_made(rabbitmq, channel, broker, topology):
    with working(broker) as worker:
        assert set(worker.consumers) == {topology.queue, topology.wake_queue}
    ours = {topology.queue, topology.wake_queue, topology.dead_letter_queue}
    own = topology.queue.removeprefix("push.")
    assert {name for name in rabbitmq.list_queues() if own in name} == ours


def test_arguments_keys_and_exchange_are_settings(channel, make_broker, topology):
    own = replace(topology, exchange="", routing_keys=("a", "b"), queue_arguments={"x-queue-type": "quorum"})
    with working(make_broker(topology=own)):
        pass
    channel.queue_declare(own.queue, durable=True, arguments={"x-queue-type": "quorum"})
    with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="no exchange"):
        channel.exchange_declare(topology.exchange, passive=True)


def test_every_routing_key_is_bound_to_a_queue_that_existed(channel, make_broker, topology):
    channel.queue_declare(topology.queue, durable=True)
    ledger = Ledger()
    with working(make_broker(topology=replace(topology, routing_keys=("push", "vip"))), ledger):
        for key in ("push", "vip"):
            channel.basic_publish(topology.exchange, key, key.encode(), mandatory=True)
        until(lambda: len(ledger.envelopes) == 2, "both have arrived")


@pytest.mark.parametrize("exchange", ["exchange", "dead_letter_exchange"])
def test_an_exchange_of_another_type_is_one_clear_line(channel, broker, topology, exchange, caplog):
    name = getattr(topology, exchange)
    channel.exchange_declare(name, "fanout", durable=True)
    with pytest.raises(TopologyConflict, match=f"exchange '{name}' exists, but not as a direct"):
        broker.consume(topology.queue)
    dramatiq.actor(commit, actor_name="receive", queue_name=topology.queue, broker=broker)
    worker = Worker(broker, worker_threads=1, worker_timeout=100)
    worker.start()
    until(lambda: "delete it, or name another in RABBITMQ_" in caplog.text, "the log says so")
    channel.exchange_delete(name)
    until(lambda: consumer_of(worker, topology), "the consumer is there without a restart")
    worker.stop(timeout=10_000)
    assert "Traceback" not in caplog.text


def test_an_exchange_that_differs_otherwise_is_used(channel, broker, topology):
    channel.exchange_declare(topology.exchange, "direct", durable=False)
    ledger = Ledger()
    with working(broker, ledger):
        channel.basic_publish(topology.exchange, "push", b"in", mandatory=True)
        until(lambda: ledger.envelopes, "it has arrived")


def test_arguments_that_rabbitmq_refuses_are_one_clear_line(make_broker, topology):
    broker = make_broker(topology=replace(topology, queue_arguments={"x-max-priority": "many"}))
    with pytest.raises(TopologyConflict, match=f"refuses queue '{topology.queue}'.*x-max-priority"):
        broker.consume(topology.queue)


def test_a_queue_that_is_deleted_is_made_again(channel, broker, topology, caplog):
    ledger = Ledger()
    with working(broker, ledger) as worker:
        before = consumer_of(worker, topology)
        channel.queue_delete(topology.queue)
        until(lambda: consumer_of(worker, topology) is not before, "the consumer is new")
        channel.basic_publish(topology.exchange, "push", b"in", mandatory=True)
        until(lambda: ledger.envelopes, "it has arrived")
    assert f"cancelled the consumer of '{topology.queue}'" in caplog.text


def test_an_actor_for_another_queue_is_refused(broker):
    with pytest.raises(ValueError, match="'default'"):
        dramatiq.actor(commit, actor_name="other", queue_name="default", broker=broker)


def test_a_rabbitmq_that_is_away_is_a_closed_connection(make_broker):
    broker = make_broker(url=f"amqp://127.0.0.1:{free_port()}?connection_attempts=1")
    with pytest.raises(ConnectionClosed):
        broker.consume(broker.topology.queue)


def test_an_error_of_ours_is_not_taken_for_a_rabbitmq_that_is_away(broker, topology):
    def mistaken(connection: pika.BlockingConnection) -> None:
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        intake.Intake(topology.queue, parameters=broker.parameters, prepare=mistaken, prefetch=1, limit=1, timeout=100)


def test_a_connection_that_is_reset_while_it_is_made_is_a_rabbitmq_that_is_away():
    with pytest.raises(pika.exceptions.AMQPError), connecting():
        raise ValueError("Invalid file descriptor: -1")


# ── Dead letters ──────────────────────────────────────────────────────────────────────────────────


def dead_letter(channel, topology) -> tuple[bytes, pika.BasicProperties]:
    _, properties, body = channel.basic_get(topology.dead_letter_queue, auto_ack=True)
    return body, properties


def test_a_dead_letter_carries_its_body_and_its_reason(channel, broker, topology):
    broker.topology.ensure_dead_letters(channel.connection)
    broker.publish_dead_letter(b"\x00whole\xff", "priority: not a number", {"x-notification": "n1"})
    body, properties = dead_letter(channel, topology)
    assert body == b"\x00whole\xff"
    assert properties.delivery_mode == 2
    assert properties.headers.pop("x-death-time").endswith("+00:00")
    assert properties.headers == {
        "x-notification": "n1",
        "x-death-queue": topology.queue,
        "x-death-reason": "priority: not a number",
    }


def test_headers_that_amqp_cannot_carry_do_not_stop_a_dead_letter(channel, broker, topology):
    broker.topology.ensure_dead_letters(channel.connection)
    hostile = {
        "lone": "\ud800",
        "long" * 200: "v",
        "wide": "ü" * 100_000,
        "big": 10**30,
        "object": object(),
        "nul": "\x00",
        **{f"many{number}": "x" * 5_000 for number in range(500)},
    }
    broker.publish_dead_letter(b"body", "r\udfff" * 100_000, hostile)
    _, properties = dead_letter(channel, topology)
    assert properties.headers["lone"] == "\\ud800"
    assert properties.headers["big"] == str(10**30)
    assert properties.headers["x-death-queue"] == topology.queue


def test_a_dead_letter_that_rabbitmq_refuses_is_not_published(channel, broker, topology):
    channel.queue_declare(
        topology.dead_letter_queue,
        durable=True,
        arguments={"x-max-length": 0, "x-overflow": "reject-publish"},
    )
    broker.topology.ensure_dead_letters(channel.connection)
    with pytest.raises(NotPublished):
        broker.publish_dead_letter(b"body", "reason")


def test_a_dead_letter_without_a_place_makes_itself_one(channel, broker, topology):
    broker.publish_dead_letter(b"body", "reason")
    assert dead_letter(channel, topology)[0] == b"body"
    channel.queue_delete(topology.dead_letter_queue)
    broker.publish_dead_letter(b"again", "reason")
    assert dead_letter(channel, topology)[0] == b"again"


def test_a_dead_letter_survives_a_connection_that_was_closed(rabbitmq, broker, topology):
    broker.publish_dead_letter(b"first", "reason")
    rabbitmq.close_all_connections()
    broker.publish_dead_letter(b"second", "reason")
    assert broker.get_queue_message_counts(topology.dead_letter_queue) == (2, 0, 0)


def test_a_dead_letter_fails_when_rabbitmq_is_away(make_broker):
    broker = make_broker(url=f"amqp://127.0.0.1:{free_port()}?connection_attempts=1")
    with pytest.raises(NotPublished):
        broker.publish_dead_letter(b"body", "reason")


def test_each_dead_letter_that_was_published_is_there(rabbitmq, broker, topology):
    """Every call that returned is on the queue, although RabbitMQ hung up in the middle."""
    returned = 0
    stop = threading.Event()

    def cut() -> None:
        while not stop.wait(0.3):
            rabbitmq.close_all_connections()

    cutter = threading.Thread(target=cut)
    cutter.start()
    try:
        for number in range(1_500):
            try:
                broker.publish_dead_letter(str(number).encode(), "reason")
                returned += 1
            except NotPublished:
                continue
    finally:
        stop.set()
        cutter.join()
    assert returned > 1_000
    assert rabbitmq.list_queues()[topology.dead_letter_queue] >= returned


# ── Wake-ups ──────────────────────────────────────────────────────────────────────────────────────


class Woken:
    def __init__(self) -> None:
        self.ids: list[str] = []

    def __call__(self, ids: list[str]) -> None:
        self.ids += ids


def test_a_wake_up_reaches_the_actor(broker):
    woken = Woken()
    with working(broker, resume=woken):
        assert broker.wake(["a", "b"])
        until(lambda: woken.ids == ["a", "b"], "it has arrived")
        broker.get_actor("resume").send(["c"])
        until(lambda: woken.ids == ["a", "b", "c"], "send is a wake-up too")


def test_many_ids_are_several_messages(broker):
    woken = Woken()
    ids = [str(number) for number in range(1_201)]
    with working(broker, resume=woken):
        assert broker.wake(ids)
        until(lambda: len(woken.ids) == 1_201, "all have arrived")
    assert woken.ids == ids


def test_a_wake_up_whose_actor_fails_does_not_come_again(channel, broker, topology):
    woken = Woken()

    def resume(ids: list[str]) -> None:
        woken(ids)
        raise RuntimeError

    with working(broker, resume=resume) as worker:
        assert broker.wake(["a"])
        until(lambda: woken.ids, "it has arrived")
        consumer = worker.consumers[topology.wake_queue].consumer
        until(lambda: not consumer.outstanding, "it is settled")
    assert woken.ids == ["a"]
    assert waiting(channel, topology.wake_queue) == 0


def test_malformed_wake_ups_are_dropped_with_a_line_each(channel, broker, topology, caplog):
    hostile = [
        *HOSTILE_BODIES.values(),
        b'[1, "a"]',
        b'[["a"]]',
        b'["\\u0000"]',
        b'[""]',
        b'["' + b"x" * 300 + b'"]',
        dramatiq_shaped(queue_name=topology.wake_queue, actor_name="resume", args=[["x"]]),
    ]
    woken = Woken()
    with working(broker, resume=woken) as worker:
        consumer = worker.consumers[topology.wake_queue].consumer
        for body in hostile:
            channel.basic_publish("", topology.wake_queue, body)
        channel.basic_publish("", topology.wake_queue, b'["good"]')
        until(lambda: woken.ids, "the good one has arrived")
        until(lambda: not consumer.outstanding, "all are settled")
        assert worker.consumers[topology.wake_queue].consumer is consumer
    assert woken.ids == ["good"]
    assert caplog.text.count("dropped a malformed wake-up") == len(hostile)
    assert waiting(channel, topology.wake_queue) == 0


def test_a_wake_up_without_rabbitmq_is_false_and_leaves_it_in_peace(make_broker):
    """A listener that accepts and says nothing: the worst way of being away."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        broker = make_broker(url=f"amqp://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        assert not broker.wake(["a"])
        assert time.monotonic() - started < 15
        started = time.monotonic()
        for _ in range(100):
            assert not broker.wake(["a"])
        assert time.monotonic() - started < 2
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_waking_goes_on_after_rabbitmq_hung_up(rabbitmq, broker):
    woken = Woken()
    with working(broker, resume=woken) as worker:
        assert broker.wake(["a"])
        until(lambda: woken.ids == ["a"], "it has arrived")
        hang_up(rabbitmq, worker)
        assert broker.wake(["b"])
        until(lambda: woken.ids == ["a", "b"], "the second has arrived")


def test_waking_needs_one_connection_however_many_threads(rabbitmq, broker):
    before = connections(rabbitmq)
    threads = [threading.Thread(target=broker.wake, args=(["a"],)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    until(lambda: len(connections(rabbitmq) - before) == 1, "RabbitMQ shows the connection")


def test_a_waker_that_nobody_listens_to_is_no_error(broker):
    assert broker.wake(["a"])


def test_only_wake_ups_are_sent(broker, topology):
    actor = dramatiq.actor(commit, actor_name="receive", queue_name=topology.queue, broker=broker)
    with pytest.raises(ValueError, match="plain JSON"):
        actor.send({"notification_id": "a"})


# ── RabbitMQ away or full ─────────────────────────────────────────────────────────────────────────


def test_a_rabbitmq_that_was_killed_is_consumed_again(rabbitmq, broker, topology):
    ledger, woken = Ledger(), Woken()
    with working(broker, ledger, woken) as worker:
        assert broker.wake(["before"])
        until(lambda: woken.ids, "it has arrived")
        old = consumer_of(worker, topology)
        rabbitmq.kill()
        try:
            assert not broker.wake(["meanwhile"])
            with pytest.raises(NotPublished):
                broker.publish_dead_letter(b"body", "reason")
        finally:
            rabbitmq.start()
        until(lambda: consumer_of(worker, topology) is not old, "the consumer is new")
        with pika.BlockingConnection(pika.URLParameters(rabbitmq.url)) as connection:
            put(connection.channel(), topology, "after")
        until(lambda: ledger.bodies == [b"after"], "it has arrived")
        until(lambda: broker.wake(["after"]), "wake-ups go out again")
        until(lambda: "after" in woken.ids, "it has arrived")


def test_a_rabbitmq_without_memory_is_given_up_on(rabbitmq, make_broker):
    broker = make_broker(url=f"{rabbitmq.url}?blocked_connection_timeout=1&connection_attempts=1")
    broker.publish_dead_letter(b"before", "reason")
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        with pytest.raises(NotPublished, match="Blocked"):
            broker.publish_dead_letter(b"meanwhile", "reason")
        started = time.monotonic()
        for _ in range(20):
            broker.wake(["a"])
        assert time.monotonic() - started < 15
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    broker.publish_dead_letter(b"after", "reason")


def test_a_rabbitmq_that_says_nothing_more_is_given_up_on(rabbitmq, channel, topology, make_broker, monkeypatch):
    """A link that is half open: pika would wait until its heartbeats are missed, for a minute and more."""
    monkeypatch.setattr("deliveries.broker.rabbitmq.CONFIRM_PATIENCE", 0.5)
    topology.ensure_dead_letters(channel.connection)
    with way_to(rabbitmq.port) as (port, silent):
        broker = make_broker(url=f"amqp://guest:guest@127.0.0.1:{port}/%2F?stack_timeout=1&connection_attempts=1")
        broker.publish_dead_letter(b"before", "reason")
        silent.set()
        started = time.monotonic()
        with pytest.raises(NotPublished, match="no answer in time"):
            broker.publish_dead_letter(b"meanwhile", "reason")
        assert time.monotonic() - started < 20


def test_a_connection_that_is_never_made_is_given_up_on(make_broker):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"amqp://127.0.0.1:{silent.getsockname()[1]}"
        broker = make_broker(url=f"{address}?stack_timeout=0.2&connection_attempts=1")
        with pytest.raises(NotPublished):
            broker.publish_dead_letter(b"body", "reason")
        with pytest.raises(ConnectionClosed):
            broker.consume(broker.topology.queue)


def test_a_goodbye_that_nobody_answers_takes_a_moment(rabbitmq, make_broker):
    with way_to(rabbitmq.port) as (port, silent):
        broker = make_broker(url=f"amqp://guest:guest@127.0.0.1:{port}/%2F")
        consumer = broker.consume(broker.topology.wake_queue, timeout=100)
        next(consumer)
        silent.set()
        started = time.monotonic()
        consumer.close()
        assert time.monotonic() - started < 20
        assert consumer.connection.is_closed


# ── Connecting ────────────────────────────────────────────────────────────────────────────────────


def test_the_url_is_completed_and_the_users_own_options_win(make_broker):
    broker = make_broker(url="amqp://one?heartbeat=7;amqps://two:5671/vhost")
    one, two = broker.parameters
    assert (one.host, one.heartbeat, one.blocked_connection_timeout) == ("one", 7, 10)
    assert (two.host, two.virtual_host, two.heartbeat) == ("two", "vhost", 60)
    assert (two.connection_attempts, two.retry_delay, two.socket_timeout, two.stack_timeout) == (3, 1, 5, 5)
    assert broker.confirm_delivery


@pytest.mark.parametrize("url", ["amqp://h", "amqp://h/", "amqp://h/%2F?", "amqp://h?locale=de"])
def test_a_completed_url_names_the_same_place(url):
    given, completed = pika.URLParameters(url), pika.URLParameters(with_defaults(url))
    for name in ("host", "port", "virtual_host", "locale"):
        assert getattr(completed, name) == getattr(given, name)
    assert with_defaults(with_defaults(url)) == with_defaults(url)


# ── Without RabbitMQ ──────────────────────────────────────────────────────────────────────────────


def test_the_embedded_broker_wakes_its_own_process():
    broker = EmbeddedBroker()
    woken = Woken()
    with working(broker, resume=woken):
        assert broker.wake(["a"])
        until(lambda: woken.ids == ["a"], "it has arrived")
    assert broker.publish_dead_letter(b"body", "reason") is None


def test_the_embedded_broker_without_a_worker_wakes_nobody():
    assert not EmbeddedBroker().wake(["a"])


def test_the_embedded_broker_hands_over_one_message_in_its_other_shape():
    broker, ledger = EmbeddedBroker(), Ledger()
    with working(broker, lambda argument: ledger(Batch.of(argument))):
        broker.get_actor("receive").send('{"as": "it came"}')
        broker.get_actor("receive").send({"as": "JSON"})
        until(lambda: len(ledger.envelopes) == 2, "both have arrived")
    assert sorted(ledger.bodies) == [b'{"as": "JSON"}', b'{"as": "it came"}']


def test_a_batch_is_a_batch_already():
    batch = Batch([Envelope(b"a")])
    assert Batch.of(batch) is batch
