"""How a setting is declared, the kinds of value that one may have, and how each is read from text."""

import re
from string import Formatter
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import orjson
from pika import URLParameters
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationInfo
from pydantic_settings import NoDecode

#: A header's line (RFC 9110, sections 5.1 and 5.5), less what a client should not begin with.
HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([!-~](?:[ \t!-~]*[!-~])?)")
#: Headers that are ours to write.
OUR_HEADERS = frozenset(
    ("connection", "content-length", "content-type", "host", "transfer-encoding", "x-correlation-id")
)


def setting(default: object, about: str, between: tuple[float, float] | None = None) -> Any:
    """A field with its description, and its bounds in both."""
    if between is None:
        return Field(default=default, description=about)
    low, high = between
    return Field(default=default, description=f"{about} From {low:g} to {high}.", ge=low, le=high)


def secret_file(name: str) -> Any:
    """The field before a `Secret`, and named like it with `_file`, that may hold it instead."""
    return setting(None, f"A file whose content is `{name}`, instead of that.")


def _from_file(value: object, info: ValidationInfo) -> object:
    path = info.data.get(f"{info.field_name}_file")
    if path is None:
        return value
    if value is not None:
        raise ValueError("is set twice, directly and as a file")
    return path.read_text().strip() or None


def _http(value: str) -> str:
    """An address that a path can be put after. Clients do not agree about what stands in others."""
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0:
        raise ValueError("is not an address that begins with http:// or https://")
    if not re.fullmatch(r"[!-~]+", value) or "\\" in value:
        raise ValueError("holds a space, a backslash or what is not ASCII")
    if "@" in parts.netloc:
        raise ValueError("names a user: what lets us in goes into a setting of its own, such as USER_SERVICE_HEADER")
    if "?" in value or "#" in value:
        raise ValueError("holds ? or #, and only a path can stand after the host")
    return value.rstrip("/")


def _none(value: object) -> object:
    """The word for that there is none: an empty value is the default."""
    return None if isinstance(value, str) and value.lower() == "none" else value


def places(netloc: str) -> list[tuple[str, int | None]]:
    """The hosts and ports of an address, of which a cluster's PostgreSQL has several. Raises ValueError."""
    found = [urlsplit(f"//{place}") for place in netloc.rpartition("@")[2].split(",")]
    return [(place.hostname or "", place.port) for place in found]


def _secret_url(*schemes: str) -> AfterValidator:
    def check(value: SecretStr | None) -> SecretStr | None:
        parts = urlsplit(value.get_secret_value()) if value else None
        if parts and (parts.scheme not in schemes or 0 in [port for _, port in places(parts.netloc)]):
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
    """`METHOD /path`; POST where no method is named. The token goes in the body."""
    parts = re.fullmatch(r"(?:(POST|PUT|PATCH|DELETE)\s+)?(/.*)", value.strip(), re.IGNORECASE)
    if not parts:
        raise ValueError("is not a path that begins with /, alone or after POST, PUT, PATCH or DELETE")
    method, path = parts.groups()
    return f"{(method or 'POST').upper()} {_path(path, 'user_id')}"


def split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


def _json(value: object) -> object:
    return orjson.loads(value) if isinstance(value, str) else value


def _header(value: SecretStr | None) -> SecretStr | None:
    if value is None:
        return None
    found = HEADER.fullmatch(value.get_secret_value())
    if found is None:
        raise ValueError("is not one header, `Name: value`, in printable ASCII")
    if found[1].lower() in OUR_HEADERS:
        raise ValueError(f"is {found[1]}, which this service writes itself")
    return value


def _server_key(value: SecretStr | None) -> SecretStr | None:
    if value and not re.fullmatch(r"[!-~]+", value.get_secret_value()):
        raise ValueError("has characters that no key has. Copy it again: one line of ASCII without spaces")
    return value


def path_holding(*known: str, always: bool = False) -> AfterValidator:
    """A path at a neighbour, in which each `{known}` stands for an id."""
    return AfterValidator(lambda value: _path(value, *known, always=always))


def _path(value: str, *known: str, always: bool = False) -> str:
    if not re.fullmatch(r"/[!-~]*", value) or "#" in value:
        raise ValueError("is not a path that begins with / and has no spaces")
    held, ours = _placeholders(value), [f"{{{name}}}" for name in known]
    if not held <= set(ours):
        raise ValueError(f"holds {', '.join(sorted(held))}, and what is known here is {' and '.join(ours)}")
    if always and not held:
        raise ValueError(f"does not hold {ours[0]}")
    return value


def _placeholders(path: str) -> set[str]:
    """What stands in braces, each with them. Raises ValueError where they do not match."""
    try:
        parts = list(Formatter().parse(path))
    except ValueError:
        raise ValueError("has braces that do not match") from None
    return {
        f"{{{name}{'!' + conversion if conversion else ''}{':' + spec if spec else ''}}}"
        for _, name, spec, conversion in parts
        if name is not None
    }


def upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Secret = Annotated[SecretStr | None, BeforeValidator(_from_file)]
HttpUrl = Annotated[str, AfterValidator(_http)]
HttpUrlOrNone = Annotated[HttpUrl | None, BeforeValidator(_none)]
CommaList = Annotated[list[str], NoDecode, BeforeValidator(split)]
SomeCommaList = Annotated[CommaList, Field(min_length=1)]
JsonObject = Annotated[dict[str, Any], NoDecode, BeforeValidator(_json)]
Level = Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(upper)]
PostgresUrl = Annotated[
    Secret,
    _secret_url("postgresql", "postgres", "postgresql+asyncpg", "postgresql+psycopg"),
]
AmqpUrl = Annotated[Secret, _secret_url("amqp", "amqps"), AfterValidator(_readable_by_pika)]
UserCall = Annotated[str, AfterValidator(_call)]
Name = Annotated[str, Field(min_length=1, max_length=255)]
AuthHeader = Annotated[Secret, AfterValidator(_header)]
ServerKey = Annotated[Secret, AfterValidator(_server_key)]
