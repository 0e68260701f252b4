"""What can go wrong with a send, as a few classes that answer every question a caller has."""

from __future__ import annotations

from typing import ClassVar, Literal

Scope = Literal["device", "project"]


class ProviderError(Exception):
    """A send that gave no receipt.

    `code` is stored, counted and reported: the provider's own word where it has one (upper case, or
    as OAuth spells it), else ours (lower case). `advice` says in plain words what happened and what
    to do; neither ever holds a device token or a credential. `http_status` is None when there was
    no answer. `retry_after` is in seconds: not before then. `scope` is what the trouble holds for.
    """

    retryable: ClassVar[bool] = False
    burns_attempt: ClassVar[bool] = True
    token_is_dead: ClassVar[bool] = False
    outcome_unknown: ClassVar[bool] = False
    #: Seconds of the first wait where the provider has a rule: doubled for each attempt, plus as
    #: much again at random. None: the caller's usual waits.
    first_wait: ClassVar[float | None] = None
    scope: Scope = "device"

    def __init__(
        self,
        code: str,
        advice: str,
        *,
        http_status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{code}: {advice}")
        self.code = code
        self.advice = advice
        self.http_status = http_status
        self.retry_after = retry_after


class DeadToken(ProviderError):
    """The registration is gone for good; the user service should forget the token."""

    token_is_dead = True


class Rejected(ProviderError):
    """Our fault, or the app's: the same request gets the same answer. The token may be fine."""


class RetryLater(ProviderError):
    """Certainly not accepted, and may well be next time."""

    retryable = True


class ServerTrouble(RetryLater):
    """The provider answered 5xx. Google asks for a first wait of at least 10 s.

    https://firebase.google.com/docs/cloud-messaging/scale-fcm
    """

    first_wait = 10.0


class NotNow(RetryLater):
    """Held back before anything was sent, or told to wait: a wait that burns no attempt."""

    burns_attempt = False
    scope: Scope = "project"


class Throttled(NotNow):
    """A quota, of this device or of the whole project, is used up until `retry_after`."""

    def __init__(self, code: str, advice: str, *, scope: Scope, http_status: int, retry_after: float) -> None:
        super().__init__(code, advice, http_status=http_status, retry_after=retry_after)
        self.scope = scope


class CredentialTrouble(NotNow):
    """Our access is wrong: credential, project, endpoint. Sending waits for a person to mend it."""


class UnknownOutcome(ProviderError):
    """The push may have been accepted. Sent again, it replaces the first on the device."""

    retryable = True
    outcome_unknown = True
