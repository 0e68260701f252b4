"""Writes `docs/providers.md` from the tables of verdicts, by `python -m providers.verdict_docs`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import get_args

from providers.base import Target
from providers.errors import Fate, ProviderError, Scope
from providers.registry import names
from providers.verdicts import DEFAULT_WAIT, Row

PAGE = Path(__file__).resolve().parent.parent / "docs" / "providers.md"

INTRODUCTION = """\
# Providers

Written by `make settings` from the tables that decide (`providers/*_verdict.py`); change those, or
`providers/verdict_docs.py`, and not this page.

A provider is one file in `providers/` that takes a push and gives a receipt, or an error that answers every question:
is it tried again, when, does that burn an attempt, what must wait with it, is the token dead, what should a person do.
It knows nothing of Django or the ledger. Several are in force side by side, and a push goes to the first that can send
to its target; `pushproject/carriers.py` says which are in force by which settings.
"""

HOW_TO_READ = """\
## How to read the tables

They are asked about every answer that holds no receipt, and the first row that fits decides. Only the HTTP status, the
codes and the kinds of details count, never the wording of a text, but where a row says so.

- **The answer**: the HTTP status (`5xx` is any of them) and the provider's own code: FCM's `errorCode`, the legacy
  API's `error`, a push service's `reason`. "No code" is an answer without one, such as a page of HTML.
- **Delivery**: the status that it gets. `pending` is due again later; once `MAX_RETRY_ATTEMPTS` are burnt it is
  `failed`, the notification's error code is `exhausted`, and there is a dead letter.
- **Error code**: what is stored, counted and reported. "Its own" is the code of the answer; without one the reason of
  Google's `ErrorInfo`, else Google's status, else `HTTP_` and the number.
- **Tried again**: `Retry-After` is believed between 10 s and an hour, and up to a tenth is added at random; *n* counts
  the attempts that were burnt before. What is braked waits as well: a target's and a project's sends in all processes,
  but those without access only in the process that met it, for another may have other credentials, and has the push a
  second later. Afterwards sends climb to their full pace in a minute (brakes.md). Nothing waits longer than its
  notification lives.
- **Token**: a dead one is not tried for `DEAD_TOKEN_MEMORY`, a week, and the user service is told, where
  `USER_SERVICE_DEAD_TOKEN_PATH` says how; a quarantined one is not tried for a day, and nobody is told. An operator's
  resend tries either at once. Too many at once are not believed (dead-tokens.md).
- **What people read**: in the console, in the API and in the report to the gateway. It says what happened, what becomes
  of the token and, last, what to do; `…` is filled in.

## Without an answer

A push that cannot be sent at all fails at once, with a code such as `payload_too_large`, `reserved_data_key` or
`no_provider`. Where no connection comes about (`fcm_unreachable`, `webpush_unreachable`) nothing was sent, and it is
tried again after `RETRY_MIN_WAIT`·2ⁿ s. Where the answer was lost (`unknown_outcome`) the push may have arrived: the
same, unless the notification is `at_most_once`. While the breaker is open (`fcm_unavailable`, `webpush_unavailable`),
or no access token is to be had (`credentials_…`, `oauth_…`), it waits and burns no attempt.
"""

ADDING = """\
## Adding a provider

1. `providers/<name>.py` with a `build(http, **options)` whose result has the shape of `providers.base.Provider`.
   `providers.exchange.Exchange` makes the request, through a breaker.
2. `providers/<name>_verdict.py` with a `TABLE` of `providers.verdicts.Row`, and `judge` to ask it. It appears here.
3. An entry in `pushproject/carriers.py`, and its settings in `pushproject/setting_groups/`.
4. A subclass of `tests/provider_conformance.py`, with a case for each row of the table.
"""

TARGETS: dict[Target, str] = {
    "token": "a registration token of FCM",
    "fid": "a Firebase installation id",
    "topic": "all who follow a topic",
    "subscription": "a browser's Web Push subscription",
}
HEAD = ("row", "the answer", "delivery", "error code", "tried again", "token", "what people read")
BRAKED: dict[Scope, str] = {
    "target": "all to this target",
    "project": "all that the provider sends",
    "process": "all that this process sends",
}
TOKEN: dict[Fate, str] = {"kept": "kept", "dead": "**dead**", "quarantined": "quarantined"}


@dataclass(frozen=True, slots=True)
class Described:
    """A provider as the page shows it."""

    name: str
    about: str
    targets: frozenset[Target]
    table: Sequence[Row]


def described() -> list[Described]:
    """Every provider that there is; each has its table in the file beside it."""
    return [_described(name) for name in names()]


def page() -> str:
    providers = described()
    sections = (_section(provider) for provider in providers)
    return "\n".join([INTRODUCTION, _carriers(providers), HOW_TO_READ, *sections, ADDING])


def _described(name: str) -> Described:
    module = import_module(f"providers.{name}")
    [targets] = [thing.targets for thing in vars(module).values() if getattr(thing, "name", None) == name]
    about = (module.__doc__ or "").partition("\n")[0]
    return Described(name, about, targets, import_module(f"providers.{name}_verdict").TABLE)


def _carriers(providers: Sequence[Described]) -> str:
    rows = (
        (f"`{target}`", TARGETS[target], ", ".join(f"`{one.name}`" for one in providers if target in one.targets))
        for target in get_args(Target)
    )
    return _table(("target", "is", "can be carried by"), rows)


def _section(provider: Described) -> str:
    return f"## `{provider.name}`\n\n{provider.about}\n\n{_table(HEAD, map(_cells, provider.table))}"


def _cells(row: Row) -> tuple[str, ...]:
    error = row.error(row.word, row.advice, http_status=row.http, retry_after=DEFAULT_WAIT)
    code = row.word or row.code
    return (
        f"`{row.name}`",
        _answer(row),
        _status(error),
        f"`{code}`" if code else "its own",
        _again(error),
        TOKEN[error.fate],
        row.advice.format(fields="…", http="…"),
    )


def _answer(row: Row) -> str:
    """Status, code and condition, as far as the row asks for them."""
    http = "" if row.http == 0 else f"{row.http}xx" if row.http < 10 else str(row.http)
    code = "" if row.code is None else f"`{row.code}`" if row.code else "no code"
    where = f"where {row.only_if.words}" if row.only_if else ""
    return ", ".join(filter(None, (http, code, where))) or "anything else"


def _status(error: ProviderError) -> str:
    if error.outcome_unknown:
        return "`pending`; `failed` where it is `at_most_once`, with the code `unknown_outcome`"
    return "`pending`" if error.retryable else "`failed`"


def _again(error: ProviderError) -> str:
    if not error.retryable:
        return "no"
    burns = "burns an attempt" if error.burns_attempt else "burns no attempt"
    brakes = f"; brakes {BRAKED[error.brakes]}" if error.brakes else ""
    return f"after `Retry-After`, else {_wait(error)}; {burns}{brakes}"


def _wait(error: ProviderError) -> str:
    """What is waited where the answer does not say."""
    if not error.burns_attempt:
        return f"{DEFAULT_WAIT:.0f} s"
    if error.first_wait is not None:
        return f"{error.first_wait:.0f}·2ⁿ s and up to as much again at random"
    return "`RETRY_MIN_WAIT`·2ⁿ s, at most `RETRY_MAX_WAIT`"


def _table(head: Sequence[str], rows: Iterator[tuple[str, ...]]) -> str:
    lines = (" | ".join(cell.replace("|", r"\|") for cell in cells) for cells in (head, ("---",) * len(head), *rows))
    return "".join(f"| {line} |\n" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
