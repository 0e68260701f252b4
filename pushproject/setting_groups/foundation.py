"""Settings of what the service stands on: its directory, its log, PostgreSQL and RabbitMQ."""

from pathlib import Path

from pydantic import FilePath
from pydantic_settings import BaseSettings

from pushproject.setting_types import AmqpUrl, JsonObject, Level, Name, PostgresUrl, SomeCommaList, secret_file, setting

BASE_DIR = Path(__file__).resolve().parent.parent.parent


class Foundation(BaseSettings):
    """Where it runs and what it keeps its work in."""

    debug: bool = setting(False, "`true` shows tracebacks in the browser: for development only.")
    var_dir: Path = setting(
        BASE_DIR / "var",
        "Directory of what the service keeps on disk: embedded PostgreSQL, generated secret key. Without it: `var` in "
        "the project's directory.",
    )
    log_level: Level = setting("INFO", "Least level that is logged: DEBUG, INFO, WARNING, ERROR or CRITICAL.")

    database_url_file: FilePath | None = secret_file("DATABASE_URL")
    database_url: PostgresUrl = setting(
        None,
        "PostgreSQL 15 to 18, `postgresql://user:password@host:5432/name` (`postgresql+asyncpg://` "
        "too). Without it an embedded PostgreSQL keeps its data in `VAR_DIR`.",
    )
    rabbitmq_url_file: FilePath | None = secret_file("RABBITMQ_URL")
    rabbitmq_url: AmqpUrl = setting(
        None,
        "RabbitMQ, `amqp://user:password@host:5672/vhost`. Without it `manage.py serve` does "
        "everything in one process.",
    )
    rabbitmq_queue: Name = setting("push.queue", "The queue that push requests arrive on.")
    rabbitmq_queue_arguments: JsonObject | None = setting(
        None,
        "Arguments, as a JSON object, for creating that queue when it is missing. Without it: dead "
        "letters to `RABBITMQ_DLX_EXCHANGE`, `x-max-priority` 10.",
    )
    rabbitmq_exchange: Name = setting("notifications.direct", "The direct exchange that the queue is bound to.")
    rabbitmq_routing_key: SomeCommaList = setting(
        ["push"], "Routing keys that the queue is bound with, separated by commas."
    )
    rabbitmq_dlx_exchange: Name = setting("notifications.dlx", "The exchange that dead letters are published to.")
    rabbitmq_dlx_routing_key: Name = setting("failed", "The routing key that dead letters are published with.")
    rabbitmq_dlx_queue: Name = setting("failed.queue", "The queue that dead letters end on.")
    watchdog_timeout: float = setting(
        60.0,
        "Seconds that a part of a worker may hang (its loop, its writer, a thread) before its process ends, so that "
        "its supervisor starts it anew. A process that was paused for ten times as long is ended when it wakes up.",
        (3, 3600),
    )
    rabbitmq_prefetch_count: int = setting(
        200, "Unacknowledged messages per consumer; under 50 the batches suffer.", (1, 65535)
    )
