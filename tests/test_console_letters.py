"""Dead letters in the console: grouped by reason, redriven at a rate, stopped, or discarded as a whole."""

import json
import re
from html import unescape

import pytest
from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries import operations, redriving
from deliveries.console import letter_causes
from deliveries.models import AuditEntry, DeadLetter
from deliveries.operations import Who
from tests.console import TOKEN, dead_letter, listed, opened, page_of, text
from tests.world import query

CAUSES = "/admin/deliveries/deadletter/causes/"
ADA = Who("user ada", "the template is mended")
NEEDED = "template_id: is needed"

pytestmark = pytest.mark.django_db


def letters(so_many: int, reason: str = NEEDED, **more) -> list[DeadLetter]:
    return [dead_letter(json.dumps({"n": n}).encode(), reasons=[reason], **more) for n in range(so_many)]


def address(verb: str, reason: str = NEEDED) -> str:
    """Where the link of a cause leads to."""
    [cause] = [cause for cause in redriving.causes() if cause.cause == reason]
    return f"{CAUSES}{verb}/?code={cause.code}&key={cause.key}"


def causes(client: Client) -> str:
    return text(client.get(CAUSES))


def with_permissions(*codenames: str) -> Client:
    user = User.objects.create_user("bob", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    client = Client()
    client.force_login(user)
    return client


# Looking


def test_thousands_are_a_handful_of_causes_with_an_example(admin_client):
    for n in range(12):
        letters(1, f'template "t-{n}" is unknown')
    [newest] = letters(1, NEEDED, count=4, code="exhausted")
    shown = causes(admin_client)
    assert re.search(r"template … is unknown invalid_message 12 Redrive all", shown)
    assert re.search(rf"{NEEDED} exhausted 1 came again 3 times Redrive all", shown)
    assert opened(newest) in admin_client.get(CAUSES).content.decode()


def test_the_page_of_causes_and_the_list_lead_to_each_other(admin_client):
    letters(1)
    assert CAUSES in admin_client.get(listed(DeadLetter)).content.decode()
    assert f'href="{listed(DeadLetter)}"' in admin_client.get(CAUSES).content.decode()


def test_no_open_letter_is_a_word_and_not_an_empty_table(admin_client):
    letters(2, state=DeadLetter.State.DISCARDED)
    assert "No dead letter: every message could be read" in causes(admin_client)


def test_no_cause_shows_a_token_nor_breaks_the_page(admin_client):
    letters(1, f"title: {TOKEN[:20]} <script>alert(1)</script> {'x' * 200}", note=f"see {TOKEN}")
    html = unescape(admin_client.get(CAUSES).content.decode())
    assert TOKEN not in html
    assert "x" * 100 not in html
    assert "<script>alert" not in admin_client.get(CAUSES).content.decode()


def test_what_is_not_counted_is_said(admin_client, monkeypatch):
    letters(4)
    monkeypatch.setattr(redriving, "LETTER_CAUSES", redriving.LETTER_CAUSES.replace("5000", "3"))
    shown = causes(admin_client)
    assert "there are more" in shown
    assert f"{NEEDED} invalid_message 3+" in shown


def test_more_causes_than_a_person_reads_are_counted(admin_client, monkeypatch):
    monkeypatch.setattr(letter_causes, "NAMED", 2)
    for reason in ("a", "b", "c", "d", "e"):
        letters(1, reason)
    shown = causes(admin_client)
    assert "And 3 more reasons" in shown
    assert shown.count("Discard all") == 2


def test_the_page_costs_the_same_for_one_letter_and_many(admin_client):
    def queries() -> int:
        with CaptureQueriesContext(connection) as seen:
            causes(admin_client)
        return len(seen)

    letters(1)
    redriving.queue_up(redriving.causes()[0], 60, ADA)
    one = queries()
    for reason in ("a", "b", "c"):
        letters(15, reason)
    redriving.queue_up(redriving.causes()[0], 60, ADA)
    assert queries() == one <= 7


def test_the_page_of_a_letter_begins_with_what_to_do_as_long_as_there_is_something(admin_client):
    [unreadable] = letters(1, "x")
    page = page_of(admin_client, unreadable)
    assert "x What to do: Nothing was sent. Have it published anew" in page
    assert page.index("Redrive") < page.index("What happened")
    redriving.queue_up(redriving.causes()[0], 60, ADA)
    assert "What to do: Nothing: it is redriven by itself, its turn comes in" in page_of(admin_client, unreadable)
    DeadLetter.objects.update(redrive_at=timezone.now())
    assert "its turn has come. No worker is alive. Start one:" in page_of(admin_client, unreadable)
    redriving.stop(ADA)
    operations.discard([unreadable.pk], ADA)
    assert "What to do" not in page_of(admin_client, unreadable)


def test_a_letter_shows_state_size_and_turn(admin_client):
    [row] = letters(1, "x", size=70000)
    assert "open" in page_of(admin_client, row)
    assert "70,000 bytes" in page_of(admin_client, row)
    redriving.queue_up(redriving.causes()[0], 1, ADA)
    assert "to be redriven" in text(admin_client.get(listed(DeadLetter)))
    assert "in 59" in page_of(admin_client, row)


@pytest.mark.parametrize(("filters", "shown"), [("?code=exhausted", {"b"}), ("?code=x", set()), ("", {"a", "b"})])
def test_letters_are_filtered_by_what_they_are(admin_client, filters, shown):
    dead_letter(b"a", notification_id="a")
    dead_letter(b"b", notification_id="b", code="exhausted")
    html = admin_client.get(listed(DeadLetter, filters)).content.decode()
    assert set(re.findall(r'<span class="long">([^<]*)</span>', html)) == shown


# Redriving


def test_a_redrive_is_asked_for_with_rate_and_reason_and_shows_how_far_it_is(admin_client):
    letters(120)
    asked = text(admin_client.get(address("redrive")))
    assert "Redrive 120 dead letters?" in asked
    assert f"invalid_message: {NEEDED}" in asked
    assert redriving.queue() is None
    shown = text(admin_client.post(address("redrive"), {"rate": "60", "reason": "the template is mended"}, follow=True))
    assert "120 will be redriven, 60 a minute." in shown
    assert re.search(r"Redriving: 0 of 120, about (2|1) min left", shown)
    assert "Asked for by user admin: the template is mended" in shown
    assert "No worker is alive. Start one: python manage.py" in shown
    query("UPDATE dead_letters SET state = 'redriven', redrive_at = NULL WHERE mod(id, 3) = 0")
    assert re.search(r"Redriving: 40 of 120", causes(admin_client))


def test_what_changes_by_itself_is_live(admin_client):
    html = admin_client.get(CAUSES).content.decode()
    assert set(re.findall(r'<div id="([\w-]+)" data-live', html)) >= {"letter-redrive", "letter-causes"}


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        ({"rate": "0", "reason": "x"}, "greater than or equal to 1"),
        ({"rate": "6001", "reason": "x"}, "less than or equal to 6000"),
        ({"rate": "many", "reason": "x"}, "Enter a whole number"),
        ({"rate": "60", "reason": " "}, "This field is required"),
        ({"rate": "60", "reason": "x" * 501}, "at most 500 characters"),
    ],
)
def test_without_a_rate_and_a_reason_nothing_is_done(admin_client, form, sentence):
    letters(1)
    assert sentence in text(admin_client.post(address("redrive"), form))
    assert redriving.queue() is None


def test_a_form_sent_twice_has_one_effect(admin_client):
    letters(3)
    there = address("redrive")
    for said in ("3 will be redriven", "None of them is open any more, or all wait"):
        assert said in text(admin_client.post(there, {"rate": "60", "reason": "x"}, follow=True))
    assert AuditEntry.objects.count() == 1
    assert "Redrive all" not in causes(admin_client)


def test_what_was_redriven_in_vain_is_said_with_the_reason(admin_client):
    letters(2, note="It still cannot be accepted: user_id: is needed.")
    assert "2 redriven in vain: It still cannot be accepted: user_id: is needed." in causes(admin_client)


def test_a_stop_is_asked_for_with_a_reason_and_ends_it(admin_client):
    letters(5)
    redriving.queue_up(redriving.causes()[0], 60, ADA)
    stop = f"{CAUSES}stop/"
    assert stop in admin_client.get(CAUSES).content.decode()
    assert "Stop redriving?" in text(admin_client.get(stop))
    assert "This field is required" in text(admin_client.post(stop, {}))
    assert redriving.queue().left == 5
    for said in ("Stopped: 5 stay open.", "Nothing was being redriven any more."):
        assert said in text(admin_client.post(stop, {"reason": "it fails again"}, follow=True))
    assert redriving.queue() is None
    stopped = AuditEntry.objects.get(action="stop")
    assert (stopped.actor, stopped.reason) == ("user admin", "it fails again")


# Discarding


def test_a_cause_is_discarded_as_a_whole_for_a_reason(admin_client):
    gone, others = letters(30), letters(2, "user_id: is needed")
    there = address("discard")
    assert "Discard 30 dead letters?" in text(admin_client.get(there))
    assert "This field is required" in text(admin_client.post(there, {"reason": ""}))
    shown = text(admin_client.post(there, {"reason": "the orders were cancelled"}, follow=True))
    assert "30 discarded." in shown
    assert "user_id: is needed" in shown
    assert NEEDED not in shown
    assert set(DeadLetter.objects.filter(state="discarded").values_list("pk", flat=True)) == {row.pk for row in gone}
    assert DeadLetter.objects.filter(state="open").count() == len(others)
    assert AuditEntry.objects.filter(action="discard", reason="the orders were cancelled").count() == 30


# Who may


@pytest.mark.parametrize("verb", ["redrive", "discard", "stop"])
def test_who_may_only_look_sees_causes_and_does_nothing(verb):
    letters(2)
    there = address(verb)
    redriving.queue_up(redriving.causes()[0], 60, ADA)
    client = with_permissions("view_deadletter")
    shown = causes(client)
    assert "Redriving: 0 of 2" in shown
    assert "Discard all" not in shown
    for answer in (client.get(there), client.post(there, {"rate": "60", "reason": "x"})):
        assert answer.status_code == 403
    assert redriving.queue().left == 2


@pytest.mark.parametrize("verb", ["", "redrive/", "discard/", "stop/"])
def test_who_may_not_look_sees_no_cause(verb):
    client = with_permissions("operate")
    assert client.get(CAUSES + verb).status_code == 403
    assert Client().get(CAUSES + verb).status_code == 302


@pytest.mark.parametrize("which", ["", "?key=x", "?code=exhausted&key=%00", "?key=" + "a" * 5000])
@pytest.mark.parametrize("verb", ["redrive", "discard"])
def test_a_cause_that_is_not_there_any_more_is_said(admin_client, verb, which):
    letters(1)
    for answer in (
        admin_client.get(f"{CAUSES}{verb}/{which}", follow=True),
        admin_client.post(f"{CAUSES}{verb}/{which}", {"rate": "60", "reason": "x"}, follow=True),
    ):
        assert "None of them is open any more" in text(answer)
    assert DeadLetter.objects.get().state == "open"


def test_another_sites_form_does_nothing(admin_user):
    letters(1)
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin_user)
    assert strict.post(address("discard"), {"reason": "x"}).status_code == 403
    assert DeadLetter.objects.get().state == "open"
