"""Somebody in front of a page: what goes wrong in the browser meanwhile is noted."""

import json
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import ConsoleMessage, Page, Request, Response

SERIOUS = ("serious", "critical")


class Visitor:
    """A page, and the troubles with it: errors in its console, failed requests, requests to elsewhere."""

    def __init__(self, page: Page, address: str) -> None:
        self.page = page
        self.address = address
        self.troubles: list[str] = []
        page.set_default_timeout(15_000)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.troubles.append(f"{page.url}: {error}"))
        page.on("request", self._asked)
        page.on("response", self._answered)
        page.on("requestfailed", self._failed)

    def look(self, path: str) -> Page:
        """Opens a page and waits until the theme's scripts have shown it."""
        self.page.goto(path, wait_until="load")
        self.page.wait_for_function("!document.documentElement.hasAttribute('x-cloak')")
        return self.page

    def violations(self, *rules: str) -> list[str]:
        """What axe finds that bars somebody's way, on the page as it is; by all its rules, or by some."""
        if not self.page.evaluate("typeof axe === 'object'"):
            self.page.evaluate(AXE_SCRIPT)
        options: dict[str, Any] = {"resultTypes": ["violations"]}
        if rules:
            options["runOnly"] = rules
        found = self.page.evaluate("options => axe.run(document, options)", options)["violations"]
        return [_told(violation) for violation in found if violation["impact"] in SERIOUS]

    def turn(self, theme: str) -> None:
        """Dark, or light."""
        self.page.evaluate("theme => { document.documentElement.className = theme; }", theme)

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.troubles.append(f"{self.page.url}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.address, "data:", "blob:")):
            self.troubles.append(f"{self.page.url} asks {request.url}")

    def _answered(self, response: Response) -> None:
        if response.status >= 400:
            self.troubles.append(f"{response.url} answers {response.status}")

    def _failed(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # a page that was left, or a file that was saved
            self.troubles.append(f"{request.url}: {request.failure}")


def _told(violation: dict[str, Any]) -> str:
    """The rule, and where it is broken."""
    nodes = violation["nodes"]
    places = "; ".join(json.dumps(node["html"][:160]) + " " + _colours(node) for node in nodes[:4])
    return f"{violation['id']} ({len(nodes)}): {places}"


def _colours(node: dict[str, Any]) -> str:
    data = (node["any"] or [{}])[0].get("data") or {}
    if not isinstance(data, dict) or "fgColor" not in data:
        return ""
    return f"{data['fgColor']} on {data['bgColor']}: {data['contrastRatio']}"
