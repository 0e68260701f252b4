"""What the lists export: what is ticked or what the filters find, harmless to spreadsheets, and never a whole token."""

import csv
import re

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.urls import reverse

from deliveries.console.exporting import MOST, cell
from deliveries.masking import mask
from deliveries.models import AuditEntry, Notification, PushDelivery, Status
from tests.console import TOKEN, delivery, listed, notification
from tests.world import query

BOTH = [Notification, PushDelivery]

pytestmark = pytest.mark.django_db


def read(answer) -> list[dict[str, str]]:
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("text/csv")
    return list(csv.DictReader(b"".join(answer.streaming_content).decode().splitlines()))


def export(client: Client, model, asked: str = ""):
    return client.post(reverse(f"admin:deliveries_{model._meta.model_name}_export") + asked)


def ticked(client: Client, model, rows):
    return client.post(listed(model), {"action": "export", "_selected_action": [row.pk for row in rows]})


@pytest.mark.parametrize("model", BOTH)
def test_what_is_ticked_is_exported(admin_client, model):
    rows = [delivery(notification(f"n-{number}")) for number in range(3)]
    chosen = [row if model is PushDelivery else row.notification for row in rows[:2]]
    assert {row["notification_id"] for row in read(ticked(admin_client, model, chosen))} == {"n-0", "n-1"}


@pytest.mark.parametrize("model", BOTH)
def test_what_the_filters_find_is_exported_beyond_the_page_that_is_shown(admin_client, model):
    for number in range(60):
        delivery(notification(f"n-{number}", error_code="X" if number else ""), error_code="X" if number else "")
    assert len(read(export(admin_client, model, "?error_code__exact=X"))) == 59
    assert [row["notification_id"] for row in read(export(admin_client, model, "?q=corr-n-7"))] == ["n-7"]


def test_an_export_is_bounded_and_says_so(admin_client):
    query(
        "INSERT INTO notifications"
        " (notification_id, user_id, correlation_id, source, request, accept_token, expires_at)"
        " SELECT 'n-' || i, 'u', 'c', 'api', '{}', 1, now() FROM generate_series(1, %s) i",
        MOST + 100,
    )
    assert len(read(export(admin_client, Notification))) == MOST
    assert f"up to {MOST:,} rows" in admin_client.get(listed(Notification)).content.decode()


@pytest.mark.parametrize("begin", ["=", "+", "-", "@", "\t", "\r"])
def test_no_cell_is_a_formula(admin_client, begin):
    evil = f"{begin}cmd|' /C calc'!A0"
    assert cell(evil) == f"'{evil}"
    delivery(notification("n-1", user_id=evil))
    for model in BOTH:
        [row] = read(export(admin_client, model))
        assert row["user_id"].startswith("'")


def test_an_export_shows_what_the_list_shows_and_no_token(admin_client):
    row = notification("n-1", template_id="welcome", status=Status.FAILED, error_message=f"no such token: {TOKEN}")
    delivery(row, platform="ios", attempts=2, error_code="UNREGISTERED", error_message=f"no such token: {TOKEN}")
    for model in BOTH:
        answer = b"".join(export(admin_client, model).streaming_content).decode()
        assert TOKEN not in answer
        assert TOKEN[8:40] not in answer
    [line] = read(export(admin_client, PushDelivery))
    shown = (line["template_id"], line["platform"], line["attempts"], line["error_code"])
    assert shown == ("welcome", "ios", "2", "UNREGISTERED")
    assert re.fullmatch(rf"ios {TOKEN[:4]}…{TOKEN[-4:]} #[0-9a-f]{{8}}", line["device"])


def test_every_export_is_in_the_audit_log(admin_client):
    row = notification("n-1")
    ticked(admin_client, Notification, [row])
    export(admin_client, PushDelivery, "?error_code__exact=X")
    entries = AuditEntry.objects.order_by("id").values_list("actor", "action", "subject", "detail")
    assert list(entries) == [
        ("user admin", "export", "notifications", {"rows": ["n-1"]}),
        ("user admin", "export", "push deliveries", {"filters": {"error_code__exact": "X"}}),
    ]


def test_a_token_that_somebody_searched_for_is_not_kept_in_the_audit_log(admin_client):
    token = "t" * 140
    export(admin_client, PushDelivery, f"?q={token}")
    assert AuditEntry.objects.get().detail == {"filters": {"q": mask(token)}}


def test_who_may_not_look_exports_nothing_and_a_link_exports_nothing(admin_client):
    blind = User.objects.create_user("blind", is_staff=True)
    blind.user_permissions.add(Permission.objects.get(codename="operate"))
    client = Client()
    client.force_login(blind)
    for model in BOTH:
        assert export(client, model).status_code == 403
        assert admin_client.get(reverse(f"admin:deliveries_{model._meta.model_name}_export")).status_code == 405
    assert not AuditEntry.objects.exists()
