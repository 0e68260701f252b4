"""The dialect that the ancestor of this service expects of its world: split lookups, one device per user, PATCH."""

from __future__ import annotations

from aiohttp import web

from sandbox.answers import detail, json_answer
from sandbox.dialects.base import Call, Dialect
from sandbox.dialects.bodies import Refused, demand, is_time, json_object
from sandbox.dialects.rendering import TEMPLATES, rendered
from sandbox.dialects.users import meet, tokens_of, wants_pushes

STATUSES = ("sent", "failed", "skipped")
ORDER_KEYS = ("template_id", "variables")
REPORT_KEYS = ("channel", "status", "error_message", "sent_at")


class Ancestor(Dialect):
    """As its push service calls them."""

    name = "ancestor"
    about = "preferences and push-token apart, PATCH /internal/…, the words sent, failed and skipped"
    templates = TEMPLATES
    refusals = dict.fromkeys(("users", "templates", "gateway"), detail)

    def calls(self) -> tuple[Call, ...]:
        users = "/api/v1/users/{user_id}"
        return (
            Call(
                "users", "lookups", "GET", f"{users}/preferences", self.preferences,
                "User service: {data: {push_enabled, email_enabled}}.",
            ),
            Call(
                "users", "token_lookups", "GET", f"{users}/push-token", self.push_token,
                "User service: {data: {token}}, the one device of a user; 404 without one.",
            ),
            Call(
                "templates", "renders", "POST", "/api/v1/templates/render", self.render,
                "Template service: exactly {template_id, variables} becomes {data: {subject, body_text}}.",
            ),
            Call(
                "gateway", "reports", "PATCH", "/internal/notifications/{notification_id}", self.report,
                "Gateway: exactly {channel, status, error_message, sent_at}, the last two if there are any.",
            ),
        )  # fmt: skip

    async def preferences(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        await meet(user, self.slow)
        return json_answer({"data": {"push_enabled": wants_pushes(user), "email_enabled": True}})

    async def push_token(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        await meet(user, 0.0)
        tokens = tokens_of(user, request)
        if not tokens:
            raise Refused(404, "no push token registered")
        return json_answer({"data": {"token": tokens[0][0]}})

    async def render(self, request: web.Request) -> web.Response:
        order = await json_object(request, ORDER_KEYS, 422)
        template, variables = order.get("template_id"), order.get("variables")
        if not isinstance(template, str) or not isinstance(variables, dict):
            raise Refused(422, "template_id must be a string and variables an object")
        text = rendered(template, variables)
        return json_answer({"data": {"subject": text["title"], "body_text": text["body"]}})

    async def report(self, request: web.Request) -> web.Response:
        body = await json_object(request, REPORT_KEYS, 422)
        demand(body.get("channel") == "push", 422, "channel must be push")
        demand(body.get("status") in STATUSES, 422, f"status must be one of {', '.join(STATUSES)}")
        demand(isinstance(body.get("error_message", ""), str), 422, "error_message must be a string")
        demand(("sent_at" in body) == (body["status"] == "sent"), 422, "sent_at belongs to status sent")
        demand("sent_at" not in body or is_time(body["sent_at"]), 422, "sent_at must be ISO 8601 with a time zone")
        self.booked(request, request.match_info["notification_id"], body)
        return json_answer({"notification_id": request.match_info["notification_id"], "status": body["status"]})
