"""Pictures of every page, for docs/console/: light and dark, wide and narrow. `make screenshots` takes them."""

from pathlib import Path

import pytest

from tests.browser.pages import PAGES
from tests.world import ROOT

pytestmark = pytest.mark.browser

WIDTHS = (1440, 400)
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
            page.set_viewport_size({"width": width, "height": 900})
            page.screenshot(path=picture(name, theme, width), full_page=True, animations="disabled")
