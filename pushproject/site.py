"""The console's site: Django's admin in the theme's clothes, and what its pages may load."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from csp.decorators import csp_update
from django.urls import URLPattern
from unfold.sites import UnfoldAdminSite

#: What the theme needs beyond the policy of all other pages: Alpine evaluates the expressions that stand in its
#: attributes, and colours stand in style elements and attributes. docs/console.md says so too.
THEME_NEEDS = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}

#: Modules of pages that belong to no table; the function `urls` of each names their addresses.
PAGES = ("deliveries.console.providers", "deliveries.console.samples")


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    """The site at /admin/."""

    site_header = site_title = "Delivery console"
    index_title = "Push notifications and what became of them"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Every page of the console but the one to log in."""
        return csp_update(THEME_NEEDS)(super().admin_view(view, cacheable))

    def extra_urls(self) -> list[URLPattern]:
        """Asked by the theme, beside the addresses of all tables."""
        return [url for module in PAGES for url in import_module(module).urls(self)]

    def login(self, *args: Any, **kwargs: Any) -> Any:
        return csp_update(THEME_NEEDS)(super().login)(*args, **kwargs)
