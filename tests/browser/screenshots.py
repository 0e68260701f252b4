"""Pictures of every page, for docs/console/: light and dark, wide and narrow. `make screenshots` takes them."""

from pathlib import Path

import pytest

from tests.browser.pages import PAGES
from tests.world import ROOT

pytestmark = pytest.mark.browser

WIDTHS = (1440, 400)
LEAST, MOST = 900, 1800  # pixels high: of a long list one sees how it goes on
THEMES = ("light", "dark")
PICTURES = ROOT / "docs" / "console"


def picture(name: str, theme: str, width: int) -> Path:
    PICTURES.mkdir(exist_ok=True)
    return PICTURES / f"{name}-{theme}-{width}.png"


@pytest.mark.parametrize("name", ["login", *PAGES])
def test_a_picture_is_taken(name, visit, broken_world):
    for theme in THEMES:
        visitor = visit(who="" if name == "login" else "root", color_scheme=theme)
        page = visitor.look("/admin/login/" if name == "login" else PAGES[name]())
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": LEAST})
            height = min(max(page.evaluate("document.documentElement.scrollHeight"), LEAST), MOST)
            page.set_viewport_size({"width": width, "height": height})  # so that what sticks to its end does
            page.screenshot(path=picture(name, theme, width), animations="disabled")
