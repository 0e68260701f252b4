"""An open page follows what happens, and whoever looks at it keeps their place."""

import re

import pytest
from playwright.sync_api import Page, expect

from deliveries import operations
from deliveries.operations import Who
from tests.browser import pages
from tests.browser.visitor import Visitor
from tests.browser.world import World
from tests.world import eventually, query

pytestmark = pytest.mark.browser

OLGA = Who("user olga", "a test")
A_WHILE = 6_000  # milliseconds: more than a page waits before it looks again
HIDE = """hidden => {
  Object.defineProperty(document, "visibilityState", { configurable: true, get: () => hidden ? "hidden" : "visible" });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
STANDING = "#standing"


@pytest.fixture
def waiting(console) -> str:
    """The id of a notification that waits until its device may be sent to again."""
    return waits(console, f"quota-live-{len(console.ids)}")


def waits(console: World, user: str) -> str:
    id = console.send(user)
    eventually(lambda: query("SELECT 1 FROM brakes WHERE notification_id = %s", id), what="a brake")
    return id


def open_page(visitor: Visitor, id: str) -> Page:
    visitor.page.clock.install()
    page = visitor.look(pages.one(pages.notification(notification_id=id))())
    page.evaluate("window.sameDocument = true")
    return page


def cancel(id: str) -> None:
    operations.cancel([id], OLGA)
    eventually(lambda: query("SELECT 1 FROM notifications WHERE notification_id = %s AND status = 'cancelled'", id))


def test_a_new_state_is_shown_without_a_reload_and_nothing_moves(visit, waiting):
    page = open_page(visit(viewport={"width": 1440, "height": 500}), waiting)
    page.locator("summary", has_text="root").click()
    page.get_by_role("button", name="Dark").focus()
    page.mouse.move(900, 300)
    page.mouse.wheel(0, 200)
    page.wait_for_function("scrollY === 200")
    expect(page.get_by_role("link", name="Cancel", exact=True)).to_be_visible()
    cancel(waiting)
    page.clock.fast_forward(A_WHILE)
    expect(page.locator(STANDING)).to_contain_text("cancelled")
    expect(page.get_by_role("link", name="Resend", exact=True)).to_be_visible()
    expect(page.get_by_role("button", name="Dark")).to_be_focused()
    assert page.evaluate("[sameDocument, scrollY]") == [True, 200]


@pytest.mark.parametrize(
    ("take", "let_go"),
    [
        ("getSelection().selectAllChildren(standing)", "getSelection().removeAllRanges()"),
        ("standing.tabIndex = 0; standing.focus()", "standing.blur()"),
        ("standing.innerHTML += '<input type=checkbox id=box>'; box.checked = true", "box.checked = false"),
    ],
    ids=["marked text", "focus", "a ticked box"],
)
def test_nothing_is_taken_from_under_somebodys_hands(take, let_go, visit, waiting):
    page = open_page(visit(), waiting)
    page.evaluate(f"() => {{ {take} }}")
    cancel(waiting)
    with page.expect_response(lambda answer: waiting in answer.url):
        page.clock.fast_forward(A_WHILE)
    expect(page.locator("#timeline")).to_contain_text("Ended: cancelled")  # the rest of the page goes on
    assert "was cancelled" not in page.inner_text(STANDING)
    page.evaluate(f"() => {{ {let_go} }}")
    page.clock.fast_forward(A_WHILE)
    expect(page.locator(STANDING)).to_contain_text("cancelled")


def test_a_page_that_nobody_sees_asks_nothing_until_it_is_seen_again(visit, waiting):
    page = open_page(visit(), waiting)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.evaluate(HIDE, True)
    page.clock.run_for(10 * A_WHILE)
    assert asked == []
    cancel(waiting)
    page.evaluate(HIDE, False)
    page.clock.fast_forward(10)
    expect(page.locator(STANDING)).to_contain_text("cancelled")


def test_a_page_whose_server_does_not_answer_says_since_when(visit, waiting):
    visitor = visit()
    page = open_page(visitor, waiting)
    page.context.set_offline(True)
    page.clock.fast_forward(A_WHILE)
    expect(page.locator("#not-live")).to_contain_text("Not live since")
    page.context.set_offline(False)
    cancel(waiting)
    page.clock.fast_forward(3 * A_WHILE)
    expect(page.locator(STANDING)).to_contain_text("cancelled")
    expect(page.locator("#not-live")).to_have_count(0)
    assert all("INTERNET_DISCONNECTED" in trouble for trouble in visitor.troubles)
    visitor.troubles.clear()


def test_whose_session_is_over_comes_to_the_login(visit, waiting):
    page = open_page(visit(), waiting)
    page.context.clear_cookies()
    page.clock.fast_forward(A_WHILE)
    expect(page).to_have_url(re.compile("/admin/login/"))
