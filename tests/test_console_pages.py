"""The page of a push answers why the user did not get it: the cause, what to do, and what happened in order."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from deliveries.models import AuditEntry, Notification, PushAttempt, PushDelivery, Status
from tests.console import TOKEN, brake, dead_letter, delivery, listed, notification, opened, page_of, text

NOW = timezone.now().replace(microsecond=0) - timedelta(minutes=5)

pytestmark = pytest.mark.django_db


def after(seconds: float):
    return NOW + timedelta(seconds=seconds)


def attempt(of: PushDelivery | Notification, seconds: float, **more) -> PushAttempt:
    owner = {"delivery": of, "notification": of.notification} if isinstance(of, PushDelivery) else {"notification": of}
    fields = {"stage": "send", "outcome": "retry", "error_code": "UNAVAILABLE", "created_at": after(seconds)}
    return PushAttempt.objects.create(**owner | fields | more)


def travelled() -> Notification:
    """A notification that reached one device at the second try, and another one never."""
    row = notification(
        "n-1",
        template_id="welcome",
        source="queue",
        status=Status.SENT,
        created_at=NOW,
        resolved_at=after(0.02),
        rendered_at=after(0.05),
        ended_at=after(13),
        reported_at=after(13.5),
        next_attempt_at=None,
    )
    first = delivery(row, status=Status.SENT, attempts=2, sending_at=after(12), sent_at=after(12.25))
    attempt(first, 1, http_status=503, duration_ms=480.0, retry_after=11.0, error_message="FCM is busy.")
    other = delivery(
        row, "b" * 100, status=Status.FAILED, error_code="UNREGISTERED", error_message="The app was removed."
    )
    attempt(other, 2, outcome="failed", error_code="UNREGISTERED", http_status=404, duration_ms=30.0)
    return row


def in_order(page: str, *words: str) -> None:
    places = [page.find(word) for word in words]
    assert -1 not in places, dict(zip(words, places, strict=True))
    assert places == sorted(places)


def test_a_timeline_tells_every_stage_and_attempt_in_order_with_the_time_between(admin_client):
    in_order(
        page_of(admin_client, travelled()),
        "Received from the queue and accepted",
        "User looked up",
        "+20 ms",
        "Template rendered welcome",
        "+30 ms",
        "Attempt 1: retry",
        "took 480 ms · HTTP 503 · UNAVAILABLE · FCM is busy. · next try after 11.0 s",
        "Attempt 1: failed",
        "took 30 ms · HTTP 404 · UNREGISTERED",
        "Attempt 2: accepted by FCM",
        "took 250 ms",
        "Ended: sent",
        "Reported to the gateway",
        "+500 ms",
    )


def test_the_last_attempt_stands_before_the_end_with_which_it_was_written_down(admin_client):
    row = notification("n-1", status=Status.FAILED, error_code="X", created_at=NOW, ended_at=after(3))
    attempt(delivery(row), 3.002, outcome="failed")
    in_order(page_of(admin_client, row), "Attempt 1: failed", "Ended: failed X")


def test_a_deliverys_timeline_is_of_its_own_device(admin_client):
    gone = travelled().deliveries.get(status=Status.FAILED)
    shown = page_of(admin_client, gone)
    assert "UNREGISTERED" in shown
    assert "UNAVAILABLE" not in shown
    assert "The app was removed." in shown


def test_what_operators_did_stands_in_the_timeline(admin_client):
    row = travelled()
    AuditEntry.objects.create(
        actor="user ada", action="resend", subject="n-1", reason="the phone was off", at=after(60)
    )
    in_order(page_of(admin_client, row), "Reported to the gateway", "user ada: resend the phone was off")


def test_the_cause_stands_above_all_with_what_to_do_and_the_buttons(admin_client):
    row = notification("n-1", status=Status.SKIPPED, error_code="no_device", error_message="The user has no device.")
    in_order(
        page_of(admin_client, row),
        "skipped",
        "Nothing was sent. The user has no device.",
        "What to do: Nothing to do here: the app registers",
        "Resend",
        "Timeline",
    )


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"status": Status.SENT}, "It was accepted for this device."),
        ({"status": Status.SENT, "unknown_count": 1}, "nobody knows whether that arrived too"),
        ({"status": Status.FAILED, "error_code": "UNREGISTERED", "error_message": "It is gone."}, "It is gone."),
        ({"status": Status.EXPIRED, "error_code": "expired"}, "give it a later expires_at"),
        ({"status": Status.SENDING}, "It is being sent."),
        ({"next_attempt_at": after(3600), "error_message": "FCM is down."}, "UTC. Until now: FCM is down."),
        ({}, "It is about to be sent."),
    ],
)
def test_a_deliverys_page_says_how_it_stands(admin_client, row, words):
    assert words in page_of(admin_client, delivery(notification("n-1"), **row))


def test_a_page_leads_to_all_that_has_to_do_with_it(admin_client):
    row = notification("n-1", user_id="ada")
    waiting = delivery(row, brake_round=7)
    letter = dead_letter(b"{}", notification_id="n-1", code="exhausted")
    held_by = brake()
    notification("n-2", user_id="ada")
    for page in (row, waiting):
        html = admin_client.get(opened(page)).content.decode()
        assert opened(letter) in html
        assert opened(held_by) in html
        assert f"{listed(Notification)}?q=ada" in html
    assert opened(waiting) in admin_client.get(opened(row)).content.decode()


def test_who_knows_a_user_finds_the_last_push_its_cause_and_the_button_in_two_clicks(admin_client):
    notification("n-other", user_id="eve")
    failed = notification("n-1", user_id="ada", status=Status.FAILED, error_code="X", error_message="It broke.")
    found = admin_client.get(listed(Notification, "?q=ada")).content.decode()
    [address] = set(re.findall(r'href="(/admin/deliveries/notification/[^"]*/change/)[^"]*"', found))
    page = admin_client.get(address)
    assert address == opened(failed)
    assert "It broke." in text(page)
    assert re.search(r'href="/admin/deliveries/notification/resend/\?id=n-1"[^>]*>Resend</a>', page.content.decode())


def test_a_link_to_what_is_pruned_leads_to_the_list_and_says_so(admin_client):
    for address in (
        "notification/n-gone/change/",
        "notification/a%00b/change/",
        "worker/0f0f0f0f-0f0f-0f0f-0f0f-0f0f0f0f0f0f/change/",
    ):
        page = admin_client.get(f"/admin/deliveries/{address}", follow=True)
        assert page.redirect_chain[0][0] == f"/admin/deliveries/{address.partition('/')[0]}/"
        assert "or not any more: what ended long ago is pruned." in text(page)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"title": "x" * 5000}, "It cannot be written for the provider: Title, body"),
        ({"data": {"from": "me"}}, "keeps the data key"),
        ({"provider": "pigeon"}, "Nobody here knows how pigeon writes it."),
        ({"provider": "fcm_legacy", "title": "Hi"}, " of 4096 bytes"),
        ({"provider": "webpush", "title": "Hi"}, " of 3993 bytes"),
        ({"title": "Hi", "body": "There"}, " of 4096 bytes"),
    ],
)
def test_a_payload_is_shown_as_it_goes_out_or_why_it_cannot(admin_client, asked, words):
    sent = delivery(notification("n-1"))
    PushDelivery.objects.update(**asked)
    shown = page_of(admin_client, sent)
    assert words in shown
    assert TOKEN not in shown


def test_what_is_sent_again_lives_from_now_on(admin_client):
    hour = timezone.now() + timedelta(hours=1)
    sent = delivery(notification("n-1", expires_at=hour), sending_at=timezone.now() - timedelta(hours=2))
    for status, seconds in (("pending", 3600), ("failed", 10_800)):
        PushDelivery.objects.update(status=status, title="Hi")
        [ttl] = re.findall(r'"ttl": "(\d+)s"', page_of(admin_client, sent))
        assert seconds - 60 < int(ttl) <= seconds


def test_a_request_that_somebody_changed_breaks_no_page(admin_client):
    sent = delivery(notification("n-1", request={"nonsense": True}))
    assert "cannot be read any more" in page_of(admin_client, sent)


@pytest.mark.parametrize(
    ("row", "is_live"),
    [({}, True), ({"status": Status.SENT}, True), ({"status": Status.SENT, "reported_at": NOW}, False)],
)
def test_what_still_changes_is_marked_as_live(admin_client, row, is_live):
    html = admin_client.get(opened(notification("n-1", **row))).content.decode()
    for area in ("standing", "timeline", "devices"):
        assert bool(re.search(rf'<section id="{area}"[^>]*data-live', html)) == is_live


@pytest.mark.parametrize("model", [Notification, PushDelivery])
def test_a_page_and_a_list_cost_the_same_with_one_row_and_with_fifty(admin_client, model):
    def queries(address: str) -> int:
        with CaptureQueriesContext(connection) as seen:
            assert admin_client.get(address).status_code == 200
        return len(seen)

    first = delivery(notification("n-0", template_id="welcome"))
    addresses = (listed(model), opened(first if model is PushDelivery else first.notification))
    before = [queries(address) for address in addresses]
    for number in range(1, 50):
        other = delivery(notification(f"n-{number}", template_id="welcome"))
        attempt(first, number, delivery=first)
        attempt(other, number)
        delivery(first.notification, f"token-{number}")
    assert [queries(address) for address in addresses] == before
