"""The templates of this world: a prefix of their id says which of them are of no use."""

from __future__ import annotations

from typing import Any

from sandbox.dialects.bodies import Refused
from sandbox.templates import render

TEMPLATES = {
    "unknown-": "404: there is no such template",
    "badtemplate-": "500: the rendering breaks",
}


def rendered(template: str, variables: dict[str, Any]) -> dict[str, str]:
    """`title` and `body`; raises Refused."""
    if template.startswith("badtemplate-"):
        raise Refused(500, "internal server error")
    if template.startswith("unknown-"):
        raise Refused(404, "template not found")
    return render(template, variables)
