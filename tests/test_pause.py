"""A pause that an operator makes: nothing is sent, nothing is lost, and only a person ends it."""

import psycopg
import pytest

from deliveries import operations
from deliveries.ledger import Resume, Settle, TidyBrakes, Wake
from deliveries.ledger.change import NOBODY
from deliveries.ledger.connection import conninfo
from deliveries.models import AuditEntry, Brake, Status
from deliveries.operations import Who
from tests.test_brakes import brake, is_held, many, one, other, pause_is_over, start  # noqa: F401 - two of them are fixtures
from tests.world import all_ended, check_invariants, counted, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

ADA = Who("user ada", "the text is wrong")
#: So steep a ramp that a test need not wait for it.
STEEP = 6_000_000


def held() -> int:
    [[count]] = query("SELECT count(*) FROM push_deliveries WHERE status = 'pending' AND error_code = 'paused'")
    return int(count)


def due_at_once(id: str) -> None:
    query("UPDATE notifications SET next_attempt_at = now() WHERE notification_id = %s", id)
    query("UPDATE push_deliveries SET next_attempt_at = now() WHERE notification_id = %s", id)


def test_while_it_is_paused_nothing_is_sent_and_once_it_is_resumed_everything_is_sent_once(engine, sandbox):
    running = engine(fcm_quota=STEEP)
    assert operations.pause("fcm", ADA).code == "paused"
    running.accept(*(message(f"n{number}", f"multi-{number}") for number in range(20)))
    eventually(lambda: counted("notifications", "worker_id") == {None: 20}, what="all put down")
    assert sandbox.book(full=False)["calls"] == 0
    assert held() == 60
    assert operations.resume("fcm", ADA).code == "resumed"
    eventually(all_ended, what="all sent and reported")
    assert counted("push_deliveries", "status", "attempts") == {("sent", 1): 60}
    assert sandbox.book(full=False)["accepted_count"] == 60
    check_invariants(sandbox)


def test_what_is_in_work_is_held_before_its_next_send(engine, sandbox):
    """Its first send met trouble, and while it waits for the next the provider is paused."""
    sandbox.control("fcm", "refuse500")
    running = engine()
    running.accept(message("n1"))
    eventually(lambda: counted("push_deliveries", "status") == {"pending": 1}, what="a first attempt")
    operations.pause("fcm", ADA)
    sandbox.control("fcm", "none")
    before = sandbox.book(full=False)["calls"]
    query("UPDATE notifications SET next_attempt_at = now()")
    query("UPDATE push_deliveries SET next_attempt_at = now()")
    eventually(lambda: held() == 1, what="a send that is held")
    assert sandbox.book(full=False)["calls"] == before
    assert sandbox.book(full=False)["accepted_count"] == 0


def test_a_worker_that_starts_later_obeys_it(engine, sandbox):
    operations.pause("fcm", ADA)
    engine().accept(message("n1"))
    eventually(lambda: held() == 1, what="a held send")
    assert sandbox.book(full=False)["calls"] == 0


def test_what_expires_meanwhile_ends_as_expired_and_says_why(engine, sandbox):
    operations.pause("fcm", ADA)
    engine().accept(message("n1", ttl=1))
    eventually(all_ended, what="an end")
    assert query("SELECT status, error_message FROM notifications") == [
        (
            "expired",
            "Its time was up. The last that happened: Sending was paused by an operator: the text is wrong",
        )
    ]
    assert sandbox.book(full=False)["accepted_count"] == 0


def test_it_holds_all_of_that_provider_in_every_worker_and_nothing_of_others(one, other):  # noqa: F811
    operations.pause("webpush", ADA)
    assert not is_held(one, "n1")
    operations.pause("fcm", ADA)
    assert is_held(one, "n2")
    assert is_held(other, "n3")


def test_neither_the_providers_own_429_nor_its_end_nor_tidying_ends_it(one):  # noqa: F811
    operations.pause("fcm", ADA)
    before = query("SELECT until, round FROM brakes WHERE scope = 'operator'")
    brake(one, "project", 1)
    brake(one, "project", 3000)
    pause_is_over(90, key="fcm")
    one.write(TidyBrakes())
    one.write(Wake(100))
    assert query("SELECT until, round FROM brakes WHERE scope = 'operator'") == before
    assert is_held(one, "n1")


def test_lifting_the_providers_own_pause_leaves_that_of_the_operator(one):  # noqa: F811
    operations.pause("fcm", ADA)
    brake(one, "project")
    outcomes = operations.lift(list(Brake.objects.order_by("key").values_list("pk", flat=True)), ADA)
    assert {outcome.code for outcome in outcomes} == {"lifted", "awaits_resume"}
    assert is_held(one, "n1")


def test_resuming_leaves_the_pause_that_the_provider_asked_for(one):  # noqa: F811
    operations.pause("fcm", ADA)
    brake(one, "project", 300)
    operations.resume("fcm", ADA)
    [hold] = start(one, "n1").holds.values()
    assert hold.code == "QUOTA"


def test_whoever_has_a_place_on_the_ramp_after_it_is_held_again_by_the_next(one):  # noqa: F811
    operations.pause("fcm", ADA)
    operations.resume("fcm", ADA)
    *_, hold = start(one, "n1", *many("n1", 20)).holds.values()
    one.write(Settle("n1", 1, Status.PENDING, 0, hold.code, hold.reason, hold.wait))
    operations.pause("fcm", Who("user ada", "again"))
    due_at_once("n1")
    [work] = one.claim()
    waiting = [delivery for delivery in work.deliveries if delivery.status == Status.PENDING]
    holds = start(one, "n1", *waiting, fence=work.fence).holds
    assert len(holds) == len(waiting) > 10
    assert {hold.reason for hold in holds.values()} == {"Sending was paused by an operator: again"}


def test_it_is_made_and_ended_once_and_both_are_kept():
    assert [operations.pause("fcm", Who("user ada", why)).code for why in ("one", "two")] == ["paused", "paused_before"]
    assert Brake.objects.get().advice.endswith("one")
    assert [operations.resume("fcm", ADA).code for _ in "ab"] == ["resumed", "not_paused"]
    assert list(AuditEntry.objects.order_by("id").values_list("actor", "action", "subject", "reason")) == [
        ("user ada", "pause", "fcm", "one"),
        ("user ada", "resume", "fcm", "the text is wrong"),
    ]


def test_it_is_made_for_a_reason():
    with pytest.raises(ValueError, match="reason"):
        operations.pause("fcm", Who("user ada"))
    assert not Brake.objects.exists()


def test_health_counts_it_among_what_holds_everything_up(client):
    operations.pause("fcm", ADA)
    assert client.get("/api/v1/health").json()["brakes"] == {"on": 1, "project": True, "process": False}


def test_nobody_waits_beyond_its_expiry(one):  # noqa: F811
    operations.pause("fcm", ADA)
    start(one, "n1")
    assert query(
        "SELECT d.next_attempt_at = n.expires_at FROM push_deliveries d JOIN notifications n USING (notification_id)"
    ) == [(True,)]


def test_of_two_that_resume_at_once_one_does():
    operations.pause("fcm", ADA)
    with psycopg.connect(conninfo()) as late:
        late.execute("SELECT now()")
        assert operations.resume("fcm", ADA).code == "resumed"
        assert Resume.apply(late.cursor(), [Resume("fcm", ADA)], NOBODY) == [False]
    assert AuditEntry.objects.filter(action="resume").count() == 1
