"""Where a notification is, as answers say it."""

from __future__ import annotations

from urllib.parse import quote

from rest_framework.request import Request
from rest_framework.reverse import reverse


def notification(request: Request, notification_id: str) -> str:
    """Its address. All of the id is one segment: of `a/../b` a client, or a proxy, would make another address."""
    return f"{reverse('notifications', request=request)}{quote(notification_id, safe='')}/"
