"""Runs the workers: django-dramatiq's command, with defaults that suit an engine in each process."""

import os
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import dramatiq
from django.core.management.base import CommandError
from django_dramatiq.management.commands.rundramatiq import Command as RunDramatiq
from django_dramatiq.utils import getenv_int

import deliveries
from deliveries.broker import PushBroker
from deliveries.management.schema import refuse_old_schema

ROOT = Path(deliveries.__file__).parent.parent

# One process saturates a core; more of them are more containers, so that one crash takes one down.
PROCESSES = 1
# A thread accepts a batch and waits for its commit: 4 take 4,600 messages/s at 30 ms a commit,
# 1 takes 3,200, 8 take 5,800 in batches of 30 instead of 43. The engine carries on 2,500.
THREADS = 4
# ms that the threads may take, before the drain; Dramatiq's own is 10 minutes, and a supervisor kills long before. They
# take a commit, or as long as the database is away: then their messages go back. Nothing in flight waits for them.
SHUTDOWN_TIMEOUT = 5_000
RESTART_DELAY = "500"  # ms between attempts to consume; Dramatiq's own is 3,000, read at its import


class Command(RunDramatiq):  # type: ignore[misc]
    """`manage.py rundramatiq`; replaces this process, so that its PID is the workers' master's."""

    help = "Consumes push requests from RabbitMQ and delivers them."

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(
            path=[str(ROOT)],
            processes=getenv_int("DRAMATIQ_NPROCS", PROCESSES),
            threads=getenv_int("DRAMATIQ_NTHREADS", THREADS),
            worker_shutdown_timeout=SHUTDOWN_TIMEOUT,
            skip_logging=True,  # our JSON lines, which each worker process sets up for itself
        )

    def handle(self, *args: Any, **options: Any) -> None:
        """Raises CommandError without a RabbitMQ to consume from, or a migrated database to write to."""
        if not isinstance(dramatiq.get_broker(), PushBroker):
            raise CommandError(
                "There is no RabbitMQ to consume from: set RABBITMQ_URL to something like "
                "amqp://user:password@host:5672/, or run `manage.py serve`, which without "
                "RABBITMQ_URL accepts and delivers in one process."
            )
        refuse_old_schema()
        os.environ.setdefault("dramatiq_restart_delay", RESTART_DELAY)
        super().handle(*args, **options)
