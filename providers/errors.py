"""What can go wrong with a send, as a few classes that answer every question a caller has."""

from __future__ import annotations

from typing import ClassVar, Literal

#: What has to wait: sends to this target, all sends of the project, or all sends of this process.
Scope = Literal["target", "project", "process"]

#: What becomes of the token: nothing, it is gone for good, or it is left alone for a while.
Fate = Literal["kept", "dead", "quarantined"]


class ProviderError(Exception):
    """A send that gave no receipt.

    `code` is stored, counted and reported: the provider's own word where it has one (upper case, or
    as OAuth spells it), else ours (lower case). `advice` says in plain words what happened and what
    to do; neither ever holds a device token or a credential. `http_status` is None when there was
    no answer. `retry_after` is in seconds: not before then. `brakes` is what must not be sent until then, None where
    the trouble says nothing about other sends.
    """

    retryable: ClassVar[bool] = False
    burns_attempt: ClassVar[bool] = True
    fate: ClassVar[Fate] = "kept"
    outcome_unknown: ClassVar[bool] = False
    #: Seconds of the first wait where the provider has a rule: doubled for each attempt, plus as
    #: much again at random. None: the caller's usual waits.
    first_wait: ClassVar[float | None] = None
    brakes: Scope | None = None

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

    fate = "dead"


class ForeignToken(ProviderError):
    """The token is another project's. Many of these mean that the credentials are: then the tokens are well."""

    fate = "quarantined"


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


class Throttled(NotNow):
    """A quota, of this target or of the whole project, is used up until `retry_after`."""

    def __init__(self, code: str, advice: str, *, scope: Scope, http_status: int, retry_after: float) -> None:
        super().__init__(code, advice, http_status=http_status, retry_after=retry_after)
        self.brakes = scope


class CredentialTrouble(NotNow):
    """Our access is wrong: credential, project, endpoint. Sending waits for a person to mend it.

    Other processes may have other credentials, so theirs goes on.
    """

    brakes: Scope | None = "process"


class UnknownOutcome(ProviderError):
    """The push may have been accepted. Sent again, it replaces the first on the device."""

    retryable = True
    outcome_unknown = True


#: A word about the token, the push or a quota: whoever says it has let us in, so the credentials are well.
LET_IN: tuple[type[ProviderError], ...] = (DeadToken, ForeignToken, Rejected, Throttled)
