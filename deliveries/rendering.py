"""Rendering: what it says. The template service turns a template and its variables into a title and a body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import unescape
from typing import Any

from deliveries.contract import PushRequest
from deliveries.models import Status
from deliveries.neighbours.markup import text_of
from deliveries.neighbours.profiles import Profile
from deliveries.neighbours.spellings import BODIES, HTML_BODIES, TITLES, Places, found
from deliveries.neighbours.upstreams import Data, Refusal, Upstream, plain
from deliveries.outcomes import Ended, TryAgain

#: Characters of a rendered title or body that are kept; FCM takes no more than 4096 bytes of everything.
MAX_TITLE = 1024
MAX_BODY = 4096

#: A variable's place in a text that the request brings along: `{{ name }}`.
PLACE = re.compile(r"\{\{\s*([\w.-]{1,64})\s*\}\}")


@dataclass(frozen=True, slots=True)
class Content:
    """The text of a push."""

    title: str
    body: str


class Renderer:
    """Renders requests, as the profile says; a request that brings its own text needs no template."""

    def __init__(self, template_service: Upstream, profile: Profile) -> None:
        self._template_service = template_service
        self._profile = profile

    async def render(self, request: PushRequest) -> Content:
        """Returns the text; raises Ended (unknown template) or TryAgain."""
        if request.template_id is None or request.title is not None or request.body is not None:
            said = request.variables
            return Content(_filled_in(request.title, said, MAX_TITLE), _filled_in(request.body, said, MAX_BODY))
        path, order = self._profile.ordered(request.template_id, request.variables, request.language)
        try:
            answer = await self._template_service.call("POST", path, request.correlation_id, order)
        except Refusal as refusal:
            reason = f"The template service cannot render template {request.template_id}: {refusal.reason}"
            code = "template_missing" if refusal.http_status == 404 else "template_refused"
            raise Ended(Status.FAILED, code, reason) from None
        title, body = self._plain(answer, TITLES, MAX_TITLE), self._plain(answer, BODIES, MAX_BODY)
        body = body or plain(text_of(_first_text(answer, HTML_BODIES)), MAX_BODY)
        if not title and not body:
            raise TryAgain(
                "template_service_bad_answer",
                "The template service answered without a title or a body.",
            )
        return Content(title, body)

    def _plain(self, answer: Data, places: Places, limit: int) -> str:
        text = _first_text(answer, places)
        return plain(unescape(text) if self._profile.unescape_html else text, limit)


def _filled_in(text: str | None, variables: dict[str, Any], limit: int) -> str:
    """The request's own text with its variables in their places; a place without a variable stays as it is."""

    def value(place: re.Match[str]) -> str:
        given = variables.get(place[1])
        return str(given)[:limit] if isinstance(given, str | int | float) else place[0]

    return plain(PLACE.sub(value, text) if text and variables else text or "", limit)


def _first_text(answer: Data, places: Places) -> str:
    return next((value for value in found(answer, places) if isinstance(value, str)), "")


def payload_data(request: PushRequest) -> dict[str, Any]:
    """What the app gets as data: the request's metadata, and the notification's id to recognise a repeat by."""
    return request.metadata | {"notification_id": request.notification_id}
