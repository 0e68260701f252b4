"""Brakes in console and health: what is held up, why, until when; an operator may lift it, and that is kept."""

import re
from datetime import timedelta
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries import health, operations
from deliveries.ledger import Wake, direct
from deliveries.masking import token_hash
from deliveries.models import AuditEntry, Brake, Notification, PushDelivery
from deliveries.operations import Who
from tests.console import TOKEN, brake, delivery, form_of, listed, notification, opened, page_of, text
from tests.test_health import work

pytestmark = pytest.mark.django_db(transaction=True)


def waiting(name: str, **more) -> PushDelivery:
    later = timezone.now() + timedelta(minutes=5)
    row = notification(name, next_attempt_at=later)
    return delivery(row, f"{TOKEN}{name}", next_attempt_at=later, **more)


def due() -> list[str]:
    return sorted(Notification.objects.filter(next_attempt_at__lte=timezone.now()).values_list("pk", flat=True))


def lift_page(client: Client, *rows: Brake):
    address = reverse("admin:deliveries_brake_lift")
    return client.get(f"{address}?{urlencode({'id': [row.pk for row in rows]}, doseq=True)}")


def operator(*permissions: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_brake", *permissions]))
    client = Client()
    client.force_login(user)
    return client


@pytest.mark.parametrize(
    ("ends_in", "words"),
    [(42, "nothing is sent: it ends in 4"), (-20, "sends climb back to 600 a second"), (-90, "over: it ended 1 min")],
)
def test_list_and_page_say_what_is_held_up_why_and_for_how_long(admin_client, ends_in, words):
    row = brake(ends_in=ends_in)
    for page in (text(admin_client.get(listed(Brake))), page_of(admin_client, row)):
        for shown in ("project", "fcm", "RATE_LIMIT_EXCEEDED", words, "FCM asks to wait", "n-1"):
            assert shown in page, shown
    assert (
        reverse("admin:deliveries_notification_change", args=["n-1"]) in admin_client.get(opened(row)).content.decode()
    )


def test_a_brake_leads_to_who_met_it_whatever_its_id(admin_client):
    met = notification("order_23")
    assert f'href="{opened(met)}"' in admin_client.get(opened(brake(notification_id=met.pk))).content.decode()
    assert "order_23" in page_of(admin_client, met)


def test_lists_of_pushes_say_what_holds_all_of_them_up_and_nothing_of_one_device(admin_client):
    brake("device", key=token_hash(TOKEN), subject="#12345678")
    for model in (Notification, PushDelivery):
        assert "throttled" not in text(admin_client.get(listed(model)))
    brake()
    brake("process", key="w/fcm", subject="worker 1234 on a-host", code="UNAUTHENTICATED", ends_in=9)
    for model in (Notification, PushDelivery):
        page = text(admin_client.get(listed(model)))
        assert re.search(r"FCM throttled until [\d:]{8} UTC, nothing waiting \(RATE_LIMIT_EXCEEDED since", page)
        assert re.search(r"FCM does not let worker 1234 on a-host in since [\d:]{8} UTC: UNAUTHENTICATED\.", page)
    Brake.objects.update(until=timezone.now())
    assert "throttled" not in text(admin_client.get(listed(Notification)))
    Brake.objects.filter(scope="project").update(taken=120)
    page = text(admin_client.get(listed(Notification)))
    assert re.search(r"FCM was throttled until .*: sends climb back to 600 a second", page)


def test_lifting_asks_once_and_is_kept_in_the_audit_log(admin_client):
    row = brake()
    waiting("n-1", brake_round=7)
    waiting("n-2", brake_round=8)
    page = lift_page(admin_client, row)
    assert "Lift 1 brake?" in text(page)
    assert due() == []
    done = admin_client.post(
        reverse("admin:deliveries_brake_lift"), form_of(page) | {"reason": "the quota is raised"}, follow=True
    )
    assert "lifted: what waited for it is due" in text(done)
    assert direct.write([Wake(100)]) == [1], "as the workers do"
    assert due() == ["n-1"]
    row.refresh_from_db()
    assert row.until <= timezone.now()
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject, entry.reason) == (
        "user admin",
        "lift",
        "fcm",
        "the quota is raised",
    )
    assert "the quota is raised" in page_of(admin_client, row)


def test_what_is_over_or_gone_is_not_lifted():
    row = brake(ends_in=-90)
    assert [outcome.code for outcome in operations.lift([row.pk, row.pk + 1], Who("user ada"))] == ["over", "over"]
    assert not AuditEntry.objects.exists()


def test_only_those_who_may_operate_can_lift():
    row = brake()
    looker = operator()
    assert lift_page(looker, row).status_code == 403
    assert "/lift/" not in looker.get(opened(row)).content.decode()
    User.objects.all().delete()
    assert lift_page(operator("operate"), row).status_code == 200


@pytest.mark.parametrize(
    ("scopes", "told", "status"),
    [
        (["device"], {"on": 1, "project": False, "process": False}, "ok"),
        (["device", "project"], {"on": 2, "project": True, "process": False}, "degraded"),
        (["process"], {"on": 1, "project": False, "process": True}, "degraded"),
    ],
)
def test_health_counts_the_brakes_and_calls_those_degraded_that_hold_everything_up(
    client, monkeypatch, scopes, told, status
):
    monkeypatch.setattr(health, "rabbitmq", lambda: {"status": "embedded"})
    Brake.objects.all().delete()
    for scope in scopes:
        brake(scope, key=scope)
    brake("topic", key="over", ends_in=-1)
    work(fcm="closed")
    answer = client.get("/api/v1/health").json()
    assert (answer["brakes"], answer["status"]) == (told, status)


@pytest.mark.parametrize(("taken", "crowded"), [(4.0, False), (3600.0, True)])
def test_health_counts_a_pause_that_is_over_but_after_which_the_last_have_long_to_wait(
    client, monkeypatch, taken, crowded
):
    monkeypatch.setattr(health, "rabbitmq", lambda: {"status": "embedded"})
    brake(ends_in=-1, taken_urgent=taken)
    work(fcm="closed")
    answer = client.get("/api/v1/health").json()
    assert (answer["brakes"]["project"], answer["status"]) == (crowded, "degraded" if crowded else "ok")
