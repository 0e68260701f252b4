"""FCM: the key file, a real token for it, and whether that token may send. Nothing is sent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import requests
from django.conf import settings

from deliveries.doctor.findings import Finding, Level, advised, failed, ok, warning
from deliveries.doctor.reaching import TIMEOUTS, Unreached, reach
from providers.credentials import Grant, fetch
from providers.errors import CredentialTrouble, ProviderError, UnknownOutcome
from providers.fcm_verdict import verdict
from providers.http import Answer

#: What is asked of FCM: no device has this token, and `validate_only` would keep it from being sent if one had.
TRIAL = {"validate_only": True, "message": {"token": "doctor-check", "notification": {"title": "doctor"}}}


def examine() -> Iterator[Finding]:
    if "fcm" in settings.PROVIDERS:
        yield from _http_v1(settings.PROVIDERS["fcm"])
    else:
        yield ok("FCM", f"It is not used: pushes go through {', '.join(settings.PROVIDERS)}.")


def _http_v1(options: dict[str, Any]) -> Iterator[Finding]:
    try:
        grant = fetch(options["credentials_file"], sum(TIMEOUTS))
    except CredentialTrouble as trouble:
        yield advised("FCM credentials", Level.FAILED, trouble.advice)
        return
    except ProviderError as trouble:
        fix = "Check the network, and token_uri in the file that GOOGLE_APPLICATION_CREDENTIALS names."
        yield failed("FCM credentials", trouble.advice, fix)
        return
    yield ok("FCM credentials", "Google gives an access token for them.")
    project = options["project_id"] or grant.project_id
    if not project:
        what = "FCM_PROJECT_ID: is not set, and the credentials file names no project."
        yield failed(
            "FCM project", what, "Set FCM_PROJECT_ID to the project's id: Firebase console > Project settings."
        )
        return
    if grant.project_id not in (None, project):
        what = f"FCM_PROJECT_ID: is {project}, and the credentials are of project {grant.project_id}."
        yield warning("FCM project", what, "Make both the same, unless this service account was let into that project.")
    yield from _trial(options["endpoint"], project, grant)


def _trial(endpoint: str, project: str, grant: Grant) -> Iterator[Finding]:
    """A message that is only to be validated: what FCM thinks of it shows whether we may send."""
    url = f"{endpoint}/v1/projects/{quote(project, safe=':')}/messages:send"
    headers = {"Authorization": f"Bearer {grant.token}"}
    try:
        answer = Answer(*reach("FCM_ENDPOINT", requests.Request("POST", url, headers, json=TRIAL)))
    except Unreached as trouble:
        yield failed("FCM", trouble.what, trouble.fix)
        return
    yield _judged(answer, project)


def _judged(answer: Answer, project: str) -> Finding:
    """That FCM refuses the made-up token is as good as its consent: it has let us in."""
    if answer.status == 200 and b'"name"' in answer.body:
        return ok("FCM", f"It takes pushes for project {project}.")
    error = verdict(answer)
    if isinstance(error, CredentialTrouble) and error.http_status == 404:
        what = f"FCM_PROJECT_ID: FCM knows no project {project}, or FCM_ENDPOINT is not its address."
        return failed("FCM", what, "Check FCM_PROJECT_ID and FCM_ENDPOINT.")
    if isinstance(error, CredentialTrouble):
        return advised("FCM", Level.FAILED, error.advice)
    if isinstance(error, UnknownOutcome):
        what = f"FCM_ENDPOINT: what answers there ({answer.status}) is not FCM."
        return failed("FCM", what, "Set FCM_ENDPOINT to https://fcm.googleapis.com.")
    if error.retryable:
        what = f"FCM_ENDPOINT: FCM answered {answer.status}, so whether we may send is not known."
        return warning("FCM", what, "Try again in a minute.")
    return ok("FCM", f"It takes pushes for project {project}.")
