"""The kinds of value that a setting may have, and how each is read from text."""

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pika import URLParameters
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import NoDecode


def _http(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is not an address that begins with http:// or https://")
    return value.rstrip("/")


def _secret_url(*schemes: str) -> AfterValidator:
    def check(value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and (parts.scheme not in schemes or parts.port == 0):
            raise ValueError(f"is not an address that begins with {schemes[0]}://")
        return value

    return AfterValidator(check)


def _readable_by_pika(value: SecretStr | None) -> SecretStr | None:
    """Several addresses of one cluster are separated by semicolons."""
    for address in value.get_secret_value().split(";") if value else ():
        parts = urlsplit(address)
        if parts.username and parts.password is None:
            raise ValueError("names a user without a password")
        try:
            URLParameters(address)
        except (TypeError, ValueError):
            raise ValueError("is not an address that pika can read") from None
    return value


def _call(value: str) -> str:
    """`METHOD /path`; POST where no method is named."""
    parts = re.fullmatch(r"(?:(POST|PUT|PATCH|DELETE)\s+)?(/[!-~]*)", value.strip(), re.IGNORECASE)
    if not parts:
        raise ValueError("is not a path that begins with /, alone or after POST, PUT, PATCH or DELETE")
    method, path = parts.groups()
    if unknown := re.search(r"{[^}]*}?|}", path.replace("{user_id}", "")):
        raise ValueError(f"has {unknown[0]!r}, and {{user_id}} is the only placeholder: the token goes in the body")
    return f"{(method or 'POST').upper()} {path}"


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _json(value: object) -> object:
    return orjson.loads(value) if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


HttpUrl = Annotated[str, AfterValidator(_http)]
CommaList = Annotated[list[str], NoDecode, BeforeValidator(_split)]
SomeCommaList = Annotated[CommaList, Field(min_length=1)]
JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)]
PostgresUrl = Annotated[
    SecretStr | None,
    _secret_url("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"),
]
AmqpUrl = Annotated[SecretStr | None, _secret_url("amqp", "amqps"), AfterValidator(_readable_by_pika)]
UserCall = Annotated[str, AfterValidator(_call)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
