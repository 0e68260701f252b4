"""Finds a provider by name: adding one is a file here, a settings entry and a test class."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from providers.base import Provider
from providers.http import HttpClient


def build(name: str, http: HttpClient, options: Mapping[str, Any]) -> Provider:
    """The provider of the file `providers/<name>.py`, built from plain values.

    Raises ValueError when there is no such provider, TypeError for an option that it does not know.
    """
    module = f"{__package__}.{name}"
    known = name.isidentifier() and module != __name__ and find_spec(module) is not None
    make = getattr(import_module(module), "build", None) if known else None
    if make is None:
        raise ValueError(f"there is no push provider {name!r}; 'fcm' is one")
    provider: Provider = make(http, **options)
    return provider
