"""Pictures of every page, for docs/console/: light and dark, wide and narrow. `make screenshots` takes them."""

from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import Page

from deliveries.ledger import samples
from deliveries.ledger.audit import Audited
from tests.browser.pages import PAGES
from tests.browser.visitor import Visitor
from tests.world import ROOT

pytestmark = pytest.mark.browser

WIDTHS = (1440, 400)
LEAST, MOST = 900, 1800  # pixels high: of a long list one sees how it goes on
THEMES = ("light", "dark")
PICTURES = ROOT / "docs" / "console"


def picture(name: str, theme: str, width: int) -> Path:
    PICTURES.mkdir(exist_ok=True)
    return PICTURES / f"{name}-{theme}-{width}.webp"


def still(page: Page) -> None:
    """Waits until what sticks to the end of the window has found its place."""
    page.evaluate("new Promise(shown => requestAnimationFrame(() => requestAnimationFrame(shown)))")
    page.wait_for_timeout(100)


def taken(page: Page) -> bytes:
    """As WebP, a third of a PNG's size, which Playwright itself does not offer."""
    asked = {"format": "webp", "quality": 80}
    return b64decode(page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)["data"])


@pytest.fixture
def a_day() -> Iterator[None]:
    """Of sample history, as the demo has it."""
    samples.seed(timezone.now())
    yield
    samples.remove(Audited("shell screenshots", ""))


@pytest.mark.parametrize("name", ["login", *PAGES])
def test_a_picture_is_taken(name, visit, broken_world):
    take(name, "/admin/login/" if name == "login" else PAGES[name](), visit)


def test_a_picture_of_a_day_is_taken(visit, broken_world, a_day):
    take("dashboard-24h", f"{PAGES['dashboard']()}?range=24h", visit)


def take(name: str, address: str, visit: Callable[..., Visitor]) -> None:
    """In each theme and width."""
    for theme in THEMES:
        page = visit(who="" if name == "login" else "root", color_scheme=theme).look(address)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": LEAST})
            height = min(max(page.evaluate("document.documentElement.scrollHeight"), LEAST), MOST)
            page.set_viewport_size({"width": width, "height": height})  # so that what sticks to its end does
            still(page)
            picture(name, theme, width).write_bytes(taken(page))
