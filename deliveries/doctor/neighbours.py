"""The services around us: whether each answers at the address that is set, and lets us in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import orjson
import requests
from django.conf import settings
from pydantic import SecretStr

from deliveries.doctor.findings import Finding, Level, failed, ok, warning
from deliveries.doctor.reaching import Unreached, reach, without_secrets
from deliveries.models import Status
from deliveries.neighbours.profiles import Report, filled, in_force
from deliveries.neighbours.upstreams import followed, headers_of

#: A user and a template that nobody has.
MADE_UP = "doctor-check"
#: A path that no service has.
NOWHERE = "/doctor-check/nowhere"


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked, which changes nothing there.

    `setting` names its address and `ways` the paths under it; `method` is the worker's.
    `in_json`: it is one that the service answers in JSON, whatever the answer is.
    """

    setting: str
    ways: str
    method: str
    request: requests.Request
    in_json: bool = True


def questions_for(neighbour: str) -> Iterator[Question]:
    """The questions for a neighbour, as the profile in force has them. A status is never posted to the gateway."""
    push = settings.PUSH
    profile = in_force(push)
    if neighbour == "user service":
        for path in profile.user_paths:
            url = push.user_service_url + filled(path, user_id=MADE_UP)
            yield Question(
                "USER_SERVICE_URL", "USER_SERVICE_PATHS", "GET", _request("GET", url, push.user_service_header)
            )
    elif neighbour == "template service":
        path, order = profile.ordered(MADE_UP, None, {}, "en")
        request = _request("POST", push.template_service_url + path, push.template_service_header, json=order)
        yield Question("TEMPLATE_SERVICE_URL", "TEMPLATE_SERVICE_PATH", "POST", request)
    elif push.api_gateway_url is not None:
        method, path, _ = profile.told(Report(MADE_UP, Status.FAILED, datetime.now(UTC), None))
        request = _request("OPTIONS", push.api_gateway_url + path, push.api_gateway_header)
        yield Question("API_GATEWAY_URL", "API_GATEWAY_PATH", method, request, in_json=False)


def _request(method: str, url: str, header: SecretStr | None, **more: Any) -> requests.Request:
    return requests.Request(method, url, {"X-Correlation-ID": MADE_UP} | headers_of(header), **more)


def examine(neighbour: str) -> Iterator[Finding]:
    """What it answers, up to the first trouble: the next question would likely meet the same."""
    if neighbour == "gateway" and settings.PUSH.api_gateway_url is None:
        yield ok(neighbour, "API_GATEWAY_URL: is none, so nobody is told how notifications end.")
        return
    for question in questions_for(neighbour):
        finding = _asked(neighbour, question)
        yield finding
        if finding.level is not Level.OK:
            return


def _asked(neighbour: str, question: Question) -> Finding:
    try:
        status, headers, body = reach(question.setting, question.request)
        finding = _judged(neighbour, question, status, headers, body)
        if finding.level == Level.OK and _answers_all_alike(question, status, body):
            finding = _all_alike(neighbour, question, status)
    except Unreached as trouble:
        return failed(neighbour, trouble.what, trouble.fix)
    return finding


def _judged(neighbour: str, question: Question, status: int, headers: dict[str, str], body: bytes) -> Finding:
    """Any answer will do that says the service is there and lets us in."""
    setting = question.setting
    asked = f"{setting}: {question.request.method} {without_secrets(question.request.url)} answered {status}"
    if status in (401, 403):
        header = setting.replace("_URL", "_HEADER")
        fix = f"Set {header} to the header that lets us in; if it is not the {neighbour}, correct {setting}."
        return failed(neighbour, f"{asked}: it does not let us in.", fix)
    if status >= 500:
        return failed(
            neighbour, f"{asked}: it is in trouble.", f"See the log of the {neighbour}, or correct {setting}."
        )
    if 300 <= status < 400:
        goes = followed(question.method, question.request.url, status, headers) is not None
        cost = "is followed, and makes every request two" if goes else f"with {status} there is not followed"
        fix = f"Set {setting}, or {question.ways}, to where it really is: a redirect {cost}."
        return warning(neighbour, f"{asked} and points to {without_secrets(headers.get('location', ''))}.", fix)
    if question.in_json and (status == 405 or not _is_json(body)):
        fix = f"Correct {setting}, choose in UPSTREAM_PROFILE how the {neighbour} speaks, or set {question.ways}."
        return warning(neighbour, f"{asked}, and not as the {neighbour} would.", fix)
    return ok(neighbour, f"It answers {question.request.method} {urlsplit(question.request.url).path} ({status}).")


def _answers_all_alike(question: Question, status: int, body: bytes) -> bool:
    """Whether a path that no service has is answered the same. OPTIONS often is, and rightly; but not with a 404."""
    if not question.in_json and status != 404:
        return False
    asked = question.request
    url = getattr(settings.PUSH, question.setting.lower()) + NOWHERE
    nowhere = requests.Request(asked.method, url, asked.headers, json=asked.json)
    other, _, rest = reach(question.setting, nowhere)
    return (status, _without_path(body, asked.url)) == (other, _without_path(rest, url))


def _without_path(body: bytes, url: str) -> bytes:
    """Many a "not found" names the path."""
    return body.replace(urlsplit(url).path.encode(), b"")


def _all_alike(neighbour: str, question: Question, status: int) -> Finding:
    setting = question.setting
    asked = f"{setting}: {question.request.method} {without_secrets(question.request.url)} answered {status}"
    what = f"{asked}, and so is a path answered that no service has: whether it is the {neighbour} is not known."
    fix = f"Check the path in {setting}, and in UPSTREAM_PROFILE how the {neighbour} speaks."
    return warning(neighbour, what, fix)


def _is_json(body: bytes) -> bool:
    try:
        return isinstance(orjson.loads(body), dict | list)
    except orjson.JSONDecodeError:
        return False
