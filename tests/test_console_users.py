"""Users and roles in the console: nobody gives what they do not have, and each change has a line in the audit log."""

import re

import pytest
from django.contrib.auth.models import Group, Permission, User
from django.test import Client
from django.urls import reverse

from deliveries.models import ApiKey, AuditEntry
from tests.console import listed, opened, text, text_of
from tests.test_roles import made, of
from tests.world import query

PASSWORD = "a long and winding word 7"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures(made.__name__)]


def page(user) -> str:
    return reverse(f"admin:auth_{user._meta.model_name}_change", args=[user.pk])


def form(user: User, **more) -> dict:
    """The form on a user's page, all boxes but two unticked."""
    joined = {"date_joined_0": f"{user.date_joined:%Y-%m-%d}", "date_joined_1": f"{user.date_joined:%H:%M:%S}"}
    return {"username": user.username, "is_active": "on", "is_staff": "on"} | joined | more


def role(name: str) -> Group:
    return Group.objects.get(name=name)


def permission(codename: str) -> Permission:
    return Permission.objects.get(codename=codename)


def person(name: str = "eve", **more) -> User:
    return User.objects.create_user(name, is_staff=True, **more)


# Nobody gives what they do not have


def test_an_operator_sees_no_users_and_changes_none():
    client = of("operator")
    bob = User.objects.get(username="bob")
    assert client.get(reverse("admin:auth_user_changelist")).status_code == 403
    assert client.post(page(bob), form(bob, groups=[role("admin").pk])).status_code == 403
    assert client.post(page(role("operator")), {"name": "operator"}).status_code == 403
    assert [group.name for group in bob.groups.all()] == ["operator"]


def test_nobody_but_a_superuser_makes_a_superuser():
    client = of("admin")
    for user in (User.objects.get(username="bob"), person()):
        client.post(page(user), form(user, is_superuser="on", groups=[role("admin").pk]))
        user.refresh_from_db()
        assert [group.name for group in user.groups.all()] == ["admin"]
        assert not user.is_superuser


def test_nobody_gives_a_permission_or_a_role_that_allows_more_than_they_may():
    client, eve = of("admin"), person()
    above = Group.objects.create(name="above")
    above.permissions.add(permission("delete_user"), permission("view_brake"))
    for wish in ({"groups": [above.pk]}, {"user_permissions": [permission("delete_user").pk]}):
        assert "is not one of the available choices" in text(client.post(page(eve), form(eve, **wish)))
    assert eve.get_all_permissions() == set()
    client.post(page(eve), form(eve, groups=[role("operator").pk], user_permissions=[permission("force").pk]))
    assert {"deliveries.operate", "deliveries.force"} <= User.objects.get(username="eve").get_all_permissions()


def test_a_role_gets_only_what_who_changes_it_may():
    client = of("admin")
    above = Group.objects.create(name="above")
    above.permissions.add(permission("delete_user"))
    wish = {"name": "admin", "permissions": [permission("delete_user").pk]}
    assert "is not one of the available choices" in text(client.post(page(role("admin")), wish))
    assert client.post(page(above), {"name": "above", "permissions": []}).status_code == 403
    assert above.permissions.count() == 1
    client.post(reverse("admin:auth_group_add"), {"name": "resenders", "permissions": [permission("operate").pk]})
    assert role("resenders").permissions.get() == permission("operate")


@pytest.mark.parametrize("active", [True, False])
@pytest.mark.parametrize("above", ["superuser", "permission", "role"])
def test_nobody_sets_the_password_of_who_may_do_more(above, active):
    client = of("admin")
    root = person("root", is_superuser=above == "superuser", is_active=active)
    if above == "permission":
        root.user_permissions.add(permission("delete_user"))
    if above == "role":
        group = Group.objects.create(name="above")
        group.permissions.add(permission("delete_user"))
        root.groups.add(group)
    address = reverse("admin:auth_user_password_change", args=[root.pk])
    assert client.get(address).status_code == 403
    assert client.post(address, {"password1": PASSWORD, "password2": PASSWORD}).status_code == 403
    assert client.post(page(root), form(root, username="gone")).status_code == 403
    assert User.objects.filter(username="root").exists()


def test_a_superuser_gives_whatever_there_is(admin_client):
    eve = person()
    admin_client.post(page(eve), form(eve, is_superuser="on", user_permissions=[permission("delete_user").pk]))
    eve.refresh_from_db()
    assert eve.is_superuser
    assert eve.user_permissions.get() == permission("delete_user")
    assert AuditEntry.objects.get().detail["permissions"] == ["delete_user"]


def test_a_role_whose_boxes_are_not_offered_is_not_taken_away_unseen():
    client, eve, odd = of("admin"), person(), Group.objects.create(name="odd")
    odd.permissions.add(permission("delete_notification"))
    User.objects.get(username="bob").user_permissions.add(permission("delete_notification"))
    eve.groups.add(odd)
    client.post(page(eve), form(eve, groups=[odd.pk]))
    assert [group.name for group in eve.groups.all()] == ["odd"]


def test_who_has_no_role_is_told_so_and_sees_no_figures():
    person("nobody")
    client = Client()
    client.force_login(User.objects.get(username="nobody"))
    shown = text(client.get(reverse("admin:index")))
    assert "You have no role yet" in shown
    assert "Sent per minute" not in shown


# Each change has a line


def test_a_change_of_a_user_is_written_down_with_its_reason():
    client, eve = of("admin"), person()
    client.post(page(eve), form(eve, groups=[role("operator").pk], reason="she is on call"))
    entry = AuditEntry.objects.get()
    assert (entry.actor, entry.action, entry.subject) == ("user bob", "user changed", "eve")
    assert entry.reason == "she is on call"
    assert "Roles" in entry.detail["changed"]
    assert "reason" not in entry.detail["changed"]
    assert entry.detail["roles"] == ["operator"]
    assert not entry.detail["superuser"]


def test_a_new_user_and_a_new_password_are_written_down_without_the_password():
    client = of("admin")
    new = {"username": "eve", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    client.post(reverse("admin:auth_user_add"), new | {"reason": "she is new"})
    eve = User.objects.get(username="eve")
    assert not eve.is_superuser
    again = {"usable_password": "true", "password1": PASSWORD[::-1], "password2": PASSWORD[::-1]}
    client.post(reverse("admin:auth_user_password_change", args=[eve.pk]), again)
    eve.refresh_from_db()
    assert eve.check_password(PASSWORD[::-1])
    entries = AuditEntry.objects.order_by("pk")
    assert [(entry.action, entry.subject, entry.reason) for entry in entries] == [
        ("user made", "eve", "she is new"),
        ("user changed", "eve", ""),
    ]
    assert not any(PASSWORD in str(entry.detail) for entry in entries)


def test_what_becomes_of_a_role_is_written_down(admin_client):
    admin_client.post(
        reverse("admin:auth_group_add"),
        {"name": "guests", "permissions": [permission("view_brake").pk], "reason": "the auditors come"},
    )
    admin_client.post(page(role("guests")), {"name": "guests", "permissions": [], "reason": "they are gone"})
    admin_client.post(reverse("admin:auth_group_delete", args=[role("guests").pk]), {"post": "yes"})
    lines = AuditEntry.objects.order_by("pk").values_list("action", "reason", "detail__permissions")
    assert list(lines) == [
        ("role made", "the auditors come", ["view_brake"]),
        ("role changed", "they are gone", []),
        ("role deleted", "", []),
    ]


def test_a_deleted_user_is_written_down(admin_client):
    eve = person()
    admin_client.post(reverse("admin:auth_user_delete", args=[eve.pk]), {"post": "yes"})
    assert list(AuditEntry.objects.values_list("actor", "action", "subject")) == [("user admin", "user deleted", "eve")]


# The audit log


def entry(actor: str = "user ada", action: str = "resend", subject: str = "n-1", ago: str = "0 s") -> AuditEntry:
    row = AuditEntry.objects.create(actor=actor, action=action, subject=subject)
    query("UPDATE audit_log SET at = at - %s::interval WHERE id = %s", ago, row.pk)
    return row


@pytest.mark.parametrize(
    ("address", "subjects"),
    [
        ("?action__exact=discard", {"7"}),
        ("?who=ada", {"n-1", "old"}),
        ("?who=user+ada", {"n-1", "old"}),
        ("?who=gateway", {"n-2"}),
        ("?who=ad", set()),
        ("?who=a%00b", set()),
        ("?time=1h", {"n-1", "n-2"}),
        ("?time=7d", {"n-1", "n-2", "7"}),
        ("?time=x", {"n-1", "n-2", "7", "old"}),
        ("?q=n-1", {"n-1"}),
        ("?q=n", set()),
        ("?who=ada&time=1d&action__exact=resend", {"n-1"}),
    ],
)
def test_the_audit_log_is_filtered_by_action_actor_and_time_and_searched_by_subject(admin_client, address, subjects):
    entry()
    entry("key gateway", "cancel", "n-2")
    entry("shell root@host", "discard", "7", "2 days")
    entry(subject="old", ago="90 days")
    html = admin_client.get(listed(AuditEntry, address)).content.decode()
    assert set(re.findall(r'<span class="long">([^<]*)</span>', html)) == subjects


def test_nobody_changes_the_audit_log(admin_client):
    row = entry()
    assert admin_client.post(opened(row), {"actor": "nobody"}).status_code == 403
    assert admin_client.post(reverse("admin:deliveries_auditentry_delete", args=[row.pk])).status_code == 403
    assert admin_client.post(reverse("admin:deliveries_auditentry_add"), {"actor": "me"}).status_code == 403
    row.refresh_from_db()
    assert row.actor == "user ada"


def test_a_key_shows_its_state_and_scopes_as_badges(admin_client):
    ApiKey.objects.create(name="shop", key_hash="x", scopes=["read", "operate"])
    html = admin_client.get(listed(ApiKey)).content.decode()
    assert "badge-success" in html
    assert len(re.findall(r'class="[^"]*\bbadge\b', html)) == 3


def test_no_user_is_there_from_the_beginning(client):
    assert not User.objects.exists()
    assert not client.login(username="admin", password="admin")


def test_a_new_user_with_a_role_can_log_in(admin_client, client):
    new = {"username": "eve", "usable_password": "true", "password1": PASSWORD, "password2": PASSWORD}
    admin_client.post(reverse("admin:auth_user_add"), new | {"groups": [role("viewer").pk]})
    came = client.post(reverse("admin:login"), {"username": "eve", "password": PASSWORD}, follow=True)
    assert came.status_code == 200
    assert "Notifications" in text(came)


def test_a_role_is_made_of_boxes_in_plain_words_without_what_nobody_can_do(admin_client):
    shown = text(admin_client.get(page(role("viewer"))))
    assert "View dead letter" in shown
    assert "Resend, cancel, redrive, discard, and pause sending" in shown
    assert not re.search(
        r"Can \w+|(Add|Change|Delete) (notification|push|dead|brake|worker|tally|audit)|log entry", shown
    )
    assert "Who may Roles" in text(admin_client.get(reverse("admin:auth_group_changelist")))


def test_a_wrong_password_is_told_once(client):
    answer = client.post(reverse("admin:login"), {"username": "eve", "password": "wrong"})
    assert "Please enter the correct username and password" in text(answer)
    assert answer.content.decode().count("errornote") == 1
    nothing = client.post(reverse("admin:login"), {"username": "eve", "password": ""})
    assert "see what is marked below" in text(nothing)


@pytest.mark.parametrize(
    ("address", "said"), [("/admin/nowhere/", "There is no such page"), ("/admin/auth/user/", "You may not do that")]
)
def test_a_dead_end_says_so_and_leads_back(address, said):
    answer = of("viewer").get(address)
    assert answer.status_code in (403, 404)
    assert said in text_of(answer.content.decode())
    assert f'href="{reverse("admin:index")}"' in answer.content.decode()
