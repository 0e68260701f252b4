"""Runs the web process; without RABBITMQ_URL it delivers too: one command is the service."""

import importlib
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any

import dramatiq
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.core.wsgi import get_wsgi_application
from django.db import connection, connections
from gunicorn.app.base import BaseApplication
from gunicorn.arbiter import Arbiter
from gunicorn.glogging import Logger
from gunicorn.workers.gthread import ThreadWorker

from deliveries.management.operating import positive
from deliveries.management.schema import refuse_old_schema
from deliveries.statement_timeout import bound_statements

DELIVERY_THREADS = 4
JOIN_MS = 5_000  # what the threads may take, before the drain
POLL_MS = 250  # a stop waits this long, twice


class Command(BaseCommand):
    """`manage.py serve`: gunicorn, its lifetime, and the engine's inside it."""

    help = "Serve the API and the console; without RABBITMQ_URL, deliver as well."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--bind", help="address to listen on (default 0.0.0.0 and $PORT)")
        parser.add_argument("--workers", type=positive, default=1, help="processes (embedded mode: 1)")
        parser.add_argument("--threads", type=positive, default=settings.PUSH.web_threads)
        parser.add_argument("--migrate", action="store_true", help="apply missing migrations first")

    def handle(self, *_args: object, **options: Any) -> None:
        if settings.PUSH.embedded_broker and options["workers"] != 1:
            raise CommandError("without RABBITMQ_URL the engine lives in the one process: --workers 1")
        if options["migrate"]:
            migrate_in_turn()
        refuse_old_schema()
        connections.close_all()  # the workers are forked
        bound_statements()
        WebProcess(
            bind=options["bind"] or f"0.0.0.0:{settings.PUSH.port}",
            workers=options["workers"],
            threads=options["threads"],
            **(delivery_hooks() if settings.PUSH.embedded_broker else {}),
        ).run()


def migrate_in_turn() -> None:
    """Migrates; of several processes that are started at once, one after the other."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_lock(hashtext('push migrations'))")
        call_command("migrate", verbosity=0)
        cursor.execute("SELECT pg_advisory_unlock(hashtext('push migrations'))")


class PlainLogger(Logger):
    """Leaves gunicorn's lines to the root logger: one format for everything."""

    def setup(self, cfg: Any) -> None:
        self.cfg = cfg
        self.error_log.propagate = True
        self._access_log_enabled = False


class WebWorker(ThreadWorker):
    """Takes a Ctrl-C for a SIGTERM, at most 2 s slower.

    gunicorn 27 shuts its pool down in the signal handler, under a lock that the second signal of a
    Ctrl-C (terminal and parent send one each) waits for: the worker hung until it was killed.
    """

    handle_quit = ThreadWorker.handle_exit


class WebProcess(BaseApplication):
    """gunicorn with threads, configured by keywords alone: no file, no command line."""

    def __init__(self, **config: Any) -> None:
        self.config = {
            "worker_class": WebWorker,
            "logger_class": PlainLogger,
            "forwarded_allow_ips": settings.PUSH.forwarded_allow_ips,
            "control_socket_disable": True,  # it would listen in the user's home
            "keepalive": 5,
            "graceful_timeout": int(settings.PUSH.drain_grace) + 25,
            **config,
        }
        super().__init__()

    def load_config(self) -> None:
        for name, value in self.config.items():
            self.cfg.set(name, value)

    def load(self) -> Any:
        return get_wsgi_application()


def delivery_hooks() -> dict[str, Callable[..., None]]:
    """gunicorn's hooks that keep a Dramatiq worker, and so the engine, in the process.

    They run in the forked worker: threads started any earlier would stay behind in its parent.
    """
    importlib.import_module("deliveries.actors")
    worker = dramatiq.Worker(dramatiq.get_broker(), worker_threads=DELIVERY_THREADS, worker_timeout=POLL_MS)

    def begin(_process: object) -> None:
        try:
            worker.start()
        except SystemExit:  # the engine refused; another try would refuse the same
            sys.exit(Arbiter.WORKER_BOOT_ERROR)

    def end(_arbiter: object, _process: object) -> None:
        if worker.workers:  # gunicorn's parent may call this too, for a child that vanished
            worker.stop(timeout=JOIN_MS)

    return {"post_worker_init": begin, "worker_exit": end}
