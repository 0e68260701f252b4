"""One JSON line per event, with the ids of the notification it is about; formatted nowhere else."""

import json
import logging
import time
from typing import Any

from pythonjsonlogger.core import RESERVED_ATTRS
from pythonjsonlogger.orjson import OrjsonFormatter

from deliveries import tracing


class JsonLines(OrjsonFormatter):
    """UTC time, level, logger, message, `extra`, and the ids from `deliveries.tracing`."""

    converter = staticmethod(time.gmtime)
    default_time_format = "%Y-%m-%dT%H:%M:%S"
    default_msec_format = "%s.%03dZ"

    def __init__(self) -> None:
        super().__init__(
            "%(asctime)s %(levelname)s %(name)s %(message)s",
            # Django's `request` would be the whole address, with what people put into it
            reserved_attrs=[*RESERVED_ATTRS, "request", "server_time"],
            rename_fields={"asctime": "time", "levelname": "level", "name": "logger"},
        )

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        super().add_fields(log_data, record, message_dict)
        for variable in (tracing.notification_id, tracing.correlation_id):
            value = variable.get()
            if value is not None:
                log_data.setdefault(variable.name, value)

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """orjson refuses half an emoji, as somebody's id may contain; here it becomes `?`."""
        try:
            return super().jsonify_log_record(log_data)
        except TypeError:
            line = json.dumps(log_data, default=repr, skipkeys=True, ensure_ascii=False)
            return line.encode(errors="replace").decode()


def configuration(level: str) -> dict[str, Any]:
    """Django's LOGGING: JSON lines on stderr, at `level`."""
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"json": {"()": "pushproject.logs.JsonLines"}},
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "json"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            # Django's own set-up gives these handlers of their own: one line per event, not two.
            "django": {"handlers": [], "level": level},
            "django.server": {"handlers": [], "propagate": True},
            # A refused request is its sender's mistake, and told to him; ERROR are the 5xx.
            "django.request": {"level": "ERROR" if level not in ("DEBUG", "CRITICAL") else level},
            # pika narrates every reconnect at INFO and ERROR; the broker layer says it once.
            "pika": {"level": "CRITICAL" if level != "DEBUG" else "DEBUG"},
        },
    }
