"""Whether the database is ready for this version, asked by the commands that run for long."""

from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.migrations.executor import MigrationExecutor


def refuse_old_schema() -> None:
    """Raises CommandError, with what to do, when migrations are missing or there is no database."""
    try:
        executor = MigrationExecutor(connection)
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
    except OperationalError as error:
        raise CommandError(f"the database does not answer: {str(error).strip()}") from error
    if missing:
        raise CommandError(f"the database lacks {missing} migrations: run `manage.py migrate`")
