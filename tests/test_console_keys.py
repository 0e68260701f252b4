"""API keys are made in the console and shown once; nobody but who may makes or revokes one."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.sessions.models import Session
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from deliveries.api import keys
from deliveries.models import ApiKey, AuditEntry
from tests.console import form_of, listed, page_of, text

ADD = "/admin/deliveries/apikey/add/"
REVOKE = "/admin/deliveries/apikey/revoke/"
SHOP = {"name": "shop", "scopes": ["read", "operate"], "expires_at": ""}

pytestmark = pytest.mark.django_db


def shown_key(answer) -> str:
    """The one key on a page."""
    [key] = re.findall(r"push_[\w-]{43}", answer.content.decode())
    return key


def key_row(name: str, **more) -> ApiKey:
    return ApiKey.objects.create(name=name, key_hash=name, **more)


def test_a_made_key_is_shown_once_and_is_valid_as_asked(admin_client):
    until = timezone.now().replace(second=0, microsecond=0) + timedelta(days=30)
    answer = admin_client.post(ADD, SHOP | {"expires_at": f"{until:%Y-%m-%dT%H:%M}"})
    found = keys.find(shown_key(answer).encode())
    assert found is not None
    assert (found.name, found.scopes, found.expires_at) == ("shop", ["read", "operate"], until)
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == ("user admin", "key made", "shop")


def test_a_shown_key_stays_in_no_cache_cookie_session_or_page(admin_client):
    answer = admin_client.post(ADD, SHOP)
    key = shown_key(answer)
    assert "no-store" in answer["Cache-Control"]
    assert "Location" not in answer
    assert key not in str(answer.cookies)
    assert not any(key in str(session.get_decoded()) for session in Session.objects.all())
    pages = [listed(ApiKey), ADD, reverse("admin:deliveries_apikey_change", args=[ApiKey.objects.get().pk])]
    for url in (*pages, listed(AuditEntry)):
        html = admin_client.get(url).content.decode()
        assert key not in html
        assert ApiKey.objects.get().key_hash not in html


def test_the_form_starts_with_what_most_need(admin_client):
    html = admin_client.get(ADD).content.decode()
    ticked = re.findall(r'<input[^>]* value="([a-z]+)"[^>]* checked[ >]', html)
    assert ticked == ["read", "send"]


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"name": ""}, "This field is required"),
        ({"name": "x" * 101}, "at most 100 characters"),
        ({"name": "taken"}, "There is a valid key of this name. Take another name, or revoke that key first."),
        ({"name": "sh\u200bop"}, "1 to 100 printable characters"),
        ({"scopes": []}, "This field is required"),
        ({"scopes": ["everything"]}, "not one of the available choices"),
        ({"expires_at": "2020-01-01T00:00"}, "This is in the past"),
        ({"expires_at": "soon"}, "Enter a valid date/time"),
    ],
)
def test_a_key_that_cannot_be_is_refused_in_a_sentence(admin_client, wrong, sentence):
    taken = keys.create("taken", actor="shell test").key
    answer = admin_client.post(ADD, SHOP | wrong)
    assert sentence in text(answer)
    assert "push_" not in answer.content.decode()
    assert ApiKey.objects.count() == 1
    assert keys.find(taken.encode()) is not None


def test_the_list_tells_who_may_what_until_when(admin_client):
    soon, past = timezone.now() + timedelta(hours=1), timezone.now() - timedelta(hours=1)
    key_row("a-valid", scopes=["read"])
    key_row("b-until", scopes=["send", "operate"], expires_at=soon)
    key_row("c-over", expires_at=past)
    key_row("d-ended", expires_at=past, revoked_at=past)
    shown = text(admin_client.get(listed(ApiKey)))
    assert re.search(r"a-valid valid read .* b-until valid send operate .* c-over expired .* d-ended revoked", shown)
    assert "expired" in page_of(admin_client, ApiKey.objects.get(name="c-over"))


def test_the_name_of_a_key_that_is_over_can_be_used_again(admin_client):
    for over in ({"expires_at": timezone.now() - timedelta(hours=1)}, {"revoked_at": timezone.now()}):
        ApiKey.objects.update_or_create(name="shop", defaults={"key_hash": "x", "expires_at": None} | over)
        answer = admin_client.post(ADD, SHOP)
        assert keys.find(shown_key(answer).encode()) == ApiKey.objects.get()


def test_a_key_is_revoked_from_its_list_once_that_is_confirmed(admin_client):
    key = keys.create("shop", actor="shell test").key
    chosen = [ApiKey.objects.get().pk]
    asked = admin_client.post(listed(ApiKey), {"action": "revoke", "_selected_action": chosen})
    assert "Revoke 1 API key? Each ends at once" in text(asked)
    assert keys.find(key.encode()) is not None
    shown = admin_client.post(REVOKE, form_of(asked) | {"reason": "it leaked"}, follow=True)
    assert "1 revoked: calls" in text(shown)
    assert keys.find(key.encode()) is None
    assert "revoked" in page_of(admin_client, ApiKey.objects.get())
    entry = AuditEntry.objects.get(action="key revoked")
    assert (entry.actor, entry.subject, entry.reason) == ("user admin", "shop", "it leaked")
    assert "key revoked it leaked" in page_of(admin_client, ApiKey.objects.get())


def test_a_key_that_somebody_else_has_revoked_is_no_success(admin_client):
    keys.create("shop", actor="shell test")
    asked = admin_client.get(REVOKE, {"id": ApiKey.objects.get().pk})
    keys.revoke("shop", actor="user eve")
    shown = text(admin_client.post(REVOKE, form_of(asked), follow=True))
    assert "1 was not: shop: It is not valid any more." in shown
    assert "revoked:" not in shown


def test_who_may_only_look_makes_and_revokes_no_key(client):
    guest = User.objects.create_user("guest", password="guest", is_staff=True)
    guest.user_permissions.add(Permission.objects.get(codename="view_apikey"))
    key = keys.create("shop", actor="shell test").key
    client.force_login(guest)
    assert "Add API key" not in text(client.get(listed(ApiKey)))
    assert client.get(ADD).status_code == 403
    assert client.post(ADD, SHOP | {"name": "other"}).status_code == 403
    chosen = [ApiKey.objects.get().pk]
    client.post(listed(ApiKey), {"action": "revoke", "_selected_action": chosen})
    assert client.post(REVOKE, {"chosen": [f":{key}" for key in chosen]}).status_code == 403
    assert keys.find(key.encode()) is not None


def test_a_key_is_not_made_by_another_sites_form(admin_user):
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(ADD, SHOP).status_code == 403
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("may", [[], ["operate"], ["force"]])
def test_who_may_not_operate_and_force_makes_no_key_that_may_both(client, may):
    maker = User.objects.create_user("maker", is_staff=True)
    maker.user_permissions.set(Permission.objects.filter(codename__in=["view_apikey", "add_apikey", *may]))
    client.force_login(maker)
    assert "operate" not in text(client.get(ADD))
    assert "push_" not in client.post(ADD, SHOP).content.decode()
    assert not ApiKey.objects.exists()
    assert shown_key(client.post(ADD, SHOP | {"scopes": ["read"]}))
