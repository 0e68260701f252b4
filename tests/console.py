"""Rows for the console to show, and what a person reads of its pages."""

import hashlib
import re
from datetime import timedelta
from html import unescape
from uuid import uuid4

from django.contrib import admin
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.models import Brake, DeadLetter, DeadToken, Notification, PushDelivery

TOKEN = "dGVzdC1kZXZpY2UtdG9rZW4:APA91b" + "Qw3rTy-_" * 15


def notification(name: str, **more) -> Notification:
    now = timezone.now()
    fields = {
        "notification_id": name,
        "user_id": "u-1",
        "correlation_id": f"corr-{name}",
        "source": "api",
        "request": {"notification_id": name, "user_id": "u-1", "title": "Hello"},
        "accept_token": 1,
        "expires_at": now + timedelta(hours=1),
        "created_at": now,
        "next_attempt_at": now,
    }
    Notification.objects.bulk_create([Notification(**fields | more)])
    return Notification.objects.get(pk=name)


def delivery(of: Notification, token: str = TOKEN, **more) -> PushDelivery:
    return PushDelivery.objects.create(notification=of, user_id=of.user_id, device_token=token, provider="fcm", **more)


def dead_letter(body: bytes, **more) -> DeadLetter:
    fields = {"size": len(body), "code": "invalid_message", "reasons": ["user_id: Field required"]}
    return DeadLetter.objects.create(body_hash=uuid4().hex, body=body, **fields | more)


def dead_token(token: str, **more) -> DeadToken:
    fields = {"user_id": "u-1", "provider": "fcm", "error_code": "UNREGISTERED", "notification_id": "n-1"}
    hashed = hashlib.sha256(token.encode()).hexdigest()
    return DeadToken.objects.create(token_hash=hashed, device_token=token, **fields | more)


def brake(scope: str = "project", *, ends_in: float = 42.0, key: str = "fcm", **more) -> Brake:
    fields = {
        "subject": "fcm",
        "provider": "fcm",
        "code": "RATE_LIMIT_EXCEEDED",
        "advice": "The project's sends per minute are used up; FCM asks to wait.",
        "notification_id": "n-1",
        "until": timezone.now() + timedelta(seconds=ends_in),
        "round": 7,
        "pace": 600.0,
        "full_pace": 600.0,
    }
    return Brake.objects.create(scope=scope, key=key, **fields | more)


def listed(model, query: str = "") -> str:
    return reverse(f"admin:deliveries_{model._meta.model_name}_changelist") + query


def opened(row) -> str:
    name = f"admin:deliveries_{row._meta.model_name}_change"
    return reverse(name, args=[admin.utils.quote(row.pk)])


def text(response) -> str:
    """What a person reads on a page, without its menu."""
    assert response.status_code == 200
    return text_of(response.content.decode())


def text_of(html: str) -> str:
    main = html.partition('<div id="main"')[2].partition(">")[2].partition('<div id="modal-overlay"')[0] or html
    shown = re.sub(r"<(script|style|template)\b.*?</\1>", " ", main, flags=re.DOTALL)
    shown = re.sub(r"<span[^>]*material-symbols-outlined[^>]*>[^<]*</span>", " ", shown)  # icons are words to a font
    return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]*>", " ", shown))).strip()


def page_of(client: Client, row) -> str:
    return text(client.get(opened(row)))


def form_of(page) -> dict[str, list[str]]:
    """What the confirmation's form carries."""
    fields: dict[str, list[str]] = {}
    for tag in re.findall(r'<input type="hidden"[^>]*>', page.content.decode()):
        [name], [value] = re.findall(r'name="([^"]*)"', tag), re.findall(r'value="([^"]*)"', tag)
        fields.setdefault(unescape(name), []).append(unescape(value))
    return fields
