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
from deliveries.neighbours.spellings import BODIES, HTML_BODIES, NAMES, TITLES, Places, found, has_place
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
        path, order = self._profile.ordered(
            request.template_id, request.template_code, request.variables, request.language
        )
        try:
            answer = await self._template_service.call("POST", path, request.correlation_id, order)
        except Refusal as refusal:
            reason = f"The template service cannot render template {request.template_id}: {refusal.reason}"
            code = "template_missing" if refusal.http_status == 404 else "template_refused"
            raise Ended(Status.FAILED, code, reason) from None
        title, body = self._title(answer), self._body(answer)
        if not title and not body:
            raise _bad_answer("without a title or a body")
        return Content(title, body)

    def _title(self, answer: Data) -> str:
        title = self._plain(answer, TITLES, MAX_TITLE)
        if title or has_place(answer, TITLES):  # then its name is the template's own
            return title
        return self._plain(answer, NAMES, MAX_TITLE)

    def _body(self, answer: Data) -> str:
        """Raises TryAgain where there is one that is no text: what it says would be lost in silence."""
        body = self._plain(answer, BODIES, MAX_BODY) or plain(text_of(_first_text(answer, HTML_BODIES)), MAX_BODY)
        if not body and any(_is_no_text(value) for value in found(answer, BODIES + HTML_BODIES)):
            raise _bad_answer("with a body that is no text")
        return body

    def _plain(self, answer: Data, places: Places, limit: int) -> str:
        text = _first_text(answer, places)
        return plain(unescape(text) if self._profile.unescape_html else text, limit)


def _bad_answer(how: str) -> TryAgain:
    return TryAgain("template_service_bad_answer", f"The template service answered {how}.")


def _is_no_text(body: Any) -> bool:
    """`content` may be an object that has a title alone."""
    return not isinstance(body, str) and not (isinstance(body, dict) and "title" in body)


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


def text_as_data(request: PushRequest, content: Content) -> dict[str, Any]:
    """Of a push that shows nothing, what it would have shown and what a tap would have done: it is the app's now."""
    if not request.data_only:
        return {}
    said = {"title": content.title, "body": content.body}
    said |= {name: getattr(request, name) for name in ("image", "link", "click_action")}
    return {name: text for name, text in said.items() if text}
