"""Writes `.env.example` and `docs/settings.md` from the settings' class; a test keeps them equal."""

from collections.abc import Iterator
from typing import Any

from pydantic.fields import FieldInfo

from pushproject.environment import BASE_DIR, Environment

ENV_EXAMPLE = BASE_DIR / ".env.example"
TABLE = BASE_DIR / "docs" / "settings.md"
INTRODUCTION = """\
# Settings

Read from the environment, then from `.env` in the project's directory (`ENV_FILE` names another
file, which has to be there, or none when it is empty). An empty value counts as not set. A
wrong one stops the start with exit status 78 and a line that says what to change. `.env.example`
has all of them; both are written by `make settings`.

| name | default | meaning |
|---|---|---|
"""


def rows() -> Iterator[tuple[str, str, str]]:
    """Name, default as text (empty for none), meaning."""
    for name, field in Environment.model_fields.items():
        yield name.upper(), default_of(name, field), field.description or ""


def default_of(name: str, field: FieldInfo) -> str:
    value: Any = "" if name == "var_dir" else field.default  # which depends on where we are
    if isinstance(value, list):
        return ",".join(value)
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def env_example() -> str:
    """Values stand bare and comments on lines of their own, as `docker run --env-file` needs it."""
    entries = (f"# {about}\n{name}={default}\n" for name, default, about in rows())
    return "# Copy to .env, and change what you need.\n\n" + "\n".join(entries)


def table() -> str:
    cells = ((f"`{name}`", f"`{default}`" if default else "none", about) for name, default, about in rows())
    return INTRODUCTION + "".join(f"| {' | '.join(row)} |\n" for row in cells)


if __name__ == "__main__":
    ENV_EXAMPLE.write_text(env_example())
    TABLE.parent.mkdir(exist_ok=True)
    TABLE.write_text(table())
