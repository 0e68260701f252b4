"""Faults in progress: each is one sentence that says what, since when, what it holds up and what happens next."""

import json
import re
from datetime import UTC, timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from deliveries import health, operations
from deliveries.console import holdups, troubles
from deliveries.console.present import look
from deliveries.console.troubles import Trouble
from deliveries.models import Brake, DeadLetter, Notification, PushDelivery
from deliveries.operations import Who
from providers.breaker import Breaker
from tests.console import TOKEN, brake, dead_letter, listed, notification, text
from tests.world import eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

ADA = Who("user ada", "the text is wrong")
CLOSED = Breaker("any", 5, 60).snapshot()
UP = {
    "status": "up",
    "queue": {"name": "push.queue", "exists": True, "messages": 0, "consumers": 1},
    "blocked": False,
}


@pytest.fixture(autouse=True)
def rabbitmq(monkeypatch) -> dict:
    """What RabbitMQ says of itself; a test may change it."""
    said = UP | {"queue": dict(UP["queue"])}
    monkeypatch.setattr(health, "rabbitmq", lambda: said)
    return said


def worker(*, ago: float = 0.0, **told) -> None:
    """One that beat its heart `ago` seconds ago, and what it said of the services around it."""
    well = {name: {"breaker": CLOSED} for name in ("fcm", "user_service", "template_service", "gateway")}
    query(
        "INSERT INTO workers (id, host, pid, breakers, heartbeat_at)"
        " VALUES (%s, 'a-host', 7, %s, now() - make_interval(secs => %s))",
        uuid4(),
        json.dumps(well | told),
        ago,
    )


def failing(error: str = "500", *, state: str = "open", failing_for: float = 120.0, retry_after: float = 30.0) -> dict:
    told = {"state": state, "last_error": error, "failing_for": failing_for, "retry_after": retry_after, "failures": 5}
    return {"breaker": CLOSED | told}


def found() -> list[Trouble]:
    present = look()
    return troubles.troubles(present.workers, present.ledger)


def sentences() -> list[str]:
    return [trouble.sentence for trouble in found()]


def the_only() -> Trouble:
    [trouble] = found()
    return trouble


def waiting(count: int, of: Brake, **more) -> None:
    row = notification(f"n-{PushDelivery.objects.count()}")
    fields = {"user_id": "u", "provider": of.provider, "error_code": of.code, "status": "pending"} | more
    PushDelivery.objects.bulk_create(
        PushDelivery(notification=row, device_token=f"{TOKEN}{number}", **fields) for number in range(count)
    )


def stamp(time) -> str:
    return f"{time.astimezone(UTC):%H:%M:%S}"


def test_all_is_well_and_nothing_is_said():
    worker()
    assert found() == []


def test_a_throttled_project_is_told_with_how_many_wait_and_how_long_yet(settings):
    settings.PROVIDERS = {"fcm": {"project_id": "demo"}}
    worker()
    row = brake(ends_in=60, pace=2.0, full_pace=2.0)
    waiting(3_600, row)
    trouble = the_only()
    assert trouble.sentence.startswith(
        f"FCM project demo throttled until {stamp(row.until)} UTC, 3,600 waiting, about 31 min to drain"
    ), "a minute's pause, half a minute's climb that is lost, and 30 min at two a second"
    assert (trouble.level, trouble.address) == ("warning", listed(Brake))


def test_those_that_were_sent_or_wait_for_something_else_do_not_count():
    worker()
    row = brake(ends_in=60)
    waiting(5, row)
    waiting(3, row, status="sent")
    waiting(3, row, provider="webpush")
    waiting(3, row, error_code="UNAVAILABLE")
    assert "5 waiting" in the_only().sentence


def test_nobody_counts_further_than_a_person_reads(monkeypatch):
    monkeypatch.setattr(holdups, "MOST_COUNTED", 20)
    worker()
    waiting(30, brake(taken=7200.0))
    assert "more than 20 waiting, about 2 h to drain" in the_only().sentence


def test_a_crowded_ramp_is_told_and_an_empty_one_is_not():
    worker()
    brake(ends_in=-20)
    assert sentences() == []
    Brake.objects.update(taken=600.0)
    waiting(10, Brake.objects.get())
    assert "was throttled until" in the_only().sentence
    assert "sends climb back to 600 a second" in the_only().sentence


def test_a_pause_of_an_operator_says_that_somebody_must_end_it():
    worker()
    operations.pause("fcm", ADA)
    waiting(4, Brake.objects.get())
    sentence = the_only().sentence
    assert sentence.startswith(f"FCM paused since {stamp(Brake.objects.get().set_at)} UTC, 4 waiting.")
    for words in ("the text is wrong.", "until somebody resumes it", "what expires meanwhile ends as expired"):
        assert words in sentence
    assert the_only().address == "/admin/providers/"


def test_credentials_are_told_of_with_the_worker_and_once():
    worker(fcm={"breaker": CLOSED, "credentials": "FCM forbids it."})
    brake("process", key="w/fcm", subject="worker 1234 on a-host", code="UNAUTHENTICATED", advice="Mend the key.")
    trouble = the_only()
    assert trouble.level == "error"
    assert trouble.sentence.startswith("FCM does not let worker 1234 on a-host in since ")
    assert "UNAUTHENTICATED. Mend the key. Tried again at " in trouble.sentence


def test_of_a_fleet_without_credentials_three_workers_are_named():
    worker()
    for number in range(5):
        brake("process", key=f"w{number}/fcm", subject=f"worker {number}")
    assert len(sentences()) == 4
    assert "2 more worker processes are not let in." in sentences()


def test_credentials_without_a_brake_are_told_of_too():
    worker(fcm={"breaker": CLOSED, "credentials": "The key file is missing."})
    assert the_only().sentence == "FCM does not let us in: The key file is missing."


def test_an_open_breaker_is_told_with_since_when_the_error_and_the_next_probe():
    worker(user_service=failing("500", failing_for=120, retry_after=30))
    now = timezone.now()
    sentence = the_only().sentence
    near = {stamp(now + timedelta(seconds=offset)) for offset in range(-125, 35)}
    since, probe = sentence.split("since ")[1].split(" UTC")[0], sentence.split("next probe ")[1].split(")")[0]
    assert {since, probe} <= near
    assert sentence == (
        f"User service failing since {since} UTC: 500 (breaker open, next probe {probe}). "
        "New notifications wait for it."
    )
    assert the_only().level == "error"


def test_of_several_workers_the_worst_is_told_and_how_many_say_so():
    worker()
    worker(gateway=failing("timed out"))
    worker(gateway=failing("503", state="half-open", retry_after=0))
    worker(ago=3600, gateway=failing("long gone"))
    sentence = the_only().sentence
    assert sentence.startswith("Gateway failing since ")
    assert ": timed out (breaker open, next probe " in sentence
    assert ", on 1 of 3 workers). Pushes are sent;" in sentence


def test_a_breaker_that_probes_says_so():
    worker(fcm=failing(state="half-open", retry_after=6))
    assert "(breaker half-open, being probed now). Its pushes wait." in the_only().sentence


def test_without_a_worker_the_command_is_named():
    assert "No worker has been alive: nothing is sent" in the_only().sentence
    worker(ago=600, user_service=failing())
    sentence = the_only().sentence
    assert sentence.startswith(f"No worker has been alive since {stamp(timezone.now() - timedelta(minutes=10))[:4]}")
    assert sentence.endswith(("Start one: python manage.py rundramatiq", "manage.py serve"))


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"status": "down"}, "RabbitMQ does not answer"),
        ({"queue": UP["queue"] | {"exists": False, "consumers": None}}, "RabbitMQ has no queue push.queue"),
        ({"queue": UP["queue"] | {"consumers": 0, "messages": 1234}}, "Nobody consumes push.queue"),
        ({"blocked": True}, "a memory or disk alarm"),
    ],
)
def test_what_is_wrong_with_rabbitmq_is_told(rabbitmq, said, words):
    worker()
    rabbitmq |= said
    assert words in the_only().sentence
    assert the_only().level == "error"


def test_a_database_that_only_reads_is_told():
    worker()
    query("SET default_transaction_read_only = on")
    try:
        assert "The database takes no changes" in the_only().sentence
    finally:
        query("SET default_transaction_read_only = off")


def test_a_worker_whose_changes_fail_is_told():
    worker(ledger={"breaker": {"state": "open"}})
    assert the_only().sentence == "The database refuses changes of 1 of 1 worker."


def test_what_has_been_due_for_long_is_told_with_how_many_there_are():
    worker()
    notification("n-1", next_attempt_at=timezone.now() - timedelta(minutes=5))
    notification("n-2", next_attempt_at=timezone.now() - timedelta(seconds=1), high_priority=True)
    notification("later", next_attempt_at=timezone.now() + timedelta(hours=1))
    assert the_only().sentence.startswith("2 notifications are due, the oldest for 5 min: ")


def test_new_dead_letters_are_told_by_reason_and_old_and_closed_ones_are_not():
    worker()
    for number in range(3):
        dead_letter(b"%d" % number)
    dead_letter(b"x", code="exhausted")
    dead_letter(b"closed", state=DeadLetter.State.DISCARDED)
    dead_letter(b"old", first_seen_at=timezone.now() - timedelta(hours=2))
    trouble = the_only()
    assert trouble.sentence.startswith(
        "New dead letters in the last hour: 4 (3 invalid_message, 1 exhausted). They wait for somebody"
    )
    assert trouble.address == listed(DeadLetter)


def test_refused_reports_and_stopped_pruning_are_told():
    told = {"windows": [{"seconds": 60, "accepted": 10, "dead": 90}], "stopped": True}
    worker(fcm={"breaker": CLOSED, "verdicts": told})
    notification("n-1", status="failed", next_attempt_at=None, report_refused_at=timezone.now())
    pruning, refused = sentences()
    assert pruning.startswith("Pruning has stopped: 90 of the last 100 verdicts of fcm")
    assert refused == ("The gateway has refused to hear of 1 endings within a day, for good. Each says what it said.")


def test_what_is_worst_comes_first():
    worker(user_service=failing())
    brake()
    assert [trouble.level for trouble in found()] == ["error", "warning"]


def test_no_token_and_no_secret_is_told():
    worker(user_service=failing(f"500 for {TOKEN}"))
    brake(advice=f"Token {TOKEN} it was.", code="QUOTA")
    brake("process", key="w/fcm", subject=f"worker {TOKEN}", advice=f"Of {TOKEN}.")
    assert not [sentence for sentence in sentences() if TOKEN in sentence]


@pytest.mark.parametrize("count", [1, 50])
def test_it_asks_three_times_whatever_there_is_to_tell(django_assert_num_queries, count):
    for number in range(count):
        worker(user_service=failing())
        brake("process", key=f"w{number}/fcm")
        dead_letter(b"%d" % number)
    brake()
    with django_assert_num_queries(3):
        assert found()


def test_the_lists_of_pushes_say_the_same_of_what_holds_them_up(admin_client):
    worker()
    brake()
    for model in (Notification, PushDelivery):
        assert the_only().sentence.split(", about")[0] in text(admin_client.get(listed(model)))


def test_a_worker_tells_what_is_said_of_a_service_that_fails(engine, sandbox):
    sandbox.control("users", "down")
    engine(circuit_breaker_timeout=60.0).accept(*(message(f"n{number}") for number in range(10)))
    told = re.compile(r"User service failing since [\d:]{8} UTC: 503 \(breaker open, next probe [\d:]{8}\)\. New")
    eventually(lambda: any(map(told.match, sentences())), what="the sentence")
