"""What operators do in the console: asked once more, done once however often pressed, kept with who, when and why."""

import re
from datetime import timedelta
from html import unescape
from urllib.parse import urlencode

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from deliveries import operations
from deliveries.console.words import DONE, told
from deliveries.masking import fingerprint
from deliveries.models import AuditEntry, DeadLetter, DeadToken, Notification, PushAttempt, PushDelivery, Status
from deliveries.operations import Outcome, Target, Who
from tests.console import TOKEN, dead_letter, dead_token, delivery, form_of, listed, notification, opened, page_of, text
from tests.world import all_ended, check_invariants, eventually, message, query

ADA = Who("user ada", "the template is mended")
PAGES = [
    (Notification, "resend"),
    (Notification, "cancel"),
    (PushDelivery, "resend"),
    (DeadLetter, "redrive"),
    (DeadLetter, "discard"),
    (DeadToken, "believe"),
    (DeadToken, "forget"),
]

pytestmark = pytest.mark.django_db


def ended(name: str, **more) -> Notification:
    """A notification that failed, with one failed device."""
    row = notification(name, **{"status": Status.FAILED, "error_code": "UNAVAILABLE", "next_attempt_at": None} | more)
    delivery(row, status=Status.FAILED, error_code="UNAVAILABLE")
    return row


def sent(name: str) -> Notification:
    row = notification(name, status=Status.SENT, next_attempt_at=None)
    delivery(row, status=Status.SENT, provider_message_id="projects/p/messages/1")
    return row


def one_of(model):
    """A row of the model that every operation of its table fits."""
    if model is DeadLetter:
        return dead_letter(b'{"user_id": "u-1", "title": "Hello", "notification_id": "n-1"}')
    if model is DeadToken:
        return dead_token(TOKEN, held_at=timezone.now())
    row = ended("n-1")
    return row if model is Notification else row.deliveries.get()


def address(model, operation: str) -> str:
    return reverse(f"admin:deliveries_{model._meta.model_name}_{operation}")


def asked(client: Client, row, operation: str):
    """The confirmation that the button on the row's page leads to."""
    return client.get(f"{address(type(row), operation)}?{urlencode({'id': row.pk})}")


def asked_from_list(client: Client, model, operation: str, rows, query: str = ""):
    ticked = [row.pk for row in rows]
    return client.post(listed(model, query), {"action": operation, "_selected_action": ticked})


def confirm(client: Client, page, model, operation: str, **filled):
    return client.post(address(model, operation), form_of(page) | filled, follow=True)


def operator(*permissions: str) -> Client:
    """Somebody who may look, and what else is named."""
    user = User.objects.create_user("bob", is_staff=True)
    looks = ["view_notification", "view_pushdelivery", "view_deadletter", "view_deadtoken"]
    user.user_permissions.set(Permission.objects.filter(codename__in=[*looks, *permissions]))
    client = Client()
    client.force_login(user)
    return client


# Asking first


@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_button_and_list_lead_to_a_page_that_asks_and_has_done_nothing(admin_client, model, operation):
    row = one_of(model)
    before = model.objects.filter(pk=row.pk).values().get()
    for page in (asked(admin_client, row, operation), asked_from_list(admin_client, model, operation, [row])):
        shown = text(page)
        assert f"{operation.capitalize()} 1 {model._meta.verbose_name}?" in shown
        assert "n-1" in shown or str(row.pk) in shown
        assert TOKEN not in unescape(page.content.decode())
    assert model.objects.filter(pk=row.pk).values().get() == before
    assert not AuditEntry.objects.exists()


def test_few_rows_are_listed_and_many_only_counted(admin_client):
    rows = [ended(f"n-{n:02}") for n in range(21)]
    few = text(asked_from_list(admin_client, Notification, "resend", rows[:20]))
    assert "Resend 20 notifications?" in few
    assert "n-19 failed UNAVAILABLE" in few
    many = text(asked_from_list(admin_client, Notification, "resend", rows))
    assert "Resend 21 notifications?" in many
    assert "n-19" not in many


def test_all_rows_of_all_pages_are_never_chosen(admin_client):
    rows = [ended(f"n-{n}") for n in range(60)]
    assert "across" not in text(admin_client.get(listed(Notification)))
    forged = {"action": "resend", "_selected_action": [rows[0].pk], "select_across": "1"}
    assert "Resend 1 notification?" in text(admin_client.post(listed(Notification), forged))


@pytest.mark.parametrize("model", [Notification, PushDelivery])
def test_an_unknown_outcome_is_warned_of_line_by_line(admin_client, model):
    rows = [ended(f"n-{n}") for n in range(3)]
    PushDelivery.objects.filter(notification="n-1").update(unknown_count=1)
    delivery(rows[2], "another" * 20, unknown_count=1, status=Status.SENT)
    chosen = rows if model is Notification else PushDelivery.objects.all()
    shown = text(asked_from_list(admin_client, model, "resend", chosen))
    assert re.findall(r"(n-\d)[^:?]*: nobody knows whether", shown) == ["n-1"]


def test_a_dead_letter_warns_of_its_notifications_unknown_outcome(admin_client):
    row = ended("n-1")
    PushDelivery.objects.update(unknown_count=1)
    letter = dead_letter(b"{}", code="exhausted", notification_id=row.pk)
    assert "nobody knows whether" in text(asked(admin_client, letter, "redrive"))
    assert "nobody knows whether" not in text(asked(admin_client, letter, "discard"))


@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_a_page_that_asks_costs_the_same_for_few_and_many(admin_client, model, operation):
    for n in range(15):
        dead_letter(b"{}", notification_id=ended(f"n-{n}").pk)
        dead_token(f"{TOKEN}{n}")

    def queries(count: int) -> int:
        with CaptureQueriesContext(connection) as seen:
            page = asked_from_list(admin_client, model, operation, model.objects.all()[:count])
        assert len(form_of(page)["chosen"]) == count
        return len(seen)

    assert queries(1) == queries(15)


@pytest.mark.parametrize("key", ["gone", "1\0", "9" * 40, "²", ""])
@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_what_is_not_there_any_more_is_said(admin_client, model, operation, key):
    page = admin_client.get(address(model, operation), {"id": key}, follow=True)
    assert "or it is not there any more." in text(page)
    page = admin_client.post(address(model, operation), {"chosen": f"0:{key}", "reason": "x"}, follow=True)
    assert "or it is not there any more." in text(page)


def test_a_page_that_asks_for_nothing_says_so(admin_client):
    page = admin_client.get(address(Notification, "resend"), follow=True)
    assert "Nothing was chosen" in text(page)


def test_what_would_be_refused_is_said_before(admin_client):
    waiting = [notification("n-1"), notification("n-2")]
    shown = text(asked_from_list(admin_client, Notification, "resend", waiting))
    assert "Nothing will be done to any of them, as they stand now." in shown
    shown = text(asked_from_list(admin_client, Notification, "resend", [*waiting, ended("n-3")]))
    assert "Nothing will be done to 2 of 3, as they stand now." in shown
    assert "Nothing will be done" not in text(asked_from_list(admin_client, Notification, "cancel", waiting))


@pytest.mark.parametrize("chosen", ["n-1", ":n-1", "x:n-1", "-1:n-1", "²:n-1", "9" * 5000 + ":n-1"])
def test_a_form_that_was_tampered_with_breaks_nothing(admin_client, chosen):
    ended("n-1")
    assert admin_client.post(address(Notification, "resend"), {"chosen": chosen}).status_code == 302


@pytest.mark.parametrize(
    ("row", "buttons"),
    [
        (lambda: ended("n-1"), {"Resend"}),
        (lambda: notification("n-1"), {"Cancel"}),
        (lambda: delivery(ended("n-1"), "other", status=Status.FAILED), {"Resend"}),
        (lambda: delivery(notification("n-1")), set()),
        (lambda: dead_letter(b"{}"), {"Redrive", "Discard"}),
        (lambda: dead_letter(b"{}", state=DeadLetter.State.DISCARDED), set()),
        (lambda: dead_token(TOKEN, held_at=timezone.now()), {"Believe", "Forget"}),
        (lambda: dead_token(TOKEN), {"Forget"}),
    ],
)
def test_a_page_has_the_buttons_that_fit(admin_client, row, buttons):
    html = admin_client.get(opened(row())).content.decode()
    assert set(re.findall(r'<a [^>]*href="[^"]*\?id=[^"]*">(\w+)</a>', html)) == buttons


# Who may


@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_without_the_permission_there_is_no_action_no_button_and_no_way(model, operation):
    row = one_of(model)
    client = operator()
    assert f'value="{operation}"' not in client.get(listed(model)).content.decode()
    assert address(model, operation) not in client.get(opened(row)).content.decode()
    assert asked(client, row, operation).status_code == 403
    assert client.post(address(model, operation), {"chosen": f"0:{row.pk}", "reason": "x"}).status_code == 403
    asked_from_list(client, model, operation, [row])
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_who_may_operate_needs_no_other_permission(model, operation):
    row = one_of(model)
    client = operator("operate")
    assert f'value="{operation}"' in client.get(listed(model)).content.decode()
    page = asked(client, row, operation)
    assert confirm(client, page, model, operation, reason="a reason").status_code == 200


@pytest.mark.parametrize(("model", "operation"), PAGES)
def test_who_may_not_look_may_do_nothing(client, model, operation):
    blind = User.objects.create_user("blind", is_staff=True)
    blind.user_permissions.add(Permission.objects.get(codename="operate"))
    client.force_login(blind)
    assert asked(client, one_of(model), operation).status_code == 403


def test_another_sites_form_does_nothing(admin_user):
    row = ended("n-1")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(address(Notification, "resend"), {"chosen": f"0:{row.pk}"}).status_code == 403
    assert Notification.objects.get().resends == 0


# Resending


def test_a_resend_is_done_told_and_kept(admin_client):
    row = ended("n-1")
    page = asked(admin_client, row, "resend")
    shown = text(confirm(admin_client, page, Notification, "resend", reason="  the gateway asked  "))
    assert "1 will be sent again." in shown
    assert "It is being sent again, as was asked for at" in shown, "it is the notification's own page again"
    assert re.search(r"user admin resend the gateway asked", shown)
    row.refresh_from_db()
    assert (row.status, row.resends) == (Status.PENDING, 1)


def test_one_device_is_sent_to_again_without_the_others(admin_client):
    row = ended("n-1")
    other = delivery(row, "other", status=Status.FAILED)
    first = row.deliveries.exclude(pk=other.pk).get()
    shown = text(confirm(admin_client, asked(admin_client, first, "resend"), PushDelivery, "resend"))
    assert "1 will be sent again." in shown
    assert "user admin resend" in shown
    assert dict(row.deliveries.values_list("pk", "status")) == {first.pk: Status.PENDING, other.pk: Status.FAILED}


def test_several_devices_of_several_notifications_are_each_counted(admin_client):
    for name in ("n-1", "n-2"):
        delivery(ended(name), "other", status=Status.FAILED)
    page = asked_from_list(admin_client, PushDelivery, "resend", PushDelivery.objects.all())
    assert "4 will be sent again." in text(confirm(admin_client, page, PushDelivery, "resend"))
    assert not PushDelivery.objects.exclude(status=Status.PENDING).exists()


@pytest.mark.parametrize("wait", ["0 s", "1 h"])
def test_one_form_sent_twice_has_one_effect(admin_client, wait):
    row = ended("n-1")
    page = asked(admin_client, row, "resend")
    confirm(admin_client, page, Notification, "resend")
    query("UPDATE notifications SET status = 'failed', resent_at = resent_at - %s::interval", wait)
    again = text(confirm(admin_client, page, Notification, "resend"))
    assert "1 was not:" in again
    row.refresh_from_db()
    assert row.resends == 1
    assert AuditEntry.objects.count() == 1


def test_a_page_that_was_read_again_counts_from_what_it_showed(admin_client):
    row = ended("n-1", resends=3)
    page = asked(admin_client, row, "resend")
    Notification.objects.update(resends=4)
    failed = admin_client.post(address(Notification, "resend"), form_of(page) | {"reason": "x" * 2000})
    assert "at most 500 characters" in text(failed)
    assert form_of(failed)["chosen"] == ["3:n-1"]
    assert "It has been sent again since you looked" in text(confirm(admin_client, failed, Notification, "resend"))


def test_some_are_sent_again_and_the_rest_told_why_not(admin_client):
    rows = [ended("n-1"), ended("n-2"), sent("n-3"), notification("n-4"), notification("n-5")]
    page = asked_from_list(admin_client, Notification, "resend", rows, "?status__exact=")
    answer = confirm(admin_client, page, Notification, "resend")
    shown = text(answer)
    assert "2 will be sent again." in shown
    assert "1 was not: n-3: It was accepted before." in shown
    assert re.search("2 were not: n-[45]: A worker has it in hand.* n-[45]: A worker has it in hand", shown)


def test_the_way_back_is_the_list_with_its_filters(admin_client):
    rows = [ended("n-1")]
    page = asked_from_list(admin_client, Notification, "resend", rows, "?q=u-1&status__exact=failed")
    answer = admin_client.post(address(Notification, "resend"), form_of(page))
    assert answer["Location"] == listed(Notification, "?q=u-1&status__exact=failed")
    elsewhere = form_of(page) | {"filters": "//evil.example/\r\nX: y"}
    assert admin_client.post(address(Notification, "resend"), elsewhere)["Location"].startswith(listed(Notification))


# Force


def test_force_is_offered_for_what_was_sent_and_to_who_may(admin_client):
    was_sent, failed = sent("n-1"), ended("n-2")
    assert 'name="force"' in asked(admin_client, was_sent, "resend").content.decode()
    assert 'name="force"' in asked(admin_client, was_sent.deliveries.get(), "resend").content.decode()
    assert 'name="force"' not in asked(admin_client, failed, "resend").content.decode()
    assert 'name="force"' not in asked(admin_client, was_sent, "cancel").content.decode()
    assert 'name="force"' not in asked(operator("operate"), was_sent, "resend").content.decode()


def test_force_needs_a_reason_and_sends_again(admin_client):
    row = sent("n-1")
    page = asked(admin_client, row, "resend")
    refused = confirm(admin_client, page, Notification, "resend", force="on")
    assert "Say why it is to be sent again" in text(refused)
    assert not AuditEntry.objects.exists()
    done = confirm(admin_client, page, Notification, "resend", force="on", reason="the phone was lost")
    assert "1 will be sent again." in text(done)
    assert row.deliveries.get().forced_resends == 1


def test_who_may_not_force_forces_nothing():
    row = sent("n-1")
    client = operator("operate")
    page = asked(client, row, "resend")
    filled = form_of(page) | {"force": "on", "reason": "because"}
    assert client.post(address(Notification, "resend"), filled).status_code == 403
    assert "1 was not: n-1: It was accepted before." in text(confirm(client, page, Notification, "resend"))
    assert row.deliveries.get().forced_resends == 0


# Cancelling, redriving, discarding


def test_what_waits_is_cancelled_and_says_so(admin_client):
    row = notification("n-1")
    page = asked(admin_client, row, "cancel")
    shown = text(confirm(admin_client, page, Notification, "cancel", reason="sent in error"))
    assert "1 will not be sent any more." in shown
    assert "Nothing more of it is sent, and it is about to end. Cancelled: sent in error" in shown


def test_a_dead_letter_that_can_be_read_by_now_is_redriven_once(admin_client):
    letter = one_of(DeadLetter)
    page = asked(admin_client, letter, "redrive")
    assert "1 accepted, and on the way." in text(confirm(admin_client, page, DeadLetter, "redrive"))
    assert Notification.objects.get().pk == "n-1"
    assert f"1 was not: {letter.pk}: It is not open" in text(confirm(admin_client, page, DeadLetter, "redrive"))


def test_discarding_needs_a_reason_that_is_kept(admin_client):
    letter = one_of(DeadLetter)
    page = asked(admin_client, letter, "discard")
    for nothing in ("", "   "):
        assert "This field is required" in text(confirm(admin_client, page, DeadLetter, "discard", reason=nothing))
    assert not AuditEntry.objects.exists()
    shown = text(confirm(admin_client, page, DeadLetter, "discard", reason="the producer sent rubbish"))
    assert "1 discarded." in shown
    assert f"Dead letter {letter.pk} discarded" in shown
    assert "Note the producer sent rubbish" in shown
    assert "What to do:" not in shown
    assert "user admin discard the producer sent rubbish" in shown


def test_a_held_token_that_is_believed_is_tried_no_more(admin_client):
    row = dead_token(TOKEN, held_at=timezone.now(), remembered_until=timezone.now() + timedelta(days=1))
    page = asked(admin_client, row, "believe")
    assert f"#{fingerprint(TOKEN)} of u-1 held UNREGISTERED" in text(page)
    shown = text(confirm(admin_client, page, DeadToken, "believe", reason="those phones were a test farm"))
    assert "1 counted as dead from now on." in shown
    assert "user admin believe those phones were a test farm" in shown, "it is the token's own page again"
    assert "1 was not:" in text(confirm(admin_client, page, DeadToken, "believe"))


def test_tokens_that_are_forgotten_are_gone_and_the_way_leads_back_to_the_list(admin_client):
    rows = [dead_token(TOKEN, held_at=timezone.now()), dead_token("another" * 20, fate="quarantined")]
    page = asked_from_list(admin_client, DeadToken, "forget", rows, "?fate__exact=dead")
    answer = admin_client.post(address(DeadToken, "forget"), form_of(page) | {"reason": "the project was wrong"})
    assert answer["Location"] == listed(DeadToken, "?fate__exact=dead")
    assert not DeadToken.objects.exists()
    assert "2 counted as living, and will be tried again." in text(admin_client.get(answer["Location"]))
    audited = AuditEntry.objects.values_list("action", "subject", "detail__device")
    assert set(audited) == {("forget", str(row.pk), fingerprint(row.device_token)) for row in rows}
    one = dead_token(TOKEN)
    page = confirm(admin_client, asked(admin_client, one, "forget"), DeadToken, "forget")
    assert "No dead token: no provider has called a device gone." in text(page)


def test_every_code_that_did_something_has_words():
    assert set(DONE) == operations.DONE


def test_one_kind_of_outcome_is_one_message():
    outcomes = [Outcome(str(n), "still_invalid", f"Reason {n}.", "It may arrive twice.") for n in range(9)]
    outcomes += [Outcome.of("a", "resent"), Outcome.of("b", "resent")]
    assert [message for _, message in told(outcomes)] == [
        "2 will be sent again.",
        "9 were not: 0: Reason 0. 1: Reason 1. 2: Reason 2. 3: Reason 3. 4: Reason 4. And 4 more.",
        "Of 9: It may arrive twice.",
    ]


# The audit log


def test_a_page_tells_its_own_actions_and_no_others(admin_client):
    row, letter = ended("7"), dead_letter(b"{}", pk=7)
    operations.resend([Target("7")], ADA)
    operations.discard([7], Who("user eve", "rubbish"))
    notifications, letters = page_of(admin_client, row), page_of(admin_client, letter)
    assert "user ada resend the template is mended" in notifications
    assert "user eve" not in notifications
    assert "user eve discard rubbish" in letters
    assert "user ada" not in letters


def test_an_action_without_a_reason_says_nothing_of_one(admin_client):
    row = ended("n-1")
    assert "Actions of operators, latest first None." in page_of(admin_client, row)
    operations.resend([Target("n-1")], Who("key shop"))
    assert re.search(r"key shop resend - ", page_of(admin_client, row))


@pytest.mark.parametrize("term", ["n 1", "ada", "user ada"])
def test_the_log_is_searched_by_subject_and_by_who(admin_client, term):
    for actor, subject in (("user ada", "n 1"), ("user eve", "n 12")):
        AuditEntry.objects.create(actor=actor, action="resend", subject=subject)
    shown = text(admin_client.get(listed(AuditEntry), {"q": term}))
    assert "user ada resend n 1 " in shown
    assert "user eve" not in shown


def test_the_log_is_filtered_by_action(admin_client):
    for action in ("resend", "discard"):
        AuditEntry.objects.create(actor="user ada", action=action, subject=f"{action}-it")
    shown = text(admin_client.get(listed(AuditEntry, "?action__exact=discard")))
    assert "discard-it" in shown
    assert "resend-it" not in shown


def test_a_notifications_page_costs_the_same_with_any_past(admin_client):
    def queries(row) -> int:
        with CaptureQueriesContext(connection) as seen:
            admin_client.get(opened(row))
        return len(seen)

    plain, busy = ended("n-1"), ended("n-2")
    for n in range(30):
        delivery(busy, f"token-{n}")
        PushAttempt.objects.create(notification=busy, stage="send", outcome="retry", error_code="UNAVAILABLE")
        AuditEntry.objects.create(actor="user ada", action="resend", subject="n-2", reason=f"reason-{n}")
    assert "reason-29" in page_of(admin_client, busy)
    assert queries(plain) == queries(busy)


def test_names_and_reasons_are_escaped(admin_client):
    evil = "<script>alert(1)</script>"
    row = ended(evil, error_code=evil)
    page = asked(admin_client, row, "resend")
    answer = confirm(admin_client, page, Notification, "resend", reason=evil)
    for shown in (page, answer, admin_client.get(listed(AuditEntry))):
        assert "<script>alert" not in shown.content.decode()
        assert evil in unescape(shown.content.decode())


# With an engine at work


def test_a_button_pressed_twice_sends_once_more(admin_client, engine, sandbox):
    sandbox.control("fcm", "refuse400")
    engine().accept(message("n1", "ada"))
    eventually(all_ended, what="an end and a report")
    sandbox.control("fcm", "none")
    row = Notification.objects.get()
    page = asked(admin_client, row, "resend")
    for _ in range(2):
        confirm(admin_client, page, Notification, "resend", reason="FCM is itself again")
    eventually(lambda: Notification.objects.get().status == Status.SENT and all_ended(), what="sent after all")
    assert sandbox.book()["accepted_count"] == 1
    assert AuditEntry.objects.count() == 1
    assert Notification.objects.get().resent_at < timezone.now()
    check_invariants(sandbox)
