"""One call to a neighbour (user service, template service, gateway), through its breaker; its answer is not trusted."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit, urlunsplit

import orjson
from pydantic import SecretStr

from deliveries.masking import conceal_text
from deliveries.neighbours.foreign_json import is_too_deep
from deliveries.outcomes import TryAgain
from deliveries.retries import LONGEST_WAIT
from providers.breaker import Breaker, BreakerOpen, Ticket
from providers.http import Answer, HttpClient, HttpFault, retry_after

#: Seconds for a request to a neighbour and its whole answer, and the bytes of it that are read at all.
TIMEOUT = 5.0
MAX_ANSWER_BYTES = 64 * 1024

#: Seconds to wait for a neighbour that does not let us in, or that asks us to slow down and does not say how long; and
#: the least where it does.
DEFAULT_WAIT = 60.0
SHORTEST_WAIT = 1.0

#: With a page, or with nothing, these are said by what stands before a service: a path is wrong, or it is not there.
NO_SUCH_ADDRESS = frozenset({404, 405, 410})

#: Redirects that repeat a request as it was, and those that do so for a GET.
SAME_AGAIN = frozenset({307, 308})
GET_AGAIN = SAME_AGAIN | {301, 302}
#: What an answer holds: {} where it says that this is nothing, None where nothing can be read.
Data = dict[str, Any] | list[Any] | None
#: Keys of an answer that are not its data, where it has no key for that.
ENVELOPE = frozenset({"success", "status", "error", "message", "meta"})

DEFAULT_PORTS = {"http": 80, "https": 443}


class Refusal(Exception):
    """A neighbour's final no: asking again would not help."""

    def __init__(self, http_status: int, reason: str) -> None:
        super().__init__(f"{http_status}: {reason}")
        self.http_status = http_status
        self.reason = reason


class Upstream:
    """A neighbour at its base URL. `name` is the word for it in error codes, logs and health.

    `headers` go with every request, and so to the neighbour alone: no request of ours goes anywhere else.
    """

    def __init__(
        self, name: str, base_url: str, http: HttpClient, breaker: Breaker, headers: Mapping[str, str] | None = None
    ) -> None:
        self.name = name
        self.breaker = breaker
        self._base_url = base_url.rstrip("/")
        self._http = http
        self._headers = {"Content-Type": "application/json"} | dict(headers or {})

    async def call(self, method: str, path: str, correlation_id: str, document: Any = None) -> Data:
        """Returns the data of a good answer; raises Refusal or TryAgain."""
        try:
            ticket = self.breaker.admit()
        except BreakerOpen as held:
            what = "is failing and not called for now"
            raise self._trouble("unavailable", what, after=held.retry_after, burns=False) from None
        headers = self._headers | {"X-Correlation-ID": _header(correlation_id)}
        body = None if document is None else orjson.dumps(document)
        with ticket:
            answer = await self._answer(ticket, method, self._base_url + path, headers, body)
        return self._data(answer, path)

    async def _answer(
        self, ticket: Ticket, method: str, url: str, headers: dict[str, str], body: bytes | None
    ) -> Answer:
        """Returns an answer that is not a 5xx and tells the breaker how it went; raises TryAgain."""
        try:
            answer = await self._asked(method, url, headers, body)
            there = followed(method, url, answer.status, answer.headers)
            if there is not None:
                answer = await self._asked(method, there, headers, body)
        except HttpFault as fault:
            ticket.failure(str(fault))
            raise self._trouble("unreachable", f"could not be asked: {fault}") from None
        if answer.status >= 500:
            ticket.failure(str(answer.status))
            after = _wait(answer) if answer.status == 503 else None
            raise self._trouble("error", f"answered {answer.status}", http_status=answer.status, after=after)
        if answer.status < 400:
            ticket.success()
        return answer

    async def _asked(self, method: str, url: str, headers: dict[str, str], body: bytes | None) -> Answer:
        return await self._http.request(
            method, url, headers=headers, body=body, timeout=TIMEOUT, max_bytes=MAX_ANSWER_BYTES
        )

    def _data(self, answer: Answer, path: str) -> Data:
        """The data of an answer, out of its envelope if it has one; raises Refusal or TryAgain."""
        status = answer.status
        document = _document(answer.body)
        envelope = document if isinstance(document, dict) else {}
        if 200 <= status < 300 and envelope.get("success") is not False:
            return _unwrapped(document)
        if status >= 300:
            self._stop_if_not_now(answer)
        if status in NO_SUCH_ADDRESS and document is None:
            what = f"answered {status} and no JSON at {path}: is that its path, and its address right?"
            raise self._trouble("bad_answer", what, http_status=status)
        raise Refusal(status, _reason(envelope) or f"it answered {status}")

    def _stop_if_not_now(self, answer: Answer) -> None:
        """Raises TryAgain for an answer that says "not now", "not you" or "not here": the request may be right."""
        status = answer.status
        if status < 400:
            raise self._trouble("bad_answer", f"answered {status} and points elsewhere", http_status=status)
        if status in (401, 403):
            what = f"refuses us with {status}: check our credentials for it and the network policy"
            raise self._trouble("denied", what, http_status=status, after=_jittered(DEFAULT_WAIT), burns=False)
        if status == 429:
            after = _wait(answer) or _jittered(DEFAULT_WAIT)
            raise self._trouble("throttled", "asks us to slow down", http_status=status, after=after, burns=False)
        if status in (408, 425):
            raise self._trouble("error", f"answered {status}", http_status=status)

    def _trouble(
        self, kind: str, what: str, *, http_status: int | None = None, after: float | None = None, burns: bool = True
    ) -> TryAgain:
        return TryAgain(
            f"{self.name}_{kind}",
            f"The {self.name.replace('_', ' ')} {what}.",
            retry_after=after,
            burns_attempt=burns,
            http_status=http_status,
        )


def headers_of(setting: SecretStr | None) -> dict[str, str]:
    """The one header that a setting `Name: value` asks for."""
    if setting is None:
        return {}
    name, _, value = setting.get_secret_value().partition(":")
    return {name: value.strip()}


def followed(method: str, url: str, status: int, headers: Mapping[str, str]) -> str | None:
    """Where an answer wants the same request to be made; None for any other answer, and away from the neighbour.

    Only the path is taken from the answer: no way of spelling an address leads to another host.
    """
    if status not in (GET_AGAIN if method == "GET" else SAME_AGAIN):
        return None
    try:
        location = headers.get("location", "")
        here, there = urlsplit(url), urlsplit(urljoin(url, location))
        at_home = location != "" and _origin(here) == _origin(there)
    except ValueError:  # not an address, or a header that is no text
        return None
    return urlunsplit((here.scheme, here.netloc, there.path, there.query, "")) if at_home else None


def _origin(address: SplitResult) -> tuple[str, str | None, int | None]:
    return address.scheme, address.hostname, address.port or DEFAULT_PORTS.get(address.scheme)


def _wait(answer: Answer) -> float | None:
    """Seconds that the answer asks to wait, within bounds and a little more; None if it does not."""
    asked = retry_after(answer.headers)
    return None if asked is None else _jittered(min(max(asked, SHORTEST_WAIT), LONGEST_WAIT))


def _jittered(seconds: float) -> float:
    return seconds * (1 + 0.1 * random.random())  # noqa: S311 - jitter


def _header(text: str) -> str:
    """A text as a header can carry it: one with anything else than printable ASCII travels percent-encoded."""
    return text if text.isascii() and text.isprintable() else quote(text)


def _document(body: bytes) -> Data:
    """The JSON object or list of an answer; None for anything else, and for what is nested too deep."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict | list) and not is_too_deep(document, body) else None


def _unwrapped(document: Data) -> Data:
    """The data of a good answer, out of its envelope if it has one."""
    if not isinstance(document, dict):
        return document
    if "data" in document:
        data = {} if document["data"] is None else document["data"]
        return data if isinstance(data, dict | list) else None
    if "success" in document:
        return {key: value for key, value in document.items() if key not in ENVELOPE}
    return document


def _reason(document: dict[str, Any]) -> str | None:
    """The error texts of an answer, each once, from the usual places; None where there is none."""
    texts = [plain(conceal_text(text)) for key in ("error", "message", "detail") for text in _texts(document.get(key))]
    return plain("; ".join(dict.fromkeys(filter(None, texts)))) or None


def _texts(value: Any) -> Iterator[str]:
    """Nest says a list of texts, FastAPI a list of objects with `msg`, others an object with `message`."""
    if isinstance(value, str):
        yield value
    for entry in value if isinstance(value, list) else ():
        yield from _texts(entry)
    if isinstance(value, dict):
        yield from _texts(value.get("msg") or value.get("message"))


def plain(text: str, limit: int = 500) -> str:
    """Somebody else's text, safe to store and to show: no NUL, bounded."""
    return text.replace("\0", "").strip()[:limit]
