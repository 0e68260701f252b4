"""What the broker layer leans on in Dramatiq, django-dramatiq and pika beyond their documentation.

Another version of any of them is welcome once these hold again; the versions are pinned until then.
"""

import inspect
import logging
from importlib.metadata import version
from inspect import getsource, signature

import dramatiq.cli
import dramatiq.worker
import pika.adapters.blocking_connection as blocking
import pytest
from django_dramatiq.apps import DjangoDramatiqConfig
from django_dramatiq.management.commands import rundramatiq
from dramatiq import Broker, Message, MessageProxy, Worker
from dramatiq.broker import Consumer
from dramatiq.brokers.rabbitmq import RabbitmqBroker
from dramatiq.brokers.stub import StubBroker
from dramatiq.compat import StreamablePipe
from dramatiq.errors import BrokerConnectionError, ConnectionClosed
from dramatiq.middleware import Middleware
from dramatiq.worker import ConsumerThread, WorkerThread
from pika import BasicProperties, BlockingConnection, SelectConnection, URLParameters, exceptions, frame, spec
from pika.adapters.blocking_connection import BlockingChannel
from pika.adapters.select_connection import IOLoop
from pika.adapters.utils import io_services_utils
from pika.connection import Connection


def parameters(function) -> list[str]:
    return list(signature(function).parameters)


@pytest.mark.parametrize(
    ("package", "pinned"), [("dramatiq", "2.2.1"), ("django-dramatiq", "0.15.0"), ("pika", "1.4.4")]
)
def test_the_versions_are_the_ones_that_were_read(package, pinned):
    assert version(package) == pinned


# ── Dramatiq ──────────────────────────────────────────────────────────────────────────────────────


def test_a_consumer_thread_asks_the_broker_for_a_consumer_and_settles_through_the_current_one():
    run = getsource(ConsumerThread.run)
    assert "self.consumer = self.broker.consume(" in run
    assert "for message in self.consumer:" in run
    assert "except BrokerConnectionError as e:" in run
    assert issubclass(ConnectionClosed, BrokerConnectionError)
    settle = getsource(ConsumerThread.post_process_message)
    assert "self.consumer.nack(message)" in settle
    assert "self.consumer.ack(message)" in settle


def test_a_consumer_is_iterated_settled_and_closed():
    assert parameters(RabbitmqBroker.consume) == ["self", "queue_name", "prefetch", "timeout"]
    for method in (Consumer.ack, Consumer.nack):
        assert parameters(method) == ["self", "message"]
    assert parameters(Consumer.__next__) == parameters(Consumer.close) == ["self"]
    assert Consumer.requeue(Consumer(), []) is None, "nothing to do: a closed connection requeues"


def test_what_a_worker_reads_of_a_delivery_is_what_a_message_proxy_has():
    message = Message("queue", "actor", (1,), {}, {})
    proxy = MessageProxy(message)
    assert (proxy.failed, proxy.queue_name, proxy.actor_name, proxy.args) == (False, "queue", "actor", (1,))
    assert str(proxy) == "actor(1)", "it shows its arguments by repr, so they redact themselves"
    assert "message.args" in getsource(WorkerThread.process_message)


def test_an_actor_that_raises_is_settled_like_any_other():
    """Not failed: without Retries it comes to `ack`, so `committed` decides."""
    process = getsource(WorkerThread.process_message)
    assert "message.fail()" not in process
    assert "except BaseException as e:" in process
    assert ".post_process_message(message)" in process


def test_a_worker_tells_its_threads_before_it_consumes():
    start = getsource(Worker.start)
    boot = start.index('emit_before("worker_boot", self)')
    assert boot < start.index("add_middleware") < start.index("_add_worker()")
    assert parameters(Middleware.before_worker_boot) == ["self", "broker", "worker"]
    broker = StubBroker(middleware=[])
    assert Worker(broker, worker_threads=3).worker_threads == 3


def test_a_worker_consumes_the_queues_that_were_announced():
    add = getsource(Broker.add_middleware)
    assert "for queue_name in self.get_declared_queues():" in add
    assert "for queue_name in self.get_declared_delay_queues():" in add
    assert getsource(RabbitmqBroker.get_declared_queues).strip().endswith("return self.queues.copy()")
    assert parameters(RabbitmqBroker.declare_queue) == ["self", "queue_name", "ensure"]


def test_the_rabbitmq_broker_keeps_a_connection_and_a_channel_for_each_thread():
    broker = RabbitmqBroker(confirm_delivery=True, url=["amqp://nowhere"], middleware=[])
    assert [type(p) for p in broker.parameters] == [URLParameters]
    assert broker.queues == set()
    assert broker.delay_queues == set()
    for name in ("connection", "channel"):
        held = inspect.getattr_static(RabbitmqBroker, name)
        assert held.fget is not None
        assert held.fdel is not None
    assert "channel.confirm_delivery()" in getsource(RabbitmqBroker.channel.fget)
    assert "connection.close()" in getsource(RabbitmqBroker.connection.fdel)


def test_the_pause_before_a_consumer_restarts_comes_from_the_environment():
    assert 'os.getenv("dramatiq_restart_delay", 3000)' in getsource(dramatiq.worker)
    assert isinstance(dramatiq.worker.CONSUMER_RESTART_DELAY_SECS, float)


def test_a_worker_process_writes_its_logs_through_the_pipe_that_stands_for_stderr():
    """It is put there before Django, and with it our logging, is set up in that process."""
    process = getsource(dramatiq.cli.worker_process)
    assert process.index("setup_worker_logging(") < process.index("import_broker(args.broker)")
    assert "sys.stderr = logging_pipe" in getsource(dramatiq.cli.make_logging_setup)
    logging.StreamHandler(StreamablePipe(pipe=None)).flush()


def test_rundramatiq_takes_the_options_that_we_set():
    parser = dramatiq.cli.make_argument_parser()
    given = parser.parse_args(["broker", "--worker-shutdown-timeout", "30000", "--skip-logging"])
    assert (given.worker_shutdown_timeout, given.skip_logging) == (30000, True)
    handle = parameters(rundramatiq.Command.handle)
    assert {"path", "processes", "threads", "worker_shutdown_timeout", "skip_logging"} <= set(handle)
    assert "os.execvp(" in getsource(rundramatiq.Command.handle), "the PID stays"


def test_django_dramatiq_makes_the_broker_with_our_options_and_middleware():
    assert "broker_class(middleware=middleware, **broker_options)" in getsource(DjangoDramatiqConfig)


# ── pika ──────────────────────────────────────────────────────────────────────────────────────────


def test_a_blocking_connection_takes_our_reader():
    assert parameters(BlockingConnection.__init__) == ["self", "parameters", "_impl_class"]
    assert issubclass(SelectConnection, Connection)
    assert parameters(Connection._read_frame) == ["self"]
    assert "return frame.decode_frame(self._frame_buffer)" in getsource(Connection._read_frame)
    assert "consumed_count, frame_value = self._read_frame()" in getsource(Connection._on_data_available)


def test_a_header_frame_is_laid_out_as_we_read_it():
    raw = frame.Header(7, 1234, BasicProperties(message_id="m")).marshal()
    assert raw[0] == spec.FRAME_HEADER
    assert len(raw) == spec.FRAME_HEADER_SIZE + int.from_bytes(raw[3:7]) + spec.FRAME_END_SIZE
    assert int.from_bytes(raw[1:3]) == 7
    body_size = spec.FRAME_HEADER_SIZE + 4
    assert int.from_bytes(raw[body_size : body_size + 8]) == 1234
    assert parameters(frame.Header.__init__) == ["self", "channel_number", "body_size", "props"]


def test_a_channel_tells_how_many_messages_it_has_read():
    assert parameters(BlockingChannel.get_waiting_message_count) == ["self"]
    consume = parameters(BlockingChannel.consume)
    assert consume[:2] == ["self", "queue"]
    assert "inactivity_timeout" in consume
    assert "yield (None, None, None)" in getsource(BlockingChannel.consume)


def test_only_callbacks_cross_threads_and_they_run_where_events_are_processed():
    assert parameters(BlockingConnection.add_callback_threadsafe) == ["self", "callback"]
    assert parameters(BlockingConnection.call_later) == ["self", "delay", "callback"]
    assert parameters(BlockingConnection.process_data_events) == ["self", "time_limit"]
    assert "ConnectionWrongStateError" in getsource(BlockingConnection.add_callback_threadsafe)


def test_the_inner_connection_has_a_clock_that_runs_while_pika_waits():
    wait = getsource(BlockingConnection._flush_output)
    assert "self._impl.ioloop.poll()" in wait
    assert "self._impl.ioloop.process_timeouts()" in wait
    assert parameters(IOLoop.call_later) == ["self", "delay", "callback"]
    assert parameters(IOLoop.remove_timeout) == ["self", "timeout_handle"]
    assert parameters(Connection._terminate_stream) == ["self", "error"]


def test_a_connection_that_is_reset_while_it_is_made_is_a_value_error():
    assert "Expected connected socket, but getpeername() failed" in getsource(io_services_utils)


def test_a_refusal_closes_its_channel_and_says_why():
    refusal = exceptions.ChannelClosedByBroker(404, "NOT_FOUND")
    assert (refusal.reply_code, refusal.reply_text) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    "name",
    ["UnroutableError", "NackError", "ConnectionBlockedTimeout", "ConnectionWrongStateError", "StreamLostError"],
)
def test_every_failure_of_a_publication_is_an_amqp_error(name):
    assert issubclass(getattr(exceptions, name), exceptions.AMQPError)


def test_the_log_line_that_shows_a_body_is_the_one_that_we_drop():
    source = getsource(blocking)
    assert blocking.LOGGER.name == "pika.adapters.blocking_connection"
    assert source.count("body_prefix") == 1
    assert '"body_prefix=%.255r"' in getsource(BlockingChannel._on_puback_message_returned)


def test_connection_parameters_can_be_copied_and_changed():
    one = URLParameters("amqp://host?heartbeat=9")
    for name in ("connection_attempts", "socket_timeout", "stack_timeout", "blocked_connection_timeout"):
        setattr(one, name, 1)
        assert getattr(one, name) == 1


def test_a_connection_that_hangs_can_be_ended_by_force():
    assert "self._impl.close(" in getsource(BlockingConnection.close)
    assert parameters(SelectConnection._terminate_stream) == ["self", "error"]
    assert "self._impl.ioloop.process_timeouts()" in getsource(BlockingConnection._flush_output)


def test_a_worker_shows_its_threads_and_a_consumer_thread_its_consumer():
    assert "self.workers.append(worker)" in getsource(Worker._add_worker)
    assert "self.consumers[queue_name] = ConsumerThread(" in getsource(Worker._add_consumer)
    assert "self.consumer = self.broker.consume(" in getsource(ConsumerThread.run)
    assert "self.consumer.close()" in getsource(ConsumerThread.close)
