"""What an answer without a receipt means: a provider's table, of which the first row that fits decides."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from providers.errors import ProviderError, Throttled
from providers.http import Answer, retry_after

#: Seconds: the wait when the provider asks for one without saying how long, and what is believed when it says.
DEFAULT_WAIT, SHORTEST_WAIT, LONGEST_WAIT = 60.0, 10.0, 3600.0

#: Names of fields that one sentence has room for.
FIELDS = 5

TARGET_QUOTA = partial(Throttled, scope="target")
PROJECT_QUOTA = partial(Throttled, scope="project")


@dataclass(frozen=True, slots=True)
class Reply:
    """The parts of an answer that decide; each is empty when the answer does not have it."""

    http_status: int
    code: str = ""  # the provider's own word for what is wrong
    reason: str = ""  # of Google's ErrorInfo
    status: str = ""  # Google's canonical one
    text: str = ""
    kinds: frozenset[str] = frozenset()  # of Google's details
    fields: tuple[str, ...] = ()  # that are complained of
    apns_gone: bool = False
    says_when: bool = False  # by a Retry-After

    @property
    def word(self) -> str:
        """The most telling code of the answer."""
        return self.code or self.reason or self.status or f"HTTP_{self.http_status}"


@dataclass(frozen=True, slots=True)
class Condition:
    """What else must be true of an answer; `words` say it to people, after "where"."""

    words: str
    holds: Callable[[Reply], bool]


def has_reason(reason: str) -> Condition:
    """That the ErrorInfo gives this reason."""
    return Condition(f"its `ErrorInfo` says `{reason}`", lambda reply: reply.reason == reason)


@dataclass(frozen=True, slots=True)
class Row:
    """`name` is unique in its table. `http` is a status, its first digit or 0 for any; `code` is "" for none, None for
    any.

    `advice` says what happened, what becomes of the token and, in its last sentence, what to do. `word` is what the
    error's code becomes where the answer's own word is not to be kept.
    """

    name: str
    http: int
    code: str | None
    error: Callable[..., ProviderError]
    advice: str
    only_if: Condition | None = None
    word: str = ""

    def fits(self, reply: Reply) -> bool:
        return (
            self.http in (0, reply.http_status // 100, reply.http_status)
            and self.code in (None, reply.code)
            and (self.only_if is None or self.only_if.holds(reply))
        )


def judge(answer: Answer, reply: Reply, table: Sequence[Row]) -> ProviderError:
    """The error of the first row that fits, with the wait that the answer asks for.

    One that burns no attempt always says how long to wait.
    """
    row = next(row for row in table if row.fits(reply))
    wait = retry_after(answer.headers)
    if wait is not None:
        wait = min(max(wait, SHORTEST_WAIT), LONGEST_WAIT)
    advice = row.advice.format(fields=", ".join(reply.fields[:FIELDS]), http=reply.http_status)
    error = row.error(row.word or reply.word, advice, http_status=reply.http_status, retry_after=wait)
    if wait is None and not error.burns_attempt:
        error.retry_after = DEFAULT_WAIT
    return error
