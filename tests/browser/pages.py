"""Every page of the console, by name: where it is in a world in which things have happened."""

from collections.abc import Callable
from urllib.parse import urlencode

from django.contrib.admin.utils import quote
from django.contrib.auth.models import Group, User
from django.db.models import Model
from django.urls import reverse

from deliveries import redriving
from deliveries.models import ApiKey, AuditEntry, Brake, DeadLetter, DeadToken, Notification, PushDelivery, Worker

Where = Callable[[], str]


def lists(model: str, **query: str) -> Where:
    return lambda: reverse(f"admin:{model}_changelist", query=query or None)


def one(row: Callable[[], Model | None]) -> Where:
    def where() -> str:
        found = row()
        assert found is not None, "the world has no such row"
        return reverse(f"admin:{found._meta.label_lower.replace('.', '_')}_change", args=[quote(found.pk)])

    return where


def confirms(operation: str, row: Callable[[], Model | None]) -> Where:
    def where() -> str:
        found = row()
        assert found is not None, "the world has no such row"
        name = f"admin:{found._meta.label_lower.replace('.', '_')}_{operation}"
        return f"{reverse(name)}?{urlencode({'id': found.pk})}"

    return where


def notification(**fields: str) -> Callable[[], Notification | None]:
    return lambda: Notification.objects.filter(**fields).order_by("-created_at").first()


def delivery(**fields: str) -> Callable[[], PushDelivery | None]:
    return lambda: PushDelivery.objects.filter(**fields).order_by("-id").first()


def letter(code: str = "invalid_message") -> DeadLetter | None:
    return DeadLetter.objects.filter(state="open", code=code).order_by("id").first()


def exhausted_letter() -> DeadLetter | None:
    return letter("exhausted")


def token() -> DeadToken | None:
    return DeadToken.objects.order_by("id").first()


def cause(operation: str) -> Where:
    def where() -> str:
        first = redriving.causes()[0]
        return reverse(f"admin:deliveries_deadletter_causes_{operation}", query={"code": first.code, "key": first.key})

    return where


def raw(row: Callable[[], Model | None]) -> Where:
    return lambda: one(row)().replace("/change/", "/raw/")


def brake() -> Brake | None:
    return Brake.objects.filter(scope="project").first() or Brake.objects.first()


PAGES: dict[str, Where] = {
    "dashboard": lambda: reverse("admin:index"),
    "notifications": lists("deliveries_notification"),
    "notifications-of-a-user": lists("deliveries_notification", q="ada"),
    "notifications-failed": lists("deliveries_notification", status__exact="failed"),
    "notification-sent": one(notification(user_id="multi-bea")),
    "notification-failed": one(notification(user_id="dead-dan")),
    "notification-exhausted": one(notification(error_code="exhausted")),
    "notification-waiting": one(notification(status="pending")),
    "deliveries": lists("deliveries_pushdelivery"),
    "delivery": one(delivery(status="sent")),
    "delivery-failed": one(delivery(status="failed")),
    "dead-letters": lists("deliveries_deadletter"),
    "dead-letter": one(letter),
    "dead-letters-by-reason": lambda: reverse("admin:deliveries_deadletter_causes"),
    "redrive-a-reason": cause("redrive"),
    "discard-a-reason": cause("discard"),
    "unmasked": raw(letter),
    "unmasked-notification": raw(notification(user_id="multi-bea")),
    "dead-tokens": lists("deliveries_deadtoken"),
    "dead-token": one(token),
    "workers": lists("deliveries_worker"),
    "worker": one(Worker.objects.first),
    "providers": lambda: reverse("admin:providers"),
    "pause": lambda: reverse("admin:pause_provider", args=["fcm"]),
    "brakes": lists("deliveries_brake"),
    "brake": one(brake),
    "api-keys": lists("deliveries_apikey"),
    "api-key": one(ApiKey.objects.first),
    "new-key": lambda: reverse("admin:deliveries_apikey_add"),
    "audit-log": lists("deliveries_auditentry"),
    "audit-entry": one(AuditEntry.objects.first),
    "users": lists("auth_user"),
    "user": one(User.objects.first),
    "roles": lists("auth_group"),
    "role": one(Group.objects.first),
    "resend": confirms("resend", notification(status="failed")),
    "cancel": confirms("cancel", notification(status="pending")),
    "redrive": confirms("redrive", letter),
    "discard": confirms("discard", letter),
    "forget": confirms("forget", token),
    "believe": confirms("believe", token),
    "lift": confirms("lift", brake),
    "revoke": confirms("revoke", ApiKey.objects.first),
}

#: The lists, which say what to do where they are empty.
LISTS = (
    "notifications",
    "deliveries",
    "dead-letters",
    "dead-letters-by-reason",
    "dead-tokens",
    "workers",
    "brakes",
    "api-keys",
    "audit-log",
)
