"""The sandbox's HTML: templates of the standard library, every value escaped in this file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from html import escape
from pathlib import Path
from string import Template

from sandbox.devices import STATES
from sandbox.dialects import DIALECTS, Dialect
from sandbox.dialects.users import USERS
from sandbox.fcm_legacy import SERVER_KEY
from sandbox.options import manual
from sandbox.orders import FAULTS, SERVICES
from sandbox.screen import Push
from sandbox.templates import TEXTS

_HTML = Path(__file__).parent / "html"


def page(name: str, **values: str) -> str:
    """A template of html/ with `$name` places filled in; the values are HTML already."""
    return _template(name).substitute(values)


def card(push: Push) -> str:
    """One push as it stands on the phone's screen."""
    silent = "" if push.title else "A silent message: data only"
    picture = push.image if (push.image or "").startswith(("https://", "http://")) else None
    again = f"replaced, {push.times} times sent" if push.times > 1 else None
    return page(
        "card.html",
        key=push.key,
        again=_element("span", "again", again),
        title=_element("h2", "title", push.title),
        body=_element("p", "body", push.body or silent),
        picture=f'<img class="picture" src="{escape(picture)}" alt="">' if picture else "",
        link=_element("p", "link", push.link),
        device=escape(push.device),
        platform=escape(push.platform),
        at=escape(push.at),
        time=escape(push.at[11:16]),
    )


def index(base: str, dialect: Dialect, faults: Mapping[str, Mapping[str, object]]) -> str:
    """The page at /: addresses, prefixes and faults, from the very tables that the code obeys."""
    texts = {name: f"“{title}” {body}" for name, (title, body) in TEXTS.items()}
    return page(
        "index.html",
        base=escape(base),
        dialect=escape(dialect.name),
        dialects=_rows((name, spoken.about) for name, spoken in DIALECTS.items()),
        calls=_rows((f"{call.method} {call.path}", call.about) for call in dialect.calls()),
        server_key=escape(SERVER_KEY),
        users=_rows((f"{prefix}…", text) for prefix, text in USERS.items()),
        states=_rows((f"{state}-…", text) for state, text in STATES.items()),
        templates=_rows((f"{prefix}…", text) for prefix, text in dialect.templates.items()),
        texts=_rows(texts.items()),
        faults=_rows(FAULTS.items()),
        manual=escape(manual()),
        services=_rows((service, _current(faults[service])) for service in SERVICES),
    )


def _element(tag: str, name: str, text: str | None) -> str:
    return f'<{tag} class="{name}">{escape(text)}</{tag}>' if text else ""


def _current(fault: Mapping[str, object]) -> str:
    parts = [f"{name} {value}" for name, value in fault.items() if value not in (None, 0, "none")]
    return ", ".join(parts) or "as usual"


def _rows(pairs: Iterable[tuple[str, str]]) -> str:
    return "".join(f"<tr><th><code>{escape(name)}</code></th><td>{escape(text)}</td></tr>" for name, text in pairs)


@cache
def _template(name: str) -> Template:
    return Template((_HTML / name).read_text(encoding="utf-8"))
