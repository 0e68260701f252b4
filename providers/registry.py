"""Finds a provider by name: adding one is a file here, a settings entry and a test class."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from providers.base import Provider
from providers.http import HttpClient


def names() -> list[str]:
    """Of every provider that there is: each is a file with a `build`."""
    files = [file.name for file in iter_modules([str(Path(__file__).parent)]) if file.name != Path(__file__).stem]
    return [name for name in files if hasattr(import_module(f"{__package__}.{name}"), "build")]


def build(name: str, http: HttpClient, options: Mapping[str, Any]) -> Provider:
    """The provider of the file `providers/<name>.py`, built from plain values.

    Raises ValueError when there is no such provider, TypeError for an option that it does not know.
    """
    if name not in names():
        raise ValueError(f"there is no push provider {name!r}, but: {', '.join(names())}")
    provider: Provider = import_module(f"{__package__}.{name}").build(http, **options)
    return provider
