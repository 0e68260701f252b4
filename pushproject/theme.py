"""The console's theme: its name, its colours, what its menu leads to, and what its pages may load."""

from __future__ import annotations

from typing import Any

from django.templatetags.static import static
from django.urls import reverse_lazy

#: For every page: nothing from elsewhere, no script and no style that does not stand in a file of ours. What the
#: console's pages need beyond that is said in pushproject.site.
CONTENT_SECURITY_POLICY: dict[str, Any] = {
    "DIRECTIVES": {
        "default-src": ["'none'"],
        "script-src": ["'self'"],
        "style-src": ["'self'"],
        "img-src": ["'self'", "data:"],
        "font-src": ["'self'"],
        "connect-src": ["'self'"],
        "form-action": ["'self'"],
        "frame-ancestors": ["'none'"],
        "base-uri": ["'none'"],
    }
}


def _page(title: str, icon: str, model: str) -> dict[str, Any]:
    """A link to the list of a table, for those who may look at it."""
    return {
        "title": title,
        "icon": icon,
        "link": reverse_lazy(f"admin:deliveries_{model}_changelist"),
        "permission": lambda request: request.user.has_perm(f"deliveries.view_{model}"),
    }


def _is_superuser(request: Any) -> bool:
    return bool(request.user.is_superuser)


UNFOLD: dict[str, Any] = {
    "SITE_TITLE": "Delivery console",
    "SITE_HEADER": "Delivery console",
    "SITE_SUBHEADER": "Push notifications",
    "SITE_SYMBOL": "notifications_active",
    "SITE_FAVICONS": [{"rel": "icon", "type": "image/svg+xml", "href": lambda _: static("deliveries/icon.svg")}],
    "SITE_URL": None,
    "DASHBOARD_CALLBACK": "deliveries.console.dashboard.context",
    "SHOW_HISTORY": False,
    "SHOW_VIEW_ON_SITE": False,
    "BORDER_RADIUS": "6px",
    "STYLES": [lambda _: static("deliveries/console.css")],
    "SCRIPTS": [lambda _: static("deliveries/console.js")],
    "SIDEBAR": {
        "navigation": [
            {"items": [{"title": "Dashboard", "icon": "monitoring", "link": reverse_lazy("admin:index")}]},
            {
                "title": "What became of it",
                "separator": True,
                "items": [
                    _page("Notifications", "notifications", "notification"),
                    _page("Deliveries", "smartphone", "pushdelivery"),
                    _page("Dead letters", "mail_off", "deadletter"),
                    _page("Dead tokens", "phonelink_erase", "deadtoken"),
                ],
            },
            {
                "title": "What carries it",
                "separator": True,
                "items": [
                    _page("Workers", "memory", "worker"),
                    {
                        "title": "Providers",
                        "icon": "cell_tower",
                        "link": reverse_lazy("admin:providers"),
                        "permission": lambda request: request.user.has_perm("deliveries.view_worker"),
                    },
                    _page("Brakes", "traffic", "brake"),
                ],
            },
            {
                "title": "Who may",
                "separator": True,
                "items": [
                    _page("API keys", "key", "apikey"),
                    _page("Audit log", "fact_check", "auditentry"),
                    {
                        "title": "Users",
                        "icon": "group",
                        "link": reverse_lazy("admin:auth_user_changelist"),
                        "permission": _is_superuser,
                    },
                    {
                        "title": "Roles",
                        "icon": "shield_person",
                        "link": reverse_lazy("admin:auth_group_changelist"),
                        "permission": _is_superuser,
                    },
                ],
            },
        ]
    },
}
