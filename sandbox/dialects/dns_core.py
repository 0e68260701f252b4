"""The dialect of dns-core's services: UUIDs only, HTML-escaped texts, three frameworks with errors of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from aiohttp import web

from sandbox.answers import detail, json_answer
from sandbox.dialects.base import Call, Dialect, Say
from sandbox.dialects.bodies import Refused, demand, is_time, is_uuid, json_object
from sandbox.dialects.users import meet, tokens_of, wants_pushes
from sandbox.templates import render

STATUSES = ("delivered", "pending", "failed")
ORDER_KEYS = ("template_id", "variables")
REPORT_KEYS = ("notification_id", "status", "timestamp", "error")

#: As Jinja escapes.
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;"})
_PHRASES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    429: "Too Many Requests",
    503: "Service Unavailable",
}


def _django(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return json_answer({"success": False, "message": text, "error": text}, status, headers)


def _nest(status: int, text: str, headers: Mapping[str, str] | None = None) -> web.Response:
    return json_answer({"statusCode": status, "message": [text], "error": _PHRASES[status]}, status, headers)


class DnsCore(Dialect):
    """As its services answer: the user service on Django, templates on FastAPI, the gateway on NestJS."""

    name = "dns-core"
    about = (
        "template and notification ids are UUIDs, texts are escaped for HTML, refusals in three shapes; push-token is "
        "what its push service asks, and what its user service still lacks"
    )
    templates: ClassVar[Mapping[str, str]] = {
        "00000000-": "400: there is no such template",
        "bad00000-": "500: the rendering breaks",
    }
    refusals: ClassVar[Mapping[str, Say]] = {"users": _django, "templates": detail, "gateway": _nest}

    def calls(self) -> tuple[Call, ...]:
        users = "/api/v1/users/{user_id}"
        return (
            Call(
                "users", "lookups", "GET", f"{users}/preferences/", self.preferences,
                "User service: {success, message, data: {email, push}}.",
            ),
            Call(
                "users", "token_lookups", "GET", f"{users}/push-token", self.push_token,
                "User service, if it had what its push service asks: {success, message, data: {push_token}}, or null.",
            ),
            Call(
                "templates", "renders", "POST", "/api/v1/templates/render", self.render,
                "Template service: exactly {template_id, variables} becomes {subject, body_html, body_text, …}.",
            ),
            Call(
                "gateway", "reports", "POST", "/api/v1/notifications/push/status", self.report,
                "Gateway: exactly {notification_id, status, timestamp, error}, the last two if there are any.",
            ),
        )  # fmt: skip

    async def preferences(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        await meet(user, self.slow)
        return _found({"email": True, "push": wants_pushes(user)}, "Preferences retrieved successfully")

    async def push_token(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        await meet(user, 0.0)
        tokens = tokens_of(user, request)
        return _found({"push_token": tokens[0][0] if tokens else None}, "Push token retrieved successfully")

    async def render(self, request: web.Request) -> web.Response:
        order = await json_object(request, ORDER_KEYS, 422)
        template, variables = order.get("template_id"), order.get("variables")
        if not is_uuid(template) or not isinstance(variables, dict):
            raise Refused(422, "template_id should be a valid UUID and variables an object")
        if str(template).startswith("00000000-"):
            raise Refused(400, "Template not found")
        if str(template).startswith("bad00000-"):
            raise Refused(500, "Failed to render template")
        text = render(str(template), {name: str(value).translate(_ESCAPED) for name, value in variables.items()})
        data = {
            "subject": text["title"],
            "body_html": f"<p>{text['body']}</p>",
            "body_text": text["body"],
            "template_id": template,
            "variables_used": variables,
        }
        return json_answer(
            {"success": True, "data": data, "error": None, "message": "Template rendered successfully", "meta": None}
        )

    async def report(self, request: web.Request) -> web.Response:
        body = await json_object(request, REPORT_KEYS, 400)
        demand(is_uuid(body.get("notification_id")), 400, "notification_id must be a UUID")
        demand(body.get("status") in STATUSES, 400, f"status must be one of {', '.join(STATUSES)}")
        demand(isinstance(body.get("error", ""), str), 400, "error must be a string")
        demand("timestamp" not in body or is_time(body["timestamp"]), 400, "timestamp must be ISO 8601")
        self.booked(request, body["notification_id"], body)
        meta = {"total": 0, "limit": 0, "page": 0, "total_pages": 0, "has_next": False, "has_previous": False}
        return json_answer({"success": True, "message": "Status updated", "data": None, "meta": meta}, 201)


def _found(data: object, message: str) -> web.Response:
    return json_answer({"success": True, "message": message, "data": data})
