"""Every setting in one typed place, so that a wrong one stops the start and says how to mend it."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from pydantic import FilePath, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_core import ErrorDetails
from pydantic_settings import SettingsConfigDict

from pushproject.setting_groups.foundation import BASE_DIR, Foundation
from pushproject.setting_groups.google import Google
from pushproject.setting_groups.neighbours import Neighbours
from pushproject.setting_groups.webpush import Webpush
from pushproject.setting_types import CommaList, Name, Secret, secret_file, setting

__all__ = ["BASE_DIR", "EXIT_CONFIG", "Environment", "fault_line", "load", "refuse"]

EXIT_CONFIG = 78  # EX_CONFIG of sysexits.h: supervisors tell "wrong settings" from "crashed" by it


class Environment(Webpush, Google, Neighbours, Foundation):
    """The settings, by their environment names in lower case. Times are seconds.

    Sources, the first wins: the environment, `.env`, the default. An empty value counts as none.
    The groups' settings come first, those of the last base foremost.
    """

    model_config = SettingsConfigDict(env_ignore_empty=True, extra="ignore", frozen=True, validate_default=True)

    max_in_flight: int = setting(1000, "Notifications in work per process.", (1, 20000))
    delivery_lease: float = setting(
        15.0, "Seconds without a heartbeat after which a worker's rows are taken over.", (1, 3600)
    )
    drain_grace: float = setting(
        8.0, "Seconds that a stopping worker gives to what it has begun. Its end takes up to 25 s more.", (0, 300)
    )
    notification_ttl: int = setting(
        3600, "Seconds until a notification expires that does not say itself when.", (1, 2419200)
    )
    max_retry_attempts: int = setting(3, "Attempts after connection faults and upstream trouble.", (1, 50))
    retry_min_wait: float = setting(2.0, "Shortest wait between attempts, seconds.", (0.01, 3600))
    retry_max_wait: float = setting(
        10.0, "Longest wait between attempts, seconds; at least `RETRY_MIN_WAIT`.", (0.01, 86400)
    )
    dead_token_memory: int = setting(
        604_800,
        "Seconds for which a device token that a provider called dead is not tried again; 0 always tries.",
        (0, 31_536_000),
    )
    dead_token_limit: float = setting(
        0.5,
        "When more than this share of the verdicts of a minute, or an hour, say dead, tokens are no longer believed to "
        "be dead, and the user service is not told; 1 believes always.",
        (0, 1),
    )
    circuit_breaker_fail_max: int = setting(5, "Failures in a row that open a breaker.", (1, 10000))
    circuit_breaker_timeout: float = setting(60.0, "Seconds that an open breaker waits before it probes.", (0.1, 86400))

    allowed_hosts: CommaList = setting(
        [],
        "Host names that the web process answers to, separated by commas; `*` is any. Loopback names always work.",
    )
    insecure_http: bool = setting(False, "`true` serves plain http: no redirect to https, cookies without `Secure`.")
    forwarded_allow_ips: Name = setting(
        "127.0.0.1,::1",
        "Proxies whose `X-Forwarded-Proto` is believed, separated by commas; `*` is any.",
    )
    port: int = setting(8000, "Port of `manage.py serve`; 0 takes a free one.", (0, 65535))
    web_threads: int = setting(8, "Threads of `manage.py serve`.", (1, 256))
    api_rate: int = setting(
        6000, "Requests per minute that each API key may make of a web process; a list counts its items.", (1, 1000000)
    )
    secret_key_file: FilePath | None = secret_file("SECRET_KEY")
    secret_key: Secret = setting(
        None,
        "Signs sessions: 50 random characters, as `python -c 'import secrets; print(secrets.token_urlsafe(50))'` "
        "prints them. Generated and kept in `VAR_DIR` with `DEBUG=true` "
        "or without `DATABASE_URL` or `RABBITMQ_URL`.",
    )

    @field_validator("retry_max_wait")
    @classmethod
    def _not_under_the_shortest(cls, value: float, info: ValidationInfo) -> float:
        if value < info.data.get("retry_min_wait", 0):
            raise ValueError("is less than RETRY_MIN_WAIT")
        return value

    @field_validator("secret_key")
    @classmethod
    def _required_in_production(cls, value: SecretStr | None, info: ValidationInfo) -> SecretStr | None:
        names = ("database_url", "rabbitmq_url")
        if value is None and not info.data.get("debug") and all(info.data.get(n) for n in names):
            raise ValueError("is required")
        return value

    @property
    def embedded_database(self) -> bool:
        """True when the service keeps a PostgreSQL of its own under `var_dir`."""
        return self.database_url is None

    @property
    def embedded_broker(self) -> bool:
        """True when one `manage.py serve` does everything, without RabbitMQ."""
        return self.rabbitmq_url is None


def fault_line(fault: ErrorDetails) -> str:
    """One line for a person: the variable, what is wrong with it, how to mend it."""
    field = str(fault["loc"][0])
    given, about = fault["input"], Environment.model_fields[field]
    wrong = fault["msg"].removeprefix("Value error, ")
    shown = f" (it is {str(given)[:80]!r})" if _may_be_shown(field, given) else ""
    return f"{field.upper()}: {wrong}{shown}. Fix: {about.description}"


def _may_be_shown(field: str, given: object) -> bool:
    secret = f"{field}_file" in Environment.model_fields or "@" in str(given)  # an address with a password
    return given is not None and not secret


def refuse(*lines: str) -> NoReturn:
    """Ends the process with status 78, one line on stderr for each fault."""
    sys.stderr.writelines(f"{line}\n" for line in lines)
    raise SystemExit(EXIT_CONFIG)


def load() -> Environment:
    """The settings, read once at start; a wrong one ends the process (see `refuse`).

    ENV_FILE names another file than `.env`, which then has to be there, or none when it is empty.
    """
    named = os.environ.get("ENV_FILE")
    if named:
        _refuse_unreadable(Path(named).expanduser())
    file = str(BASE_DIR / ".env") if named is None else named
    try:
        return Environment(_env_file=file or None)
    except ValidationError as error:
        refuse(*map(fault_line, error.errors(include_url=False)))


def _refuse_unreadable(file: Path) -> None:
    """Without its settings the service would be another one: embedded, and empty."""
    if not os.access(file, os.R_OK) or file.is_dir():
        refuse(
            f"ENV_FILE: {file} is no file that can be read. Fix: Correct its path, or leave ENV_FILE empty for none."
        )
