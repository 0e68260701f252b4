"""API keys: shown once, kept as a hash, good for what they were made for, until they expire or are revoked."""

import json
from datetime import datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from deliveries.api import keys
from deliveries.models import ApiKey, AuditEntry, Notification
from tests.api_client import DELIVERIES, NOTIFICATIONS, Api, a_key, fault
from tests.world import message, query

pytestmark = pytest.mark.django_db(transaction=True)

#: Every address that needs a key, with the scope that it needs.
PROTECTED = [
    ("POST", NOTIFICATIONS, "send"),
    ("GET", f"{NOTIFICATIONS}n-1/", "read"),
    ("POST", f"{NOTIFICATIONS}n-1/resend/", "operate"),
    ("POST", f"{NOTIFICATIONS}n-1/cancel/", "operate"),
    ("GET", DELIVERIES, "read"),
    ("GET", f"{DELIVERIES}1/", "read"),
    ("POST", f"{DELIVERIES}1/resend/", "operate"),
]


def ask(client, method, url):
    return client.generic(method, url, b"{}", "application/json")


@pytest.mark.parametrize(("method", "url"), [(method, url) for method, url, _ in PROTECTED])
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic dXNlcjpwYXNz", "Bearer a b", "Bearer \xff"]
)
def test_without_a_good_key_everything_is_a_401(header, method, url):
    stranger = Client(headers={} if header is None else {"Authorization": header})
    answer = ask(stranger, method, url)
    assert answer.status_code == 401
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert fault(answer)["code"] == ("authentication_failed" if header else "not_authenticated")
    assert "Bearer <key>" in fault(answer)["message"] or "unknown" in fault(answer)["message"]


def test_an_operators_session_is_no_key(admin_client):
    assert admin_client.get(f"{NOTIFICATIONS}n-1/").status_code == 401


@pytest.mark.parametrize(("method", "url", "scope"), PROTECTED)
def test_a_key_is_good_for_its_scopes_only(method, url, scope):
    others = [other for other in ApiKey.Scope.values if other != scope]
    refused = ask(Api(a_key("others", others)).client, method, url)
    assert (refused.status_code, fault(refused)["code"]) == (403, "scope_missing")
    assert f"scope {scope}." in fault(refused)["message"]
    assert ask(Api(a_key("this", [scope])).client, method, url).status_code not in (401, 403)


def test_a_method_that_an_address_does_not_know_needs_no_scope():
    assert Api(a_key(scopes=["send"])).client.delete(DELIVERIES).status_code == 405


def test_an_expired_key_is_told_when_it_expired():
    key = a_key(expires_at=timezone.now() + timedelta(days=1))
    assert Api(key).post(message("n-1")).status_code == 202
    query("UPDATE api_keys SET expires_at = '2026-01-31T12:00:00Z'")
    refused = Api(key).post(message("n-2"))
    assert (refused.status_code, fault(refused)["code"]) == (401, "key_expired")
    assert "2026-01-31 12:00:00 UTC" in fault(refused)["message"]
    assert keys.find(key.encode()) is None


def test_a_key_that_is_revoked_and_expired_is_only_unknown():
    key = a_key()
    keys.revoke("tests", actor="user ada")
    query("UPDATE api_keys SET expires_at = '2026-01-31T12:00:00Z'")
    assert fault(Api(key).post(message("n-1")))["code"] == "authentication_failed"


def test_only_a_hash_of_a_key_is_kept():
    key = a_key()
    assert key.startswith("push_")
    assert len(key) == len("push_") + 43
    assert not any(key in str(row) for row in query("SELECT api_keys::text FROM api_keys"))
    assert not any(key in str(row) for row in query("SELECT audit_log::text FROM audit_log"))


def test_a_new_key_replaces_the_older_of_its_name():
    old, new = Api(a_key("shop")), Api(a_key("shop"))
    assert old.post(message("n-1")).status_code == 401
    assert new.post(message("n-1")).status_code == 202


def test_blanks_at_the_ends_of_a_name_are_none_of_it():
    key = a_key(" shop ")
    keys.revoke(" shop ", actor="shell test")
    assert keys.find(key.encode()) is None


def test_a_key_that_is_replaced_is_told_and_written_down(capsys):
    for _ in range(2):
        call_command("apikey", "shop")
    assert capsys.readouterr().err.count("The older key of shop is no longer valid.") == 1
    keys.revoke("shop", actor="shell test")
    call_command("apikey", "shop")
    assert "older key" not in capsys.readouterr().err
    made = AuditEntry.objects.filter(action="key made").order_by("id")
    assert [entry.detail["replaced"] for entry in made] == [False, True, False]


def test_a_valid_key_is_replaced_only_where_that_is_meant():
    old = a_key("shop")
    with pytest.raises(keys.NameTaken):
        a_key("shop", replace=False)
    assert keys.find(old.encode()) is not None
    keys.revoke("shop", actor="shell test")
    assert keys.find(a_key("shop", replace=False).encode()) is not None


def test_a_revoked_key_is_refused_until_it_is_made_anew():
    api = Api(a_key("shop"))
    keys.revoke("shop", actor="shell test")
    assert api.post(message("n-1")).status_code == 401
    assert Api(a_key("shop")).post(message("n-1")).status_code == 202


def test_who_made_and_who_revoked_a_key_is_written_down():
    keys.create("shop", ["read"], actor="user ada")
    keys.revoke("shop", actor="shell root@host")
    entries = AuditEntry.objects.order_by("id").values_list("action", "actor", "subject")
    assert list(entries) == [("key made", "user ada", "shop"), ("key revoked", "shell root@host", "shop")]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": " "},
        {"name": "x" * 101},
        {"name": "shop\nkey admin"},
        {"name": "sh\u200bop"},
        {"scopes": []},
        {"scopes": ["write"]},
        {"expires_at": timezone.now() - timedelta(1)},
    ],
)
def test_a_key_that_could_not_be_used_is_not_made(wrong):
    with pytest.raises(ValueError, match=r"\.$"):
        keys.create(**{"name": "shop", "actor": "shell test"} | wrong)
    assert not ApiKey.objects.exists()
    assert not AuditEntry.objects.exists()


# The command


def test_the_command_prints_the_key_and_nothing_else(capsys):
    call_command("apikey", "shop")
    key = capsys.readouterr().out.strip()
    assert Api(key).post(message("n-1")).status_code == 202
    assert AuditEntry.objects.get().actor.startswith("shell ")
    call_command("apikey", "shop", "--revoke")
    assert capsys.readouterr().out == ""
    assert Api(key).post(message("n-2")).status_code == 401
    assert Notification.objects.count() == 1


def test_the_command_makes_keys_with_scopes_and_an_end(capsys):
    call_command("apikey", "shop", "--scope", "operate", "--scope", "read", "--expires", "90d", "--json")
    told = json.loads(capsys.readouterr().out)
    key = ApiKey.objects.get()
    assert (told["name"], key.scopes) == ("shop", ["read", "operate"])
    assert keys.find(told["key"].encode()) == key
    assert timedelta(days=89) < key.expires_at - timezone.now() <= timedelta(days=90)


def test_the_command_lists_keys_and_how_they_stand(capsys):
    a_key("a"), a_key("b", ["read"], expires_at=timezone.now() + timedelta(1)), a_key("c")
    keys.revoke("c", actor="shell test")
    capsys.readouterr()
    call_command("apikey", "--list")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["a", "b", "c"]
    assert [word in line for word, line in zip(("valid", "valid until", "revoked"), lines, strict=True)] == [True] * 3
    call_command("apikey", "--list", "--json")
    told = json.loads(capsys.readouterr().out)["keys"]
    assert told[1]["scopes"] == ["read"]
    assert "T" in told[1]["expires_at"]
    assert datetime.fromisoformat(told[1]["expires_at"]) == ApiKey.objects.get(name="b").expires_at


@pytest.mark.parametrize(
    "arguments",
    [
        ["x" * 101],
        [" "],
        [],
        ["nobody", "--revoke"],
        ["nobody", "--list"],
        ["shop", "--scope", "write"],
        ["shop", "--expires", "soon"],
        ["shop", "--expires", "99999999d"],
    ],
)
def test_the_command_says_what_is_wrong(arguments):
    with pytest.raises(CommandError):
        call_command("apikey", *arguments)
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    "arguments",
    [[], ["nobody", "--list"], ["shop", "--revoke", "--scope", "send"], ["shop", "--revoke", "--expires", "1d"],
     ["--list", "--scope", "read"]],
)  # fmt: skip
def test_the_command_refuses_as_usage_what_does_not_go_together(arguments):
    key = a_key("shop")
    with pytest.raises(CommandError, match=r"^Error: "):
        call_command("apikey", *arguments)
    assert keys.find(key.encode()) is not None
