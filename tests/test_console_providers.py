"""The page of providers: how each stands on all workers, and pausing and resuming what it sends."""

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import Permission, User
from django.test import Client
from django.utils import timezone

from deliveries import operations
from deliveries.console.fleet import UNKNOWN, standings
from deliveries.console.providers import LOOKS
from deliveries.health import UPSTREAM_STATES
from deliveries.models import AuditEntry, Brake, Worker
from deliveries.operations import Who
from tests.console import brake, listed, opened, text
from tests.test_troubles import CLOSED, failing, worker

pytestmark = pytest.mark.django_db(transaction=True)

PROVIDERS = "/admin/providers/"
PAUSE, RESUME = "/admin/providers/fcm/pause/", "/admin/providers/fcm/resume/"
ADA = Who("user ada", "the text is wrong")


def person(*permissions: str) -> Client:
    user = User.objects.create_user(f"bob-{len(permissions)}", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def test_it_says_how_each_stands_on_all_workers(admin_client):
    worker(fcm={"breaker": CLOSED | {"p95": 0.123}})
    worker(fcm=failing("timed out", failing_for=181, retry_after=15), gateway=failing("503", state="half-open"))
    page = text(admin_client.get(PROVIDERS))
    fcm, services = page.split("Services around us")
    for words in ("FCM", "failing", "open, on 1 of 2 workers", "(3 min ago)", "(in 1", "timed out", "123 ms"):
        assert words in fcm, words
    for words in ("User service", "well", "closed, on 2 of 2 workers", "Gateway", "being probed", "503"):
        assert words in services, words


def test_without_a_worker_it_names_the_command(admin_client):
    worker(ago=3600)
    page = text(admin_client.get(PROVIDERS))
    assert "No worker tells of it. Start one: python manage.py" in page
    assert "Credentials not known" in page


def test_it_tells_of_credentials_quota_and_brakes(admin_client, settings):
    settings.PUSH = settings.PUSH.model_copy(update={"fcm_quota": 24_000})
    worker(fcm={"breaker": CLOSED, "credentials": "FCM forbids it."})
    brake(pace=200.0, full_pace=400.0, taken=30.0)
    page = text(admin_client.get(PROVIDERS))
    for words in (
        "throttled",
        "refused: FCM forbids it.",
        "400 sends a second after a pause (FCM_QUOTA: 24,000 a minute)",
        "project: then climbs to 200 of 400 sends a second; the last that wait have their turn 30.0 s after it",
        "FCM throttled until",
        "Credentials refused",
    ):
        assert words in page, words


def test_every_state_has_a_look():
    assert {*UPSTREAM_STATES, UNKNOWN} == set(LOOKS)


def test_an_operator_pauses_with_a_reason_and_resumes(admin_client):
    worker()
    asked = text(admin_client.get(PAUSE))
    for words in ("Pause FCM?", "Nothing is lost", "what expires meanwhile ends as expired", "Back"):
        assert words in asked
    assert "This field is required" in text(admin_client.post(PAUSE, {"reason": " "}))
    assert not Brake.objects.exists()
    page = text(admin_client.post(PAUSE, {"reason": "the text is wrong"}, follow=True))
    assert "1 paused: nothing is sent through it until somebody resumes." in page
    for words in ("paused", "Resume sending", "FCM paused since", "user admin pause the text is wrong"):
        assert words in page
    assert "It is paused already." in text(admin_client.post(PAUSE, {"reason": "twice"}, follow=True))
    assert "Resume FCM?" in text(admin_client.get(RESUME))
    page = text(admin_client.post(RESUME, {"reason": ""}, follow=True))
    assert "Pause sending" in page
    assert "It is not paused." in text(admin_client.post(RESUME, {"reason": ""}, follow=True))
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action", "subject", "reason")) == [
        ("user admin", "pause", "fcm", "the text is wrong"),
        ("user admin", "resume", "fcm", ""),
    ]


def test_looking_at_the_confirmation_does_nothing(admin_client):
    admin_client.get(PAUSE)
    assert not Brake.objects.exists()
    assert not AuditEntry.objects.exists()


def test_a_provider_that_is_not_in_force_is_not_paused_but_what_was_paused_can_be_resumed(admin_client):
    assert admin_client.get("/admin/providers/apns/pause/").status_code == 404
    assert admin_client.post("/admin/providers/apns/pause/", {"reason": "so"}).status_code == 404
    operations.pause("fcm_legacy", ADA)
    assert "FCM, legacy" in text(admin_client.get(PROVIDERS))
    admin_client.post("/admin/providers/fcm_legacy/resume/", {"reason": ""})
    assert Brake.objects.get().until <= timezone.now()


def test_whoever_may_view_workers_sees_it_and_whoever_may_operate_pauses():
    assert person().get(PROVIDERS).status_code == 403
    viewer = person("view_worker")
    page = viewer.get(PROVIDERS).content.decode()
    assert PAUSE not in page
    assert viewer.get(PAUSE).status_code == viewer.post(PAUSE, {"reason": "so"}).status_code == 403
    assert not Brake.objects.exists()
    operator = person("view_worker", "operate")
    assert PAUSE in operator.get(PROVIDERS).content.decode()
    assert operator.post(PAUSE, {"reason": "so"}).status_code == 302
    assert Client().get(PROVIDERS).status_code == 302, "to the login"


def test_the_menu_leads_to_it_for_whoever_may_see_it():
    assert f'href="{PROVIDERS}"' in person("view_worker").get("/admin/").content.decode()
    assert f'href="{PROVIDERS}"' not in person("view_brake", "operate").get("/admin/").content.decode()


def test_it_asks_a_fixed_number_of_times(admin_client, django_assert_num_queries):
    """The session, the user, workers, brakes and the audit log."""
    for number in range(20):
        worker(fcm=failing())
        brake("process", key=f"w{number}/fcm")
        operations.pause("fcm", ADA)
        operations.resume("fcm", ADA)
    with django_assert_num_queries(5):
        assert admin_client.get(PROVIDERS).status_code == 200


def test_it_is_an_area_that_refreshes_itself(admin_client):
    assert re.search(r'<div id="providers" data-live>', admin_client.get(PROVIDERS).content.decode())


def test_the_brake_of_a_pause_names_the_page_that_ends_it_and_offers_no_lift(admin_client):
    operations.pause("fcm", ADA)
    row = Brake.objects.get()
    page = admin_client.get(opened(row))
    assert text(page).count("until somebody resumes it, on the page of providers") == 2
    assert "/brake/lift/" not in page.content.decode()
    assert "until somebody resumes it" in text(admin_client.get(listed(Brake)))


def test_the_list_of_workers_says_what_each_says_and_what_becomes_of_the_rows_of_one_that_is_gone(admin_client):
    worker(fcm=failing("timed out"))
    worker(ago=3600)
    Worker.objects.update(threads_alive=9, threads_expected=10, in_flight=7)
    page = admin_client.get(listed(Worker))
    shown = text(page)
    for words in ("alive", "gone", "FCM: open", "User service: closed", "9 of 10", "1 h ago"):
        assert words in shown, words
    assert "timed out" in page.content.decode()
    gone = Worker.objects.order_by("heartbeat_at").first()
    assert "7 were in work when it was heard last. The others take them over" in text(admin_client.get(opened(gone)))


def test_the_worst_of_all_workers_is_what_stands(admin_client):
    worker()
    worker(fcm=failing(failing_for=10), user_service=failing("503", failing_for=600))
    told = standings(list(Worker.objects.all()))
    assert (told["fcm"].state, told["fcm"].on_workers) == ("open", "1 of 2 workers")
    assert timezone.now() - told["user_service"].since > timedelta(minutes=9)
