"""Every page: nothing goes wrong in the browser, nobody is barred, nothing is cut off; dark, light, wide and narrow."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.pages import LISTS, PAGES

pytestmark = pytest.mark.browser

NARROW = {"width": 400, "height": 900}
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"


def looked_at(visitor, path: str) -> list[str]:
    """What is wrong with a page, wide and narrow, light and dark."""
    page = visitor.look(path)
    found = [f"wide: {words}" for words in visitor.violations()]
    visitor.turn("dark")
    found += [f"wide, dark: {words}" for words in visitor.violations("color-contrast")]
    page.set_viewport_size(NARROW)
    found += [f"narrow, dark: {words}" for words in visitor.violations("color-contrast")]
    visitor.turn("light")
    found += [f"narrow: {words}" for words in visitor.violations()]
    if beyond := page.evaluate(SIDEWAYS):
        found.append(f"narrow: {beyond} pixels wider than the window")
    return found


@pytest.mark.parametrize("name", PAGES)
def test_a_page_bars_nobody_and_asks_nothing_of_elsewhere(name, visit, broken_world):
    assert looked_at(visit(), PAGES[name]()) == []


@pytest.mark.parametrize("name", ["dashboard", *LISTS])
def test_a_page_on_which_there_is_nothing_yet_says_so(name, visit, empty_console):
    visitor = visit(address=empty_console)
    page = visitor.look(PAGES[name]())
    assert visitor.violations() == []
    assert name == "dashboard" or re.search(r"\b(No|Nothing) \w+", page.inner_text("#main"))


def test_the_login_bars_nobody(visit):
    assert looked_at(visit(who=""), "/admin/login/") == []


def test_the_documentation_of_the_api_works_with_our_own_files_alone(visit):
    visitor = visit(who="")
    visitor.page.goto("/api/v1/docs/")
    expect(visitor.page.locator(".opblock").first).to_be_visible()
