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
from deliveries.neighbours.upstreams import headers_of

#: A user and a template that nobody has.
MADE_UP = "doctor-check"
#: A path that no service has.
NOWHERE = "/doctor-check/nowhere"


@dataclass(frozen=True, slots=True)
class Question:
    """What a service is asked, which changes nothing there. `setting` names its address.

    `in_json`: it is one that the service answers in JSON, whatever the answer is.
    """

    setting: str
    request: requests.Request
    in_json: bool = True


def question_for(neighbour: str) -> Question:
    """The question for a neighbour, as the profile in force has it. A status is never posted to the gateway."""
    push = settings.PUSH
    profile = in_force(push)
    if neighbour == "user service":
        path = filled(profile.user_paths[0], user_id=MADE_UP)
        return Question("USER_SERVICE_URL", _request("GET", push.user_service_url + path, push.user_service_header))
    if neighbour == "template service":
        path, order = profile.ordered(MADE_UP, {}, "en")
        url = push.template_service_url + path
        return Question("TEMPLATE_SERVICE_URL", _request("POST", url, push.template_service_header, json=order))
    _, path, _ = profile.told(Report(MADE_UP, Status.FAILED, datetime.now(UTC), None))
    request = _request("OPTIONS", push.api_gateway_url + path, push.api_gateway_header)
    return Question("API_GATEWAY_URL", request, in_json=False)


def _request(method: str, url: str, header: SecretStr | None, **more: Any) -> requests.Request:
    return requests.Request(method, url, {"X-Correlation-ID": MADE_UP} | headers_of(header), **more)


def examine(neighbour: str) -> Iterator[Finding]:
    question = question_for(neighbour)
    try:
        status, headers, body = reach(question.setting, question.request)
        finding = _judged(neighbour, question, status, headers.get("location", ""), body)
        if finding.level == Level.OK and _answers_all_alike(question, status, body):
            finding = _all_alike(neighbour, question, status)
    except Unreached as trouble:
        yield failed(neighbour, trouble.what, trouble.fix)
        return
    yield finding


def _judged(neighbour: str, question: Question, status: int, location: str, body: bytes) -> Finding:
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
        fix = f"Set {setting} to where it really is: a redirect to another host is not followed."
        return warning(neighbour, f"{asked} and points to {without_secrets(location)}.", fix)
    if question.in_json and (status == 405 or not _is_json(body)):
        fix = f"Correct {setting}, or choose in UPSTREAM_PROFILE how the {neighbour} speaks."
        return warning(neighbour, f"{asked}, and not as the {neighbour} would.", fix)
    return ok(neighbour, f"It answers ({status}).")


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
