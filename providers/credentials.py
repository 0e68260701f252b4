"""Access tokens of a Google service account: fetched once, renewed before anyone has to wait.

google-auth signs and asks, but has no lock: a hundred cold callers would fetch some forty tokens.
"""

from __future__ import annotations

import asyncio
import logging
import random
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import orjson
from google.auth.exceptions import RefreshError, TransportError
from google.oauth2.service_account import Credentials

from providers.errors import CredentialTrouble, NotNow, ProviderError
from providers.token_endpoint import ask

logger = logging.getLogger(__name__)

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
VARIABLE = "GOOGLE_APPLICATION_CREDENTIALS"
NEW_KEY = "Firebase console > Project settings > Service accounts > Generate new private key"
#: Seconds for a request and its whole answer, to the last byte. google-auth asks three times at most, after waits of a
#: second or two: 30 s in all at the worst.
TIMEOUT = 8.0
#: A token is renewed so many seconds before its end, at random, lest a fleet asks all at once.
MARGIN = (240, 600)
#: Seconds until the token endpoint is asked again: after trouble that passes, and other.
SHORT_WAIT, LONG_WAIT = 10.0, 60.0

REFUSALS = {
    "invalid_grant": "The key or its account was deleted, or this machine's clock is wrong. "
    f"Check the clock, else make a new key: {NEW_KEY}",
    "unauthorized_client": f"The service account may not use FCM's scope. Use the key that Firebase makes: {NEW_KEY}",
    "invalid_scope": f"The scope {SCOPE} is unknown there. Check token_uri in the file",
}

_OAUTH_WORD = re.compile("[a-z_]{3,64}")

Stamp = tuple[int, int, int] | None


@dataclass(frozen=True, slots=True)
class Grant:
    """A token, for how many seconds it is good, and the project of the file that it was got with."""

    token: str = field(repr=False)
    lifetime: float
    project_id: str | None


class ServiceAccount:
    """The access token of one service-account file. For one event loop; owns one thread.

    The file is read again for every new token, and in trouble as soon as it changes, so a rotated key
    is picked up by itself. `trouble` is what the last renewal met, None when it went well; `renewals` counts those.
    """

    def __init__(self, path: str | None) -> None:
        self.project_id: str | None = None
        self.trouble: ProviderError | None = None
        self.renewals = 0
        self._path = path
        self._token = ""
        self._expires_at = self._renew_at = 0.0
        self._read_as: Stamp = None
        self._renewal: asyncio.Task[None] | None = None
        self._executor = ThreadPoolExecutor(1, "oauth-token")

    async def token(self) -> str:
        """Returns a token that is good now; raises CredentialTrouble, or NotNow if it may come."""
        now = time.monotonic()
        if now < self._expires_at:
            if now >= self._renew_at:
                self._renew()
            return self._token
        if self.trouble is None or now >= self._renew_at or self.is_outdated():
            await asyncio.shield(self._renew())
        if self.trouble is not None:
            raise self.trouble.with_traceback(None)
        return self._token

    def is_outdated(self) -> bool:
        """Whether the file is another than it was when it was last read."""
        return self._read_as != _stamp(self._path)

    def reject(self, token: str) -> None:
        """The provider refused `token`: it is not served again. Its successor is."""
        if token == self._token:
            logger.warning("access token refused before its time; fetching another")
            self.discard()

    def discard(self) -> None:
        """The token is not served again: the next one is got with the file as it is by then."""
        self._token = ""
        self._expires_at = self._renew_at = 0.0

    async def close(self) -> None:
        """Gives up a renewal in progress; its thread ends with its request."""
        if self._renewal is not None:
            self._renewal.cancel()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _renew(self) -> asyncio.Task[None]:
        """The one renewal that is going on, begun if there is none."""
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._fetch())
        return self._renewal

    async def _fetch(self) -> None:
        loop = asyncio.get_running_loop()
        self._read_as = _stamp(self._path)  # before it is read: what is written meanwhile is news
        try:
            self._keep(await loop.run_in_executor(self._executor, fetch, self._path))
        except ProviderError as trouble:
            logger.warning("no new access token: %s", trouble)
            self._miss(trouble)
        except Exception as bug:
            logger.exception("no new access token, for a reason that we did not think of")
            what = f"An error of ours kept the access token from being fetched: {type(bug).__name__}. Nothing was sent."
            self._miss(NotNow("oauth_internal_error", f"{what} The log says more.", retry_after=SHORT_WAIT))
        finally:
            self._renewal = None

    def _miss(self, trouble: ProviderError) -> None:
        self.trouble = trouble
        self._renew_at = time.monotonic() + (trouble.retry_after or SHORT_WAIT)

    def _keep(self, grant: Grant) -> None:
        self.trouble = None
        self.renewals += 1
        self.project_id = grant.project_id
        self._token = grant.token
        self._expires_at = time.monotonic() + grant.lifetime
        margin = min(random.uniform(*MARGIN), grant.lifetime / 2)  # noqa: S311 - no secret in it
        self._renew_at = self._expires_at - margin


def fetch(path: str | None, timeout: float = TIMEOUT) -> Grant:
    """Asks Google for a token, blocking for up to 30 s. Raises CredentialTrouble or NotNow."""
    info = _read(path)
    account = _account(info, path)
    try:
        refresh: Callable[[Callable[..., Any]], None] = account.refresh
        refresh(partial(ask, timeout=timeout))
    except TransportError as error:
        raise _later("oauth_unreachable", f"cannot be reached ({error})", info) from None
    except RefreshError as error:
        raise _refusal(error, info) from None
    except (ValueError, TypeError):
        raise _later("oauth_bad_answer", "answered something that is no token", info) from None
    lifetime = _lifetime(account.expiry)
    if lifetime <= 0:
        raise _later("oauth_bad_answer", "gave a token that is already over", info)
    return Grant(str(account.token), lifetime, info.get("project_id"))


def _stamp(path: str | None) -> Stamp:
    """What tells one content of a file from the next, None where there is no file."""
    try:
        found = Path(path or "").stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read(path: str | None) -> dict[str, Any]:
    if not path:
        what = f"is not set. Set it to the path of a service-account file: {NEW_KEY}"
        raise _trouble("credentials_missing", what)
    try:
        info = orjson.loads(Path(path).read_bytes())
    except OSError as error:
        what = f"{path} cannot be read ({error.strerror}). Correct the path or its permissions"
        raise _trouble("credentials_unreadable", what) from None
    except orjson.JSONDecodeError:
        info = None
    if not isinstance(info, dict) or info.get("type") != "service_account":
        what = f"{path} is not a service-account file. Make one: {NEW_KEY}"
        raise _trouble("credentials_malformed", what)
    return info


def _account(info: dict[str, Any], path: str | None) -> Credentials:
    make: Callable[..., Credentials] = Credentials.from_service_account_info
    try:
        return make(info, scopes=[SCOPE])
    except (ValueError, TypeError, AttributeError):  # whose texts may quote the key
        missing = [key for key in ("client_email", "token_uri", "private_key") if not info.get(key)]
        lacks = f"lacks {', '.join(missing)}" if missing else "has a private_key that is not one"
        what = f"{path} {lacks}. Make a new one: {NEW_KEY}"
        raise _trouble("credentials_malformed", what) from None


def _refusal(error: RefreshError, info: dict[str, Any]) -> ProviderError:
    said = str(error.args[0]) if error.args else "without a reason"
    text = "".join(filter(str.isprintable, said))[:200]
    answer = error.args[1] if len(error.args) > 1 else None
    if error.retryable:
        return _later("oauth_unavailable", f"is in trouble ({text})", info)
    word = answer.get("error") if isinstance(answer, dict) else None
    code = word if isinstance(word, str) and _OAUTH_WORD.fullmatch(word) else "oauth_refused"
    advice = REFUSALS.get(code, f"Check token_uri in the file, else make a new key: {NEW_KEY}")
    return _trouble(code, f"the key is refused by {info['token_uri']} ({text}). {advice}")


def _trouble(code: str, what: str) -> CredentialTrouble:
    return CredentialTrouble(code, f"{VARIABLE}: {what}.", retry_after=LONG_WAIT)


def _later(code: str, what: str, info: dict[str, Any]) -> NotNow:
    return NotNow(code, f"The token endpoint {info['token_uri']} {what}.", retry_after=SHORT_WAIT)


def _lifetime(expiry: datetime | None) -> float:
    """Seconds from now. google-auth's time is UTC without saying so; none is trusted for 5 min."""
    if expiry is None:
        return 300.0
    return (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds()
