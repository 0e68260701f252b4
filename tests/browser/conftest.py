"""One browser, one site and one world for all tests; what breaks down comes last."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.test.utils import setup_databases, teardown_databases
from playwright.sync_api import Browser, BrowserContext, sync_playwright

from tests.browser import chromium, world
from tests.browser.visitor import Visitor
from tests.browser.world import World
from tests.rabbit import RabbitNode
from tests.world import emptied

os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # Playwright's loop runs in the thread that asks the database


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[Any]) -> None:
    """Once the world has broken down, nothing is sent any more."""
    items.sort(key=lambda item: "broken_world" in getattr(item, "fixturenames", ()))


@pytest.fixture(scope="session")
def database(django_db_blocker: Any) -> Iterator[None]:
    """A test database that nobody empties: what one test has made, the next may find."""
    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False)
        yield
        teardown_databases(made, verbosity=0)


@pytest.fixture(scope="session")
def console(database: None, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A world in which every ending has happened, and all is well again."""
    world.people()
    with world.living(tmp_path_factory.mktemp("console"), emptied(rabbitmq)) as living:
        yield living


@pytest.fixture(scope="session")
def broken_world(console: World) -> World:
    """The same, with a 429 storm and an open breaker."""
    world.break_down(console)
    return console


@pytest.fixture(scope="session")
def empty_console(console: World, rabbitmq: RabbitNode, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a console to which nothing has happened yet."""
    with world.empty_site(tmp_path_factory.mktemp("empty"), rabbitmq) as address:
        yield address


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium.install(), args=chromium.options())
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser, console: World) -> Iterator[Callable[..., Visitor]]:
    """Opens a window for somebody who has logged in, or for nobody (`who=""`); nothing must have gone wrong in it."""
    windows: list[BrowserContext] = []
    visitors: list[Visitor] = []

    def open_window(who: str = "root", address: str = console.address, **options: Any) -> Visitor:
        windows.append(browser.new_context(base_url=address, reduced_motion="reduce", **options))
        if who:
            cookie = {"name": "sessionid", "value": world.log_in(address, who), "url": address}
            windows[-1].add_cookies([cookie])
        visitors.append(Visitor(windows[-1].new_page(), address))
        return visitors[-1]

    yield open_window
    for window in windows:
        window.close()
    assert [trouble for visitor in visitors for trouble in visitor.troubles] == []
