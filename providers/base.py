"""The one shape of every provider: a message in, a receipt out or a ProviderError raised."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

#: Characters of a token whose end may be shown.
SHORTEST_WITH_END = 24


#: What a message is addressed to: a registration token, a Firebase installation id, all who follow a topic, or a Web
#: Push subscription (`device_token` is its JSON).
Target = Literal["token", "fid", "topic", "subscription"]


def is_address(text: str) -> bool:
    """Whether it is an address that a tap opens, and not the name of an action that the app knows."""
    return "://" in text


@dataclass(slots=True, kw_only=True, repr=False)  # frozen, its twenty fields would cost 2 µs a push
class PushMessage:
    """One push to one target. Nobody changes it. `ttl` is in seconds from `sent_at`, 0 is now or never.

    `device_token` is what `target` says. `sent_at` is in seconds since 1970, by a clock that can be trusted; without it
    this machine's is.

    `data` goes to the app; a value that is not a string becomes its JSON. `link` is an address that a tap opens,
    `click_action` the name of an action that the app knows; either is understood in the other's place. A second push
    with the same `tag` replaces the first on the device; the default is the `collapse_key`, else the notification's id.
    With `data_only` nothing is shown: the app alone gets it. With `dry_run` the provider checks it and sends nothing.
    """

    notification_id: str
    device_token: str
    title: str
    body: str
    ttl: int
    target: Target = "token"
    sent_at: float | None = None
    image: str | None = None
    link: str | None = None
    click_action: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    high_priority: bool = False
    tag: str | None = None
    badge: int | None = None
    sound: str | None = None
    channel_id: str | None = None
    collapse_key: str | None = None
    analytics_label: str | None = None
    data_only: bool = False
    dry_run: bool = False

    @property
    def replaces(self) -> str:
        """The tag that is really used."""
        return self.tag or self.collapse_key or self.notification_id

    def __repr__(self) -> str:
        """Of the token its end, and of a short one, which that would give away, nothing."""
        end = self.device_token[-4:] if len(self.device_token) >= SHORTEST_WITH_END else ""
        return f"PushMessage({self.notification_id!r}, device_token='…{end}')"


@dataclass(frozen=True, slots=True)
class SendReceipt:
    """The provider accepted the message, or on a dry run would have.

    `provider_message_id` is its whole name for it.
    """

    provider_message_id: str
    http_status: int


@runtime_checkable
class Provider(Protocol):
    """What the function `build(http, **options)` of a file in this package makes."""

    @property
    def name(self) -> str:
        """The word for it in rows, logs and settings."""

    @property
    def targets(self) -> frozenset[Target]:
        """What it can send to."""

    async def send(self, message: PushMessage) -> SendReceipt:
        """Returns a SendReceipt; raises ProviderError.

        Never repeats a request by itself unless the first was certainly not accepted.
        """

    def mended(self) -> bool:
        """Whether sends met CredentialTrouble, and may well succeed now: its credentials have changed since.

        Asked every second while there is trouble; else it asks nobody.
        """

    def health(self) -> dict[str, Any]:
        """What an operator wants to know, as JSON; `ok` is False while sends at large are held back."""

    async def close(self) -> None:
        """Lets go of what it owns; the HTTP client is the caller's."""
