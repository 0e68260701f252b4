"""Who sees what of a push: nothing of what it says, that with secrets masked, or all of it, each look written down."""

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client

from deliveries.models import AuditEntry, Notification, PushDelivery
from tests.console import TOKEN, delivery, notification, opened, page_of, text

SECRET = "the-secret-of-ada"
BOTH = [Notification, PushDelivery]

pytestmark = pytest.mark.django_db


def pushed() -> dict:
    """A notification with a secret in its request and a text, and its delivery."""
    asked = {"notification_id": "n-1", "user_id": "u-1", "title": "Hi", "variables": {"api_key": SECRET, "who": "Ada"}}
    row = notification("n-1", request=asked)
    sent = delivery(row, title="Hi Ada", body="The kettle boils", data={"password": SECRET, "screen": "home"})
    return {Notification: row, PushDelivery: sent}


def person(*permissions: str) -> Client:
    """Somebody who may look, and what else is named."""
    user = User.objects.create_user("bob", is_staff=True)
    looks = ["view_notification", "view_pushdelivery"]
    user.user_permissions.set(Permission.objects.filter(codename__in=[*looks, *permissions]))
    client = Client()
    client.force_login(user)
    return client


def raw(row) -> str:
    return opened(row).replace("/change/", "/raw/")


@pytest.mark.parametrize("model", BOTH)
def test_without_the_permission_nothing_is_shown_of_what_it_says(model):
    shown = page_of(person(), pushed()[model])
    for said in ("Ada", "kettle", "home", SECRET):
        assert said not in shown
    assert "roles operator and admin" in shown


@pytest.mark.parametrize("model", BOTH)
def test_with_it_the_payload_is_shown_with_its_secrets_masked(model):
    shown = page_of(person("payload"), pushed()[model])
    for said in ('"title": "Hi Ada"', "The kettle boils", '"screen": "home"', '"who": "Ada"', " of 4096 bytes"):
        assert said in shown
    assert SECRET not in shown
    assert TOKEN not in shown


@pytest.mark.parametrize("model", BOTH)
def test_unmasked_it_is_shown_for_a_reason_once_and_written_down(model):
    row = pushed()[model]
    client = person("raw")
    assert raw(row) in client.get(opened(row)).content.decode()
    assert TOKEN not in client.get(raw(row)).content.decode()
    assert not AuditEntry.objects.exists()
    for reason in ("", "  "):
        assert "This field is required" in text(client.post(raw(row), {"reason": reason}))
    assert not AuditEntry.objects.exists()
    for number in (1, 2):
        page = client.post(raw(row), {"reason": " the customer asks "})
        assert "no-store" in page["Cache-Control"]
        for said in (TOKEN, SECRET, "The kettle boils"):
            assert said in text(page)
        assert AuditEntry.objects.count() == number
    entry = AuditEntry.objects.latest("id")
    assert (entry.actor, entry.action, entry.subject, entry.reason) == (
        "user bob",
        "look",
        "n-1",
        "the customer asks",
    )
    assert entry.detail == {"table": model._meta.verbose_name, "row": str(row.pk)}
    assert TOKEN not in client.get(raw(row)).content.decode()
    assert "user bob look the customer asks" in page_of(client, row)


@pytest.mark.parametrize("model", BOTH)
def test_who_may_not_look_unmasked_sees_no_button_and_no_page(model):
    row = pushed()[model]
    client = person("payload", "operate", "force")
    assert "/raw/" not in client.get(opened(row)).content.decode()
    assert client.get(raw(row)).status_code == 403
    assert client.post(raw(row), {"reason": "because"}).status_code == 403
    assert not AuditEntry.objects.exists()


def test_of_what_is_not_there_nothing_is_shown(admin_client):
    pushed()
    for id in ("n-2", "_00"):
        address = raw(Notification.objects.get()).replace("n-1", id)
        assert admin_client.post(address, {"reason": "because"}).status_code == 404
