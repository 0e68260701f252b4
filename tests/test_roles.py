"""The roles viewer, operator and admin: made by a migration, also on an empty database, and left to people then."""

from importlib import import_module

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from deliveries.models import ApiKey, AuditEntry, DeadLetter
from tests.console import TOKEN, dead_letter, listed, opened, page_of, text

roles = import_module("deliveries.migrations.0013_roles")

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def made():
    """As after the migration: tests that empty the database take its roles away, too."""
    roles.make_roles(apps, None)


def of(role: str, name: str = "bob") -> Client:
    user = User.objects.create_user(name, is_staff=True)
    user.groups.add(Group.objects.get(name=role))
    client = Client()
    client.force_login(user)
    return client


def permissions(role: str) -> set[str]:
    found = Group.objects.get(name=role).permissions.values_list("content_type__app_label", "codename")
    return {".".join(one) for one in found}


# Making them


def test_each_role_may_what_the_one_before_may_and_more():
    viewer, operator, chief = (permissions(role) for role in ("viewer", "operator", "admin"))
    models = apps.get_app_config("deliveries").get_models()
    assert viewer == {f"deliveries.view_{model._meta.model_name}" for model in models}
    assert operator - viewer == {"deliveries.operate", "deliveries.payload"}
    assert viewer < operator < chief
    assert chief - operator == {
        "deliveries.force",
        "deliveries.raw",
        "deliveries.add_apikey",
        "deliveries.change_apikey",
        *(f"auth.{verb}_{model}" for verb in ("view", "add", "change") for model in ("user", "group")),
    }


def every_permission() -> set[tuple[str, ...]]:
    """Ours with their names; what Django calls groups the console calls roles, and once that was not so."""
    every = Permission.objects.values_list("content_type__app_label", "content_type__model", "codename", "name")
    return {one if one[0] == "deliveries" else one[:3] for one in every}


def test_on_an_empty_database_the_permissions_are_those_that_django_would_make():
    before = every_permission()
    Group.objects.all().delete()
    Permission.objects.all().delete()
    ContentType.objects.all().delete()
    ContentType.objects.clear_cache()
    roles.make_roles(apps, None)
    assert every_permission() < before
    call_command("migrate", verbosity=0)
    assert every_permission() == before
    assert "deliveries.operate" in permissions("operator")


def test_what_people_have_made_of_a_role_stays_theirs():
    Group.objects.get(name="viewer").permissions.clear()
    Group.objects.get(name="admin").delete()
    roles.make_roles(apps, None)
    assert permissions("viewer") == set()
    assert "deliveries.raw" in permissions("admin")


def test_going_back_takes_only_roles_that_nobody_has_and_nobody_changed():
    of("operator")
    Group.objects.get(name="viewer").permissions.clear()
    roles.take_roles(apps, None)
    assert set(Group.objects.values_list("name", flat=True)) == {"viewer", "operator"}


# What they may


@pytest.mark.parametrize("role", ["viewer", "operator", "admin"])
def test_every_role_sees_every_table(role):
    client = of(role)
    tables = [model for model in admin.site._registry if model._meta.app_label == "deliveries"]
    assert len(tables) > 5
    for model in tables:
        assert client.get(listed(model)).status_code == 200


@pytest.mark.parametrize(
    ("role", "menu"),
    [("viewer", {"API keys", "Audit log"}), ("admin", {"API keys", "Audit log", "Users", "Roles"})],
)
def test_the_menu_leads_to_what_a_role_may_see(role, menu):
    html = of(role).get(reverse("admin:index")).content.decode()
    assert {title for title in ("API keys", "Audit log", "Users", "Roles") if title in html} == menu


def test_a_viewer_is_told_who_may_see_what_a_push_says():
    letter = dead_letter(b'{"title": "a private word"}')
    for role, sees in (("viewer", False), ("operator", True), ("admin", True)):
        page = page_of(of(role, role), letter)
        assert ("a private word" in page) == sees
        assert ("is shown to the roles operator and admin" in page) != sees


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_only_an_admin_sees_anything_unmasked(role):
    letter = dead_letter(TOKEN.encode())
    client = of(role)
    address = reverse("admin:deliveries_deadletter_raw", args=[letter.pk])
    assert address not in client.get(opened(letter)).content.decode()
    assert client.get(address).status_code == 403
    assert client.post(address, {"reason": "curious"}).status_code == 403
    assert not AuditEntry.objects.exists()


def test_each_look_at_something_unmasked_has_a_reason_and_a_line():
    letter = dead_letter(TOKEN.encode())
    client = of("admin")
    address = reverse("admin:deliveries_deadletter_raw", args=[letter.pk])
    assert address in client.get(opened(letter)).content.decode()
    for answer in (client.get(address), client.post(address, {"reason": " "})):
        assert TOKEN not in text(answer)
    assert not AuditEntry.objects.exists()
    answer = client.post(address, {"reason": "the producer asks what it sent"})
    assert TOKEN in text(answer)
    assert "no-store" in answer["Cache-Control"]
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == ("user bob", "look", str(letter.pk))
    assert entry.reason == "the producer asks what it sent"
    assert "the producer asks" in page_of(client, letter)
    gone = reverse("admin:deliveries_deadletter_raw", args=[letter.pk + 1])
    assert client.get(gone).status_code == 404


def test_only_an_admin_makes_keys_and_only_operators_act():
    letter = dead_letter(b"{}")
    for role, acts, makes in (("viewer", 403, 403), ("operator", 200, 403), ("admin", 200, 200)):
        client = of(role, role)
        assert client.get(reverse("admin:deliveries_deadletter_redrive"), {"id": letter.pk}).status_code == acts
        assert client.get(reverse("admin:deliveries_apikey_add")).status_code == makes
    assert DeadLetter.objects.get().state == "open"
    assert not ApiKey.objects.exists()
