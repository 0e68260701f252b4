"""The task's own dialect: one lookup for everything about a user, an envelope around every answer."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from sandbox.answers import bad, good
from sandbox.dialects.base import Call, Dialect
from sandbox.dialects.bodies import Refused, demand, is_time, json_object
from sandbox.dialects.rendering import TEMPLATES, rendered
from sandbox.dialects.users import has_several, listed, meet, wants_pushes

STATUSES = ("pending", "delivered", "failed")
ORDER_KEYS = ("template_id", "template_code", "variables", "language")
DEAD_TOKEN_KEYS = ("user_id", "token", "platform", "reason", "died_at")
REPORT_KEYS = ("notification_id", "status", "timestamp", "error")


class Spec(Dialect):
    """As the task describes the services."""

    name = "spec"
    about = "the task's own words: one lookup per user, {success, data, …} around every answer"
    templates = TEMPLATES
    refusals = dict.fromkeys(("users", "templates", "gateway"), bad)

    def calls(self) -> tuple[Call, ...]:
        return (
            Call(
                "users", "lookups", "GET", "/api/v1/users/{user_id}", self.user,
                "User service: preferences and push_token, or push_tokens for several devices.",
            ),
            Call(
                "users", "dead_tokens", "POST", "/api/v1/users/{user_id}/push-tokens/dead", self.dead_token,
                "User service: takes word of a dead token, exactly {user_id, token, platform, reason, died_at}.",
            ),
            Call(
                "templates", "renders", "POST", "/api/v1/templates/render", self.render,
                "Template service: {template_id, template_code, variables, language} becomes {title, body}.",
            ),
            Call(
                "gateway", "reports", "POST", "/api/v1/push/status/", self.report,
                "Gateway: exactly {notification_id, status, timestamp, error}, error left away when there is none.",
            ),
        )  # fmt: skip

    async def user(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        await meet(user, self.slow)
        profile = {"id": user, "preferences": {"email": True, "push": wants_pushes(user)}}
        devices = listed(user, request)
        has: dict[str, Any] = {"push_tokens": devices} if has_several(user) else {"push_token": devices[0]["token"]}
        return good(profile | has)

    async def dead_token(self, request: web.Request) -> web.Response:
        user = request.match_info["user_id"]
        if user.startswith("unknown-"):
            raise Refused(404, "user not found")
        body = await json_object(request, DEAD_TOKEN_KEYS, 400)
        missing = sorted(set(DEAD_TOKEN_KEYS) - body.keys())
        demand(not missing, 400, f"missing: {', '.join(missing)}")
        demand(all(isinstance(value, str) for value in body.values()), 400, "every property must be a string")
        demand(all(body[key] for key in DEAD_TOKEN_KEYS if key != "platform"), 400, "only platform may be empty")
        demand(body["user_id"] == user, 400, "user_id is another than the address says")
        demand(is_time(body["died_at"]), 400, "died_at must be ISO 8601 with a time zone")
        self.buried(request, body)
        return good(None, 200, "token forgotten")

    async def render(self, request: web.Request) -> web.Response:
        order = await json_object(request, ORDER_KEYS, 422)
        template, variables = order.get("template_id") or order.get("template_code"), order.get("variables")
        if not isinstance(template, str):
            raise Refused(422, "template_id or template_code must be a string")
        demand(isinstance(variables, dict | None), 422, "variables must be an object")
        demand(isinstance(order.get("language"), str | None), 422, "language must be a string")
        return good(rendered(template, variables or {}))

    async def report(self, request: web.Request) -> web.Response:
        body = await json_object(request, REPORT_KEYS, 400)
        about = body.get("notification_id")
        demand(isinstance(about, str) and about != "", 400, "notification_id must be a string, not empty")
        demand(body.get("status") in STATUSES, 400, f"status must be one of {', '.join(STATUSES)}")
        demand(isinstance(body.get("error", ""), str), 400, "error must be a string")
        demand(is_time(body.get("timestamp")), 400, "timestamp must be ISO 8601 with a time zone")
        self.booked(request, str(about), body)
        return good(None, 201, "status recorded")
