"""One HTTP question to a service around us, with its answer or, in plain words, why there is none."""

from __future__ import annotations

import ssl
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import requests
from urllib3.exceptions import HTTPError, NameResolutionError

TIMEOUTS = (2, 3)  # seconds to connect and to read
MAX_ANSWER_BYTES = 64 * 1024

# What is found among the causes; what that means; what to do. The first that fits. {setting} is what names the address.
TROUBLES: tuple[tuple[type[BaseException], str, str], ...] = (
    (NameResolutionError, "the host {host} is not known.", "Correct the host in {setting}, or the DNS."),
    (
        ConnectionRefusedError,
        "nobody listens at {host}, port {port}.",
        "Start it, or correct host and port in {setting}.",
    ),
    (
        ssl.SSLError,
        "TLS with {host}, port {port}, fails ({detail}).",
        "Write http:// in {setting} where it has no TLS, else mend its certificate or our trust in it.",
    ),
    (
        requests.Timeout,
        "{host}, port {port}, does not answer in time.",
        "Check host and port in {setting}, the firewalls on the way, and whether it is overloaded.",
    ),
    (
        Exception,
        "{host}, port {port}, gives no answer ({detail}).",
        "Check host and port in {setting}, and what listens there.",
    ),
)


class Unreached(Exception):
    """No answer came: `what` says why and `fix` what to do, both naming the setting."""

    def __init__(self, what: str, fix: str) -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix


def reach(setting: str, request: requests.Request) -> tuple[int, dict[str, str], bytes]:
    """Returns status, headers and the beginning of the body of whatever answer; raises Unreached.

    No redirect is followed and no proxy is used, as in a worker. `setting` is what the address comes from.
    """
    try:
        with requests.Session() as session:
            session.trust_env = False
            prepared = session.prepare_request(request)
            with session.send(prepared, timeout=TIMEOUTS, stream=True, allow_redirects=False) as answer:
                body = answer.raw.read(MAX_ANSWER_BYTES, decode_content=True)
                return answer.status_code, {k.lower(): v for k, v in answer.headers.items()}, body
    except (requests.RequestException, HTTPError, OSError) as error:
        raise _unreached(error, setting, request.url) from None


def without_secrets(url: str) -> str:
    """An address without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _unreached(error: Exception, setting: str, url: str) -> Unreached:
    causes = _causes(error)
    cause, what, fix = next(
        (cause, what, fix) for kind, what, fix in TROUBLES for cause in causes if isinstance(cause, kind)
    )
    parts = urlsplit(url)
    place: dict[str, Any] = {
        "setting": setting,
        "host": parts.hostname,
        "port": parts.port or {"http": 80}.get(parts.scheme, 443),
        "detail": getattr(cause, "verify_message", "") or type(causes[-1]).__name__,
    }
    return Unreached(f"{setting}: {what.format(**place)}", fix.format(**place))


def _causes(error: BaseException) -> list[BaseException]:
    """The error, and whatever it came from: requests and urllib3 wrap each other's in arguments and reasons."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting:
        one = waiting.pop(0)
        if isinstance(one, BaseException) and one not in found:
            found.append(one)
            waiting += [getattr(one, "reason", None), *one.args, one.__cause__, one.__context__]
    return found
