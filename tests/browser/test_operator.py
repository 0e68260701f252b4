"""Operators find out why somebody did not get it, and send it again: with a mouse, by keyboard, without JavaScript."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.pages import PAGES
from tests.browser.test_pages import NARROW
from tests.browser.world import PASSWORD, status
from tests.world import eventually, query

pytestmark = pytest.mark.browser


FOCUSED = """() => {
  const element = document.activeElement;
  const labels = [...(element.labels ?? [])].map((label) => label.innerText);
  const seen = element.matches(":is(a, button, input, summary):focus-visible") && element.getClientRects().length > 0;
  return seen ? [element.id, element.ariaLabel, element.innerText, ...labels].join(" ") : "";
}"""


class Keyboard:
    """Somebody without a mouse."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def go_to(self, name: str) -> None:
        """Presses Tab until what has this name can be seen to have the focus."""
        for _ in range(100):
            self.page.keyboard.press("Tab")
            if re.search(rf"(?<!Select )\b{re.escape(name)}\b", self.page.evaluate(FOCUSED)):  # not the box before it
                return
        pytest.fail(f"no Tab leads to {name!r} on {self.page.url}")

    def type(self, words: str) -> None:
        self.page.keyboard.type(words)

    def enter(self) -> None:
        """Follows a link or sends a form."""
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")


def log_in(page: Page, who: str = "root") -> None:
    page.goto("/admin/")
    page.get_by_label("Username").fill(who)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def resent(id: str, times: int = 1) -> bool:
    return query("SELECT resends FROM notifications WHERE notification_id = %s", id) == [(times,)]


def find_and_resend(page: Page, user: str, id: str) -> None:
    page.locator("#nav-sidebar").get_by_role("link", name=re.compile("Notifications")).click()
    page.get_by_role("textbox").first.fill(user)
    page.get_by_role("textbox").first.press("Enter")
    page.get_by_role("link", name=id).first.click()
    expect(page.locator("#main")).to_contain_text("no device")
    page.get_by_role("link", name="Resend").click()
    page.get_by_label("Reason").fill("the app is installed again")
    page.get_by_role("button", name="Resend").click()
    expect(page.locator("body")).to_contain_text("sent again")


def test_somebody_who_knows_only_the_user_finds_the_cause_and_sends_it_again(visit, console):
    id = console.send("nodevice-lea")
    eventually(lambda: status(id) == "skipped")
    page = visit(who="").page
    log_in(page)
    find_and_resend(page, "nodevice-lea", id)
    eventually(lambda: resent(id) and status(id) == "skipped", what="a resend")


@pytest.mark.parametrize("window", [{}, {"viewport": NARROW}], ids=["wide", "narrow"])
def test_without_javascript_the_same_is_possible(window, visit, console):
    id = console.send("nodevice-max")
    eventually(lambda: status(id) == "skipped")
    page = visit(who="", java_script_enabled=False, **window).page
    log_in(page)
    find_and_resend(page, "nodevice-max", id)
    eventually(lambda: resent(id), what="a resend")


def test_by_keyboard_one_step_leads_past_the_menu(visit, console):
    page = visit().look(PAGES["notifications"]())
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_in_viewport()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('#content') !== null")


def test_what_saves_a_role_is_always_in_view(visit, console):
    page = visit().look(PAGES["role"]())
    expect(page.get_by_role("button", name="Save", exact=True)).to_be_in_viewport()


def test_by_keyboard_alone_from_the_login_to_the_resend(visit, console):
    id = console.send("nodevice-noa")
    eventually(lambda: status(id) == "skipped")
    page = visit(who="").look("/admin/")
    keyboard = Keyboard(page)
    for name, words in (("Username", "root"), ("Password", PASSWORD)):
        keyboard.go_to(name)
        keyboard.type(words)
    keyboard.enter()
    keyboard.go_to("Notifications")
    keyboard.enter()
    keyboard.go_to("searchbar")
    keyboard.type("nodevice-noa")
    keyboard.enter()
    keyboard.go_to(id)
    keyboard.enter()
    keyboard.go_to("Resend")
    keyboard.enter()
    keyboard.go_to("Reason")
    keyboard.type("they asked for it")
    keyboard.go_to("Resend")
    keyboard.enter()
    expect(page.locator("body")).to_contain_text("sent again")
    eventually(lambda: resent(id), what="a resend")
