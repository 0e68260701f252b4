"""The console's site: Django's admin in the theme's clothes, and what its pages may load."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from csp.decorators import csp_update
from django.urls import path
from unfold.sites import UnfoldAdminSite

#: What the theme needs beyond the policy of all other pages: Alpine evaluates the expressions that stand in its
#: attributes, and colours stand in style elements and attributes. docs/console.md says so too.
THEME_NEEDS = {"script-src": ["'unsafe-eval'"], "style-src": ["'unsafe-inline'"]}


class ConsoleSite(UnfoldAdminSite):  # type: ignore[misc]
    """The site at /admin/."""

    site_header = site_title = "Delivery console"
    index_title = "Push notifications and what became of them"

    def admin_view(self, view: Callable[..., Any], cacheable: bool = False) -> Callable[..., Any]:
        """Every page of the console but the one to log in."""
        return csp_update(THEME_NEEDS)(super().admin_view(view, cacheable))

    def get_urls(self) -> list[Any]:
        """With the pages that belong to no table."""
        from deliveries.console.samples import remove_samples  # noqa: PLC0415 - it imports this site

        return [path("samples/remove/", self.admin_view(remove_samples), name="remove_samples"), *super().get_urls()]

    def login(self, *args: Any, **kwargs: Any) -> Any:
        return csp_update(THEME_NEEDS)(super().login)(*args, **kwargs)
