"""The tallies say what the rows say, minute by minute, however often, late or by how many workers they are counted."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

import psycopg
import pytest

from deliveries.ledger.asking import answer
from deliveries.ledger.change import Hand
from deliveries.ledger.connection import conninfo
from deliveries.ledger.tallying import COUNT_MINUTES, PLAN, latency_class
from deliveries.models import ENDS, Tally
from deliveries.tallying import TallyOffice
from tests.ledger_rows import delivered, notifications, worker
from tests.world import all_ended, eventually, message, query

pytestmark = pytest.mark.django_db(transaction=True)

MINUTE = timedelta(minutes=1)


def office(worker_id: str, *, alive: bool = True) -> TallyOffice:
    return TallyOffice(conninfo(), Hand(UUID(worker_id), 15.0), lambda: alive)


def eldest() -> str:
    """The worker whose turn it is."""
    known = query("SELECT id FROM workers ORDER BY started_at, id LIMIT 1")
    return str(known[0][0]) if known else worker()


def tally(of: TallyOffice | None = None) -> None:
    """A whole round: until there is nothing more to catch up with."""
    asyncio.run((of or office(eldest())).go_round(float("inf")))


def tallies(span: int = 60, kind: str = "ended") -> dict[str, int]:
    """The sums of all minutes, or hours, by name; what was counted and not found stands there as a 0."""
    counts: Counter[str] = Counter()
    for name, count in Tally.objects.filter(span=span, kind=kind).values_list("name", "count"):
        counts[name] += count
    return {name: count for name, count in counts.items() if count}


def rows() -> list[tuple]:
    order = ("span", "begins_at", "kind", "name", "is_sample")
    return list(Tally.objects.order_by(*order).values_list(*order, "count"))


# What is counted


def test_every_ending_is_counted_in_the_minute_in_which_it_came():
    ended = {status: delivered([f"{status}-{n}" for n in range(3)], status=status) for status in sorted(ENDS)}
    tally()
    assert tallies() == tallies(kind="device") == dict.fromkeys(ended, 3)
    [[minute]] = query("SELECT DISTINCT date_trunc('minute', ended_at) FROM notifications")
    assert {t.begins_at for t in Tally.objects.filter(span=60, count__gt=0)} == {minute}


def test_what_has_not_ended_is_not_counted():
    notifications(["n-1"], status="pending")
    query("UPDATE notifications SET ended_at = NULL")
    tally()
    assert tallies() == {}


def test_hours_are_the_sums_of_their_minutes():
    for minutes in range(0, 200, 7):
        delivered([f"n-{minutes}"], ago=timedelta(minutes=minutes))
    tally()
    assert tallies(span=3600) == tallies() == {"sent": 29}
    by_hour = query(
        "SELECT date_trunc('hour', ended_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC', count(*) FROM notifications"
        " GROUP BY 1 ORDER BY 1"
    )
    hours = Tally.objects.filter(span=3600, kind="ended", count__gt=0).order_by("begins_at")
    assert list(hours.values_list("begins_at", "count")) == by_hour


def test_codes_are_those_of_devices_that_did_not_get_it_and_of_notifications_without_any():
    delivered(["gone"], error_code="UNREGISTERED", status="failed")
    delivered(["fine"], error_code="")
    notifications(["out"], status="skipped", error_code="opted_out")
    tally()
    assert tallies(kind="code") == {"UNREGISTERED": 1, "opted_out": 1}


def test_latency_is_from_acceptance_to_the_providers_yes_in_classes():
    delivered(["quick", "slow", "failed"])
    for name, seconds in (("quick", 0.052), ("slow", 7.0), ("failed", 1.0)):
        query(
            "UPDATE push_deliveries d SET sent_at = n.created_at + %s::interval FROM notifications n"
            " WHERE n.notification_id = d.notification_id AND n.notification_id = %s",
            timedelta(seconds=seconds),
            name,
        )
    query("UPDATE push_deliveries SET status = 'failed' WHERE notification_id = 'failed'")
    tally()
    assert tallies(kind="latency") == {latency_class(0.052): 1, latency_class(7.0): 1} == {"57": 1, "7241": 1}


def test_the_classes_of_the_statement_are_those_of_the_function():
    seconds = [0.001 * 1.5**n for n in range(40)] + [0.0, -1.0, 1e6]
    ids = delivered(f"n-{n}" for n in range(len(seconds)))
    query(
        "UPDATE push_deliveries d SET sent_at = n.created_at + make_interval(secs => i.seconds)"
        " FROM notifications n JOIN unnest(%s::text[], %s::float8[]) AS i(id, seconds) ON n.notification_id = i.id"
        " WHERE d.notification_id = i.id",
        ids,
        seconds,
    )
    tally()
    assert tallies(kind="latency") == Counter(map(latency_class, seconds))


# Resends


def resend(id: str, *devices: str) -> None:
    """As a resend leaves them: only the chosen devices are touched, and the notification ends once more, now."""
    query("UPDATE notifications SET resent_at = now(), ended_at = now() WHERE notification_id = %s", id)
    query("UPDATE push_deliveries SET updated_at = now() WHERE device_token = ANY(%s)", list(devices))


def test_a_resend_is_another_ending_and_counts_only_the_devices_that_it_was_about():
    delivered(["n-1"], status="sent", ago=timedelta(minutes=30))
    query(
        "INSERT INTO push_deliveries (notification_id, user_id, device_token, provider, status, error_code, updated_at)"
        " SELECT 'n-1', 'n-1', 'second', 'fcm', 'failed', 'UNREGISTERED', now() - interval '30 min'"
    )
    tally()
    assert tallies(kind="device") == {"sent": 1, "failed": 1}
    resend("n-1", "second")
    query("UPDATE push_deliveries SET status = 'sent', sent_at = now() + interval '2 s' WHERE device_token = 'second'")
    tally()
    assert tallies() == {"sent": 2}
    assert tallies(kind="device") == {"sent": 2, "failed": 1}
    assert tallies(kind="latency") == {latency_class(2.0): 1}


def test_a_resend_that_found_no_device_counts_its_own_code():
    delivered(["n-1"], status="failed", error_code="UNREGISTERED", ago=timedelta(minutes=30))
    tally()
    resend("n-1")
    query("UPDATE notifications SET status = 'skipped', error_code = 'opted_out'")
    tally()
    assert tallies(kind="code") == {"UNREGISTERED": 1, "opted_out": 1}


# Again and again


def test_a_round_that_finds_nothing_new_writes_nothing():
    delivered(["n-1"], ago=timedelta(seconds=1))
    tally()
    before = query("SELECT xmin::text, ctid::text FROM tallies WHERE count > 0 ORDER BY ctid")
    tally()
    assert query("SELECT xmin::text, ctid::text FROM tallies WHERE count > 0 ORDER BY ctid") == before != []


def test_a_row_that_was_committed_late_is_counted_while_its_minute_is_open_and_no_longer_when_it_is_closed():
    notifications(["n-1"], ago=timedelta(minutes=2, seconds=1), status="sent")
    tally()
    Tally.objects.filter(span=60, begins_at__gt=datetime.now(UTC) - 1.5 * MINUTE).delete()  # as of a minute ago
    notifications(["late"], ago=timedelta(minutes=2, seconds=1), status="sent")
    tally()
    assert tallies() == {"sent": 2}
    notifications(["much too late"], ago=timedelta(minutes=6), status="sent")
    tally()
    assert tallies() == {"sent": 2}


def test_what_is_no_longer_so_in_an_open_minute_is_taken_back():
    delivered(["n-1"], ago=timedelta(0), status="failed", error_code="UNAVAILABLE")
    tally()
    query("UPDATE notifications SET status = 'sent'")
    query("UPDATE push_deliveries SET status = 'sent', error_code = ''")
    query("UPDATE notifications SET ended_at = now()")
    tally()
    assert tallies(kind="code") in ({}, {"UNAVAILABLE": 1})  # the latter if a minute has gone by
    assert tallies()["sent"] == 1


def test_a_minute_that_is_closed_stays_as_it_is_when_its_rows_are_pruned():
    delivered(["n-1"], ago=timedelta(minutes=30))
    tally()
    before = rows()
    query("DELETE FROM push_deliveries")
    query("DELETE FROM notifications")
    tally()
    closed = [row for row in before if row[0] == 60 and row[1] < datetime.now(UTC) - 5 * MINUTE]
    assert [row for row in rows() if row in closed] == closed != []
    assert tallies(span=3600) == {"sent": 1}


def test_after_a_pause_it_goes_on_from_where_it_stopped():
    notifications(["before"], ago=timedelta(minutes=90), status="sent")
    tally()
    Tally.objects.filter(span=60, begins_at__gt=datetime.now(UTC) - 80 * MINUTE).delete()
    for minutes in (70, 40, 3, 0):
        notifications([f"n-{minutes}"], ago=timedelta(minutes=minutes), status="failed")
    tally()
    assert tallies() == {"sent": 1, "failed": 4}
    minutes = list(Tally.objects.filter(span=60, kind="ended", name="sent").order_by("begins_at"))
    steps = {b.begins_at - a.begins_at for a, b in pairwise(minutes)}
    assert steps == {MINUTE}  # none was left out, though most are empty


def test_one_piece_of_a_long_pause_is_a_few_minutes():
    notifications(["before"], ago=timedelta(minutes=90), status="sent")
    asyncio.run(office(worker()).go_round(float("-inf")))
    assert Tally.objects.filter(span=60, kind="ended", name="sent").count() < 10


def test_samples_stay_and_are_not_summed():
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    Tally.objects.create(span=60, begins_at=now - 5 * MINUTE, kind="ended", name="sent", is_sample=True, count=7)
    notifications(["n-1"], status="sent")
    tally()
    assert tallies() == {"sent": 8}
    assert tallies(span=3600) == {"sent": 1}


def test_minutes_are_kept_for_two_days_and_hours_for_ninety():
    tally()
    now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
    for span, days in ((60, 1), (60, 3), (3600, 3), (3600, 91)):
        Tally.objects.create(span=span, begins_at=now - timedelta(days=days), kind="ended", name="skipped", count=1)
    tally()
    assert (tallies()["skipped"], tallies(span=3600)["skipped"]) == (1, 1)


# One of many workers


def test_only_the_eldest_worker_that_lives_counts():
    notifications(["n-1"], status="sent")
    dead, elder, younger = worker(silent=timedelta(minutes=5)), worker(), worker()
    for age, id in enumerate((younger, elder, dead)):
        query("UPDATE workers SET started_at = now() - %s::interval WHERE id = %s", age * MINUTE, id)
    tally(office(younger))
    tally(office(dead))
    assert rows() == []
    tally(office(elder))
    assert tallies() == {"sent": 1}


@pytest.fixture
def another_counts() -> Iterator[None]:
    with psycopg.connect(conninfo()) as connection:
        connection.execute("SELECT pg_advisory_xact_lock(hashtext('tallies'))")
        yield


def test_while_another_counts_it_does_not_wait(another_counts):
    notifications(["n-1"], status="sent")
    tally()
    assert rows() == []


def test_several_at_once_count_nothing_twice():
    delivered([f"n-{n}" for n in range(500)])
    one = worker()

    async def all_at_once() -> None:
        await asyncio.gather(*(office(one).go_round(float("inf")) for _ in range(5)))

    asyncio.run(all_at_once())
    tally(office(one))
    assert tallies() == tallies(span=3600) == {"sent": 500}


def test_a_worker_that_is_cut_off_counts_nothing():
    asyncio.run(office(worker(), alive=False).tick())
    assert rows() == []


def test_after_a_round_that_was_given_up_it_rests_as_after_any_other(monkeypatch):
    monkeypatch.setattr("deliveries.tallying.PAUSE", 0.0)
    monkeypatch.setattr("deliveries.tallying.PATIENCE", 0.5)
    delivered(["a"])
    of = office(eldest())

    async def twice() -> float:
        with pytest.raises(psycopg.OperationalError):
            await of.tick()
        begun = time.monotonic()
        await of.tick()
        return time.monotonic() - begun

    with psycopg.connect(conninfo()) as other:
        other.execute("LOCK TABLE notifications IN ACCESS EXCLUSIVE MODE")
        assert asyncio.run(twice()) < 0.25


def test_an_engine_counts_what_it_sends(engine):
    running = engine()
    for number in range(5):
        running.accept(message(f"n{number}"))
    eventually(all_ended)
    eventually(lambda: tallies() == {"sent": 5}, within=15)
    assert tallies(kind="device") == {"sent": 5}
    assert sum(tallies(kind="latency").values()) == 5


# Its cost


def test_a_minute_is_found_by_the_index_on_its_end_and_devices_by_theirs():
    ids = [f"n-{n}" for n in range(20_000)]
    delivered(ids)
    query("UPDATE notifications SET ended_at = now() - make_interval(secs => substr(notification_id, 3)::int)")
    query("ANALYZE notifications, push_deliveries")
    period = {"begin": datetime.now(UTC) - 3 * MINUTE, "end": datetime.now(UTC)}

    async def explain(connection):
        await connection.execute(PLAN)
        plan = await connection.execute(f"EXPLAIN {COUNT_MINUTES}", period)
        return "\n".join(line for [line] in await plan.fetchall())

    plan = asyncio.run(answer(conninfo(), explain, 10.0))
    assert "Bitmap Index Scan on notifications_ended" in plan
    assert "one_delivery_per_device" in plan
    assert "Seq Scan" not in plan
