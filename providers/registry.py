"""Finds providers by name, and for each push the one that carries it.

Adding one is a file here, a settings entry and a test class.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from providers.base import Provider, PushMessage, SendReceipt, Target
from providers.errors import Rejected
from providers.http import HttpClient


def names() -> list[str]:
    """Of every provider that there is: each is a file with a `build`."""
    return [name for name in _files() if hasattr(import_module(f"{__package__}.{name}"), "build")]


def build(name: str, http: HttpClient, options: Mapping[str, Any]) -> Provider:
    """The provider of the file `providers/<name>.py`, built from plain values.

    Raises ValueError when there is no such provider, TypeError for an option that it does not know.
    """
    # No other is imported: some bring large libraries along.
    make = getattr(import_module(f"{__package__}.{name}"), "build", None) if name in _files() else None
    if make is None:
        raise ValueError(f"there is no push provider {name!r}, but: {', '.join(names())}")
    provider: Provider = make(http, **options)
    return provider


class Carriers:
    """The providers in force. What several of them can send to, the first carries."""

    def __init__(self, providers: Sequence[Provider]) -> None:
        self._providers = providers
        self._by_target: dict[Target, Provider] = {}
        for provider in providers:
            for target in provider.targets:
                self._by_target.setdefault(target, provider)

    def name_for(self, target: Target) -> str:
        """The provider that carries pushes to such a target; "" where none does."""
        provider = self._by_target.get(target)
        return provider.name if provider else ""

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError."""
        provider = self._by_target.get(message.target)
        if provider is None:
            advice = f"No provider is set up that sends to a {message.target}. docs/providers.md says which does."
            raise Rejected("no_provider", advice)
        return await provider.send(message)

    def mended(self) -> list[str]:
        """The names of those whose credentials have changed since they met trouble."""
        return [provider.name for provider in self._providers if provider.mended()]

    def health(self) -> dict[str, dict[str, Any]]:
        """What an operator wants to know of each, by name."""
        return {provider.name: provider.health() for provider in self._providers}

    async def close(self) -> None:
        """Lets go of what they own."""
        for provider in self._providers:
            await provider.close()


def _files() -> list[str]:
    return [file.name for file in iter_modules([str(Path(__file__).parent)]) if file.name != Path(__file__).stem]
