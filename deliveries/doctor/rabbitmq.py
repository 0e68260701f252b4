"""RabbitMQ: whether it lets us in, and whether exchanges and queues are what a worker needs. Nothing is made here."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator

import dramatiq
from pika import BlockingConnection
from pika.connection import Parameters
from pika.exceptions import (
    IncompatibleProtocolError,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from deliveries.broker import PushBroker, Topology
from deliveries.broker.inspection import asked, compare, exchange_fits, is_blocked, look_at
from deliveries.console.words import worker_command
from deliveries.doctor.configuration import setting_of
from deliveries.doctor.findings import Finding, failed, ok, warning

PATIENCE = 5.0  # seconds

# What pika raises, what is in its text; what that means; what to do. The first that fits. {url} is the setting.
TROUBLES: tuple[tuple[type[BaseException], str, str, str], ...] = (
    (
        ProbableAuthenticationError,
        "",
        "RabbitMQ refuses user {user} or the password.",
        "Correct both in {url}. (RabbitMQ lets `guest` in from its own machine only.)",
    ),
    (
        ProbableAccessDeniedError,
        "not found",
        "RabbitMQ has no virtual host {vhost}.",
        "Correct it in {url}, where / is %2F, or make it: rabbitmqctl add_vhost {vhost}",
    ),
    (
        ProbableAccessDeniedError,
        "",
        "user {user} may not enter virtual host {vhost}.",
        "Correct {url}, or grant it: rabbitmqctl set_permissions -p {vhost} {user} '.*' '.*' '.*'",
    ),
    (socket.gaierror, "", "the host {host} is not known.", "Correct the host in {url}."),
    (
        ConnectionRefusedError,
        "",
        "nobody listens at {host}, port {port}.",
        "Start RabbitMQ, or correct host and port in {url}.",
    ),
    (
        ssl.SSLError,
        "",
        "TLS with {host}, port {port}, fails.",
        "Write amqp:// in {url} where RabbitMQ has no TLS, else mend its certificate.",
    ),
    (
        IncompatibleProtocolError,
        "",
        "what listens at {host}, port {port}, does not speak AMQP.",
        "Correct the port in {url}, or write amqps:// where RabbitMQ wants TLS.",
    ),
    (
        BaseException,
        "",
        "{host}, port {port}, does not answer ({kind}).",
        "Check host and port in {url}, the firewalls on the way, and RabbitMQ's log.",
    ),
)


def examine() -> Iterator[Finding]:
    broker = dramatiq.get_broker()
    if not isinstance(broker, PushBroker):
        yield ok(
            "RabbitMQ", "RABBITMQ_URL is not set: `manage.py serve` takes notifications over HTTP and delivers them."
        )
        return
    troubles = []
    for parameters in broker.parameters:
        try:
            with asked([parameters], PATIENCE / len(broker.parameters)) as connection:
                yield from _examined(connection, parameters, broker.topology)
                break
        except Exception as error:  # noqa: BLE001 - pika's timeouts have no base of their own
            troubles.append(_trouble(error, parameters))
    else:
        yield from (failed("RabbitMQ", *trouble) for trouble in troubles)
        return
    yield from (warning("RabbitMQ", *trouble) for trouble in troubles)


def _examined(connection: BlockingConnection, parameters: Parameters, topology: Topology) -> Iterator[Finding]:
    yield ok("RabbitMQ", f"It lets user {_user(parameters)} into virtual host {parameters.virtual_host!r}.")
    yield _exchange(connection, "exchange", topology.exchange, "RABBITMQ_EXCHANGE")
    yield _exchange(connection, "failed exchange", topology.dead_letter_exchange, "RABBITMQ_DLX_EXCHANGE")
    yield from _queue(connection, topology)
    yield from _dead_letters(connection, topology)
    yield from _alarm(connection)


def _exchange(connection: BlockingConnection, what: str, name: str, setting: str) -> Finding:
    fits = exchange_fits(connection, name) if name else True
    if fits is None:
        return ok(what, f"{name!r} does not exist yet; a worker makes it when it starts.")
    if fits:
        return ok(what, f"{name or 'The default exchange'!r} is there.")
    wrong = f"{setting}: exchange {name!r} exists, but not as a direct one."
    return failed(what, wrong, f"Name another in {setting}, or delete it: a worker makes it anew.")


def _queue(connection: BlockingConnection, topology: Topology) -> Iterator[Finding]:
    queue = look_at(connection, topology.queue)
    if queue.exists is False:
        what = f"RABBITMQ_QUEUE: there is no queue {topology.queue!r}, so what producers publish is dropped."
        yield warning("queue", what, f"A worker makes it: {worker_command()}. If it should be there, correct the name.")
    elif queue.exists is None:
        what = f"RABBITMQ_QUEUE: RabbitMQ does not say whether {topology.queue!r} exists."
        yield warning("queue", what, "See RabbitMQ's log: its node may be away, or another may have it for itself.")
    else:
        yield ok("queue", f"{topology.queue!r} holds {queue.messages} messages.")
        yield from _likeness(connection, topology)
        yield from _consumers(queue.consumers or 0, topology)


def _likeness(connection: BlockingConnection, topology: Topology) -> Iterator[Finding]:
    like = compare(connection, topology)
    if like.expected is False:
        what = f"{topology.queue!r} is not as we would have made it: {like.difference}. It works all the same."
        fix = "Nothing must be done. RABBITMQ_QUEUE_ARGUMENTS, set to what its owner declares, ends this warning."
        yield warning("queue arguments", what, fix)
    elif like.expected is None:
        yield ok("queue arguments", "We may not declare it, so they cannot be compared; a worker uses it as it is.")
    else:
        yield ok("queue arguments", "As we would have made it.")


def _consumers(consumers: int, topology: Topology) -> Iterator[Finding]:
    keys, exchange = ", ".join(topology.routing_keys), topology.exchange or "the default exchange"
    bound = f"A worker binds it to {exchange} by {keys} when it starts; AMQP does not tell whether it still is."
    if consumers:
        yield ok("consumers", f"There {'is' if consumers == 1 else 'are'} {consumers}. {bound}")
    else:
        yield warning("consumers", f"Nobody consumes {topology.queue!r}. {bound}", worker_command())


def _dead_letters(connection: BlockingConnection, topology: Topology) -> Iterator[Finding]:
    queue = look_at(connection, topology.dead_letter_queue)
    if queue.exists:
        yield ok("failed queue", f"{topology.dead_letter_queue!r} holds {queue.messages} messages.")
    else:
        yield ok(
            "failed queue", f"{topology.dead_letter_queue!r} does not exist yet; a worker makes it when it starts."
        )


def _alarm(connection: BlockingConnection) -> Iterator[Finding]:
    blocked = is_blocked(connection)
    if blocked:
        what = "RabbitMQ has a memory or disk alarm: it takes no messages from anybody."
        yield failed("alarm", what, "Free memory or disk on its machine: rabbitmq-diagnostics alarms says which.")
    elif blocked is None:
        what = "RABBITMQ_URL: its user may not publish to the default exchange, so workers cannot be woken up."
        yield warning("publishing", what, "Grant it: rabbitmqctl set_permissions -p <vhost> <user> '.*' '.*' '.*'")


def _trouble(error: BaseException, parameters: Parameters) -> tuple[str, str]:
    """What is wrong with this connection, and what to do."""
    cause = _root(error)
    place = {
        "url": setting_of("RABBITMQ_URL"),
        "host": parameters.host,
        "port": parameters.port,
        "user": _user(parameters),
        "vhost": repr(parameters.virtual_host),
        "kind": type(cause).__name__,
    }
    what, fix = next(
        (what, fix) for kind, said, what, fix in TROUBLES if isinstance(cause, kind) and said in str(cause)
    )
    return "{url}: ".format(**place) + what.format(**place), fix.format(**place)


def _root(error: BaseException) -> BaseException:
    """pika puts the cause of a fault into the arguments of the next one."""
    while True:
        inner = getattr(error, "exception", None) or next(iter(error.args), None)
        if not isinstance(inner, BaseException):
            return error
        error = inner


def _user(parameters: Parameters) -> str:
    return str(getattr(parameters.credentials, "username", "of the certificate"))
