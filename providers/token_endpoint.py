"""google-auth's way to ask the token endpoint. Its own waits for an answer to the end, however far off that is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

from google.auth.exceptions import TransportError

from providers.http import Answer, HttpClient, HttpFault

#: Of an answer, which has some 1 KB, no more is read.
MAX_ANSWER_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class TokenAnswer:
    """What the token endpoint said, as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes = field(repr=False)


def ask(url: str, method: str, body: bytes, headers: dict[str, str], *, timeout: float) -> TokenAnswer:
    """Blocks for up to `timeout` seconds, for the whole answer. Raises TransportError."""
    try:
        answer = asyncio.run(_asked(url, method, body, headers, timeout))
    except (HttpFault, ValueError) as fault:  # ValueError: `token_uri` is no address
        raise TransportError(fault) from fault  # type: ignore[no-untyped-call]
    return TokenAnswer(answer.status, answer.headers, answer.body)


async def _asked(
    url: str,
    method: str,
    body: bytes,
    headers: dict[str, str],
    timeout: float,  # noqa: ASYNC109 - the client keeps it
) -> Answer:
    """With a client of its own: that of the process belongs to another loop, and once an hour this costs nothing."""
    http = HttpClient()
    try:
        return await http.request(method, url, headers=headers, body=body, timeout=timeout, max_bytes=MAX_ANSWER_BYTES)
    finally:
        await http.close()
