"""Brakes: one worker's "not now" holds in all, each send waits for its own place, and nobody asks too early."""

import logging
import threading
import time
from dataclasses import replace
from math import inf
from uuid import uuid4

import pytest

from deliveries.brakes import Brakes
from deliveries.ledger import Braked, Lift, Settle, StartSends, TidyBrakes, Wake, direct
from deliveries.ledger.audit import Audited
from deliveries.ledger.resending import Resend
from deliveries.masking import token_hash
from deliveries.models import Status
from deliveries.ramp import RAMP, Ramp
from deliveries.work import Delivery
from providers.errors import Scope
from tests.ledger_rows import delivered
from tests.test_ledger import Hands, LosesAnswers, a_worker, delivery
from tests.world import counted, query

pytestmark = pytest.mark.django_db(transaction=True)

PACE = 600.0
CLIMB = Ramp(PACE, PACE)


@pytest.fixture
def one():
    with a_worker() as hands:
        yield hands


@pytest.fixture
def other():
    with a_worker() as hands:
        yield hands


def on(brakes: Brakes, of: Delivery, scope: Scope, wait: float = 30.0, began: float = inf) -> list[Braked]:
    return list(brakes.on(of, scope, "QUOTA", "Too many.", wait, began))


def brake(hands: Hands, scope: Scope, wait: float = 30.0, pace: float = PACE, **of) -> Braked:
    """Puts a brake on in the name of a worker: of a send to the device `t1`, or to whatever is said."""
    [change] = on(Brakes(hands.id, pace), replace(delivery("n0", "t1"), **of), scope, wait)
    hands.write(change)
    return change


def start(hands: Hands, id: str, *deliveries: Delivery, fence: int = 1):
    """Claims the sends of a new notification. Returns what the ledger says."""
    if not query("SELECT FROM notifications WHERE notification_id = %s", id):
        hands.accept(id)
    [started] = hands.write(StartSends(id, fence, list(deliveries) or [delivery(id, "t1")]))
    return started


def is_held(hands: Hands, id: str, *deliveries: Delivery) -> bool:
    return bool(start(hands, id, *deliveries).holds)


def waits(started) -> list[float]:
    return [hold.wait for hold in started.holds.values()]


def many(id: str, count: int) -> list[Delivery]:
    return [delivery(id, f"{id}-t{number}") for number in range(count)]


def topic(id: str, name: str = "news") -> Delivery:
    return replace(delivery(id, name), target="topic")


def pause_is_over(seconds: float = 0.0, key: str = "%") -> None:
    """So many seconds ago, instead of waiting for it."""
    query("UPDATE brakes SET until = now() - make_interval(secs => %s) WHERE key LIKE %s", seconds, key)


def put_down(hands: Hands, id: str, wait: float, fence: int = 1) -> None:
    hands.write(Settle(id, fence, Status.PENDING, 0, "QUOTA", "Too many.", wait))


def test_a_projects_quota_holds_everybodys_sends_in_every_worker(one, other):
    brake(one, "project")
    assert is_held(one, "n1")
    assert is_held(other, "n2", delivery("n2", "t2"), topic("n2"))
    assert not is_held(other, "n3", replace(delivery("n3", "t3"), provider="webpush"))


def test_a_devices_quota_holds_that_device_alone_in_every_worker(one, other):
    brake(one, "target")
    started = start(other, "n1", delivery("n1", "t1"), delivery("n1", "t2"))
    assert [hold.wait == pytest.approx(30, abs=2) for hold in started.holds.values()] == [True]
    assert query("SELECT device_token, status FROM push_deliveries ORDER BY 1") == [
        ("t1", "pending"),
        ("t2", "sending"),
    ]
    assert not is_held(other, "n2", topic("n2"))
    assert is_held(one, "n3")


def test_a_topics_quota_holds_that_topic_alone(one, other):
    brake(one, "target", target="topic", device_token="news")
    assert is_held(other, "n1", topic("n1"))
    assert not is_held(other, "n2", topic("n2", "sports"), delivery("n2", "t1"))
    assert query("SELECT scope, subject FROM brakes") == [("topic", "news")]


def test_trouble_with_credentials_holds_the_process_that_met_it(one, other):
    brake(one, "process")
    assert is_held(one, "n1")
    assert not is_held(other, "n2")


def test_what_is_held_is_pending_with_the_reason_and_burns_nothing(one):
    change = brake(one, "project")
    start(one, "n1")
    [row] = query("SELECT status, attempts, error_code, error_message, brake_round FROM push_deliveries")
    assert row == ("pending", 0, "QUOTA", "Too many.", change.round)
    [[wait]] = query("SELECT extract(epoch FROM next_attempt_at - now())::float FROM push_deliveries")
    assert 25 < wait <= 30


def test_nobody_has_a_place_before_the_pause_is_over_and_each_has_its_own(one, other):
    brake(one, "project")
    begun = [*waits(start(one, "n1", *many("n1", 20))), *waits(start(other, "n2", *many("n2", 20)))]
    [[until]] = query("SELECT extract(epoch FROM until - now())::float FROM brakes")
    expected, _ = CLIMB.places(0.0, 40)
    assert len(begun) == 40
    assert min(begun) >= until - 0.5
    assert [wait - begun[0] for wait in begun] == pytest.approx(expected, abs=1.0)


def test_a_longer_pause_extends_and_a_shorter_one_does_not(one, other):
    first = brake(one, "project", 30)
    brake(other, "project", 10)
    [[until, pause, set_at]] = query("SELECT until, round, set_at FROM brakes")
    assert pause == first.round
    longer = brake(other, "project", 50)
    [[later, pause, since]] = query("SELECT until, round, set_at FROM brakes")
    assert (pause, since) == (longer.round, set_at)
    assert 15 < (later - until).total_seconds() < 25


def test_of_pauses_that_are_written_together_the_longest_counts(one):
    of = delivery("n0", "t1")
    brakes = Brakes(one.id, PACE)
    one.write(*[change for wait in (10, 40, 20) for change in on(brakes, of, "project", wait)])
    [[wait]] = query("SELECT extract(epoch FROM until - now())::float FROM brakes")
    assert 35 < wait <= 40


def pace() -> float:
    [[pace]] = query("SELECT pace FROM brakes")
    return float(pace)


def test_a_pause_after_the_ramp_had_carried_sends_halves_the_pace_and_one_after_it_has_the_full_one(one):
    brake(one, "project")
    brake(one, "project", 40)
    assert pace() == PACE, "one pause that grew"
    for expected in (PACE / 2, PACE / 4):
        pause_is_over(RAMP / 2)
        brake(one, "project")
        assert pace() == expected
    pause_is_over(RAMP + 1)
    brake(one, "project")
    assert pace() == PACE


def test_a_probe_that_is_refused_leaves_the_pace_as_it_is_however_often(one):
    brake(one, "project")
    for _ in range(14):
        pause_is_over(1)
        brake(one, "project")
    assert pace() == PACE


def test_the_pace_is_never_halved_below_a_64th(one):
    for _ in range(10):
        brake(one, "project")
        pause_is_over(RAMP - 1)
    assert pace() == PACE / 64


def test_a_lift_brings_the_full_pace_back(one):
    brake(one, "project")
    pause_is_over(RAMP / 2)
    change = brake(one, "project")
    assert pace() == PACE / 2
    one.write(Lift(change.key))
    assert pace() == PACE


def test_a_place_is_honoured_when_its_time_comes(one):
    brake(one, "project")
    [wait] = waits(start(one, "n1"))
    put_down(one, "n1", wait)
    brakes_before = query("SELECT taken FROM brakes")
    pause_is_over()
    query("UPDATE notifications SET next_attempt_at = now()")
    query("UPDATE push_deliveries SET next_attempt_at = now()")
    [work] = one.claim()
    assert not start(one, "n1", *work.deliveries, fence=work.fence).holds
    assert query("SELECT taken FROM brakes") == brakes_before, "it asked for no other"


def test_a_place_in_an_earlier_round_is_void(one):
    brake(one, "project")
    [wait] = waits(start(one, "n1"))
    put_down(one, "n1", wait)
    brake(one, "project", 60)
    query("UPDATE notifications SET next_attempt_at = now()")
    query("UPDATE push_deliveries SET next_attempt_at = now()")
    [work] = one.claim()
    assert waits(start(one, "n1", *work.deliveries, fence=work.fence)) == [pytest.approx(60, abs=2)]


def test_a_resend_has_no_place_any_more(one):
    change = brake(one, "project")
    start(one, "n1")
    one.write(Settle("n1", 1, Status.FAILED, 0, "x", "y"))
    query("UPDATE push_deliveries SET status = 'failed'")
    query("UPDATE notifications SET worker_id = NULL, reported_at = now()")
    assert query("SELECT brake_round FROM push_deliveries") == [(change.round,)]
    direct.write([Resend("n1", Audited("user ada"))])
    [work] = one.claim()
    assert len(start(one, "n1", *work.deliveries, fence=work.fence).holds) == 1


def test_as_many_begin_in_a_second_as_the_ramp_allows(one, other):
    brake(one, "project", 0.2)
    for number in range(120):
        hands = (one, other)[number % 2]
        put_down(hands, f"n{number}", waits(start(hands, f"n{number}", delivery(f"n{number}", f"t{number}")))[0])
    [[until]] = query("SELECT extract(epoch FROM until)::float FROM brakes")
    begun: list[float] = []
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        for hands in (one, other):
            for work in hands.claim():
                assert not start(hands, work.id, *work.deliveries, fence=work.fence).holds, "its time has come"
                begun.append(time.time() - until)
        time.sleep(0.02)
    late = begun[0] if begun else 0.0
    for second in (1, 2, 3):
        assert sum(time < second for time in begun) <= CLIMB.sends_until(second) + 1
    assert len(begun) > CLIMB.sends_until(3 - late) / 2


def test_a_ramp_that_is_climbed_holds_nobody(one):
    brake(one, "project")
    pause_is_over(RAMP + 1)
    assert not is_held(one, "n1", *many("n1", 100))


def test_after_a_lost_answer_to_commit_a_brake_and_its_places_are_the_same():
    loses = LosesAnswers(1000)
    with a_worker(loses) as hands:
        brake(hands, "project")
        hands.accept("n1")
        loses._every = 1
        claim = StartSends("n1", 1, many("n1", 3))
        threading.Timer(2.5, lambda: setattr(loses, "_every", 1000)).start()
        [started] = hands.write(claim)
    assert loses.lost >= 2
    rows = dict(query("SELECT send_token, extract(epoch FROM next_attempt_at)::float FROM push_deliveries"))
    assert sorted(rows) == sorted(started.holds) == sorted(started.ids)
    [[until, taken]] = query("SELECT extract(epoch FROM until)::float, taken FROM brakes")
    expected, end = CLIMB.places(0.0, 3)
    assert sorted(rows.values()) == pytest.approx([until + place for place in expected], abs=0.001)
    assert taken == pytest.approx(end), "no place was given away twice"


def test_a_brake_that_is_written_twice_gives_no_place_twice(one):
    change = brake(one, "project")
    start(one, "n1")
    before = query("SELECT * FROM brakes")
    one.write(change)
    assert query("SELECT * FROM brakes") == before


def test_two_workers_that_brake_and_ask_never_deadlock(one, other, caplog):
    devices = [f"t{number}" for number in range(6)]
    for device in devices:
        brake(one, "target", device_token=device)

    def work(hands: Hands, order: list[str]) -> None:
        brakes = Brakes(hands.id, PACE)
        for number in range(60):
            id = f"{hands.id}-{number}"
            hands.accept(id)
            sends = StartSends(id, 1, [delivery(id, device) for device in order[:3]])
            puts = [change for device in order[3:] for change in on(brakes, delivery(id, device), "target")]
            hands.write(sends, *puts)

    threads = [
        threading.Thread(target=work, args=(one, devices)),
        threading.Thread(target=work, args=(other, devices[::-1])),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert counted("push_deliveries", "status") == {"pending": 360}
    assert "held up" not in caplog.text


def test_what_a_process_may_not_send_is_due_in_a_second_for_anybody(one, other):
    brake(one, "process", 300)
    [wait] = waits(start(one, "n1", *many("n1", 1)))
    assert wait <= 1
    assert query("SELECT brake_round, status FROM push_deliveries") == [(None, "pending")]
    assert query("SELECT taken FROM brakes") == [(0.0,)], "nobody has a place"
    put_down(one, "n1", 0.0)
    query("UPDATE push_deliveries SET next_attempt_at = now()")
    [work] = other.claim()
    assert not start(other, "n1", *work.deliveries, fence=work.fence).holds


def test_a_process_tries_with_one_send_when_its_pause_is_over(one):
    brake(one, "process")
    pause_is_over()
    assert len(start(one, "n1", *many("n1", 50)).holds) == 49
    assert len(start(one, "n2", *many("n2", 50)).holds) == 50, "and with another one in two seconds"


def test_a_place_that_has_come_is_kept_for_the_process_that_may_send(one, other):
    project = brake(one, "project")
    put_down(one, "n1", waits(start(one, "n1"))[0])
    brake(one, "process")
    pause_is_over(0, "fcm")
    query("UPDATE notifications SET next_attempt_at = now()")
    query("UPDATE push_deliveries SET next_attempt_at = now()")
    [work] = one.claim()
    assert len(start(one, "n1", *work.deliveries, fence=work.fence).holds) == 1
    assert query("SELECT brake_round FROM push_deliveries") == [(project.round,)]


def test_what_is_held_by_one_brake_takes_no_place_on_another(one):
    brake(one, "project")
    brake(one, "target")
    start(one, "n1")
    assert query("SELECT scope, taken > 0 FROM brakes ORDER BY scope") == [("device", False), ("project", True)]


def test_high_priority_has_a_lane_of_its_own(one):
    brake(one, "project")
    crowd = waits(start(one, "bulk", *many("bulk", 300)))
    [wait] = waits(start(one, "code", replace(delivery("code", "t1"), urgent=True)))
    assert wait == pytest.approx(min(crowd), abs=1)
    assert max(crowd) > wait + 5
    assert [wait] < waits(start(one, "code2", replace(delivery("code2", "t1"), urgent=True)))


def lifted() -> list[tuple[bool, list[int]]]:
    return [tuple(row) for row in query("SELECT lifted, earlier_rounds FROM brakes ORDER BY key")]


def test_a_lift_wakes_what_waits_for_that_brake_alone_however_many_rounds_it_had(one, other):
    first = brake(one, "project")
    put_down(one, "n1", waits(start(one, "n1"))[0])
    brake(one, "project", 60)
    put_down(one, "n2", waits(start(one, "n2"))[0])
    brake(other, "target", 300, provider="webpush", device_token="slow")
    put_down(one, "n3", waits(start(one, "n3", replace(delivery("n3", "slow"), provider="webpush")))[0])
    delivered(["n4"], status="pending", error_code="QUOTA")
    for table in ("notifications", "push_deliveries"):
        query(f"UPDATE {table} SET next_attempt_at = now() + interval '9 min' WHERE notification_id = 'n4'")
    assert one.write(Wake(100)) == [0], "nobody has lifted anything"
    assert one.write(Lift(first.key)) == [True]
    assert one.write(Wake(100)) == [2]
    assert sorted(work.id for work in one.claim()) == ["n1", "n2"]
    assert lifted() == [(False, []), (False, [])]


def test_so_many_are_woken_up_at_a_time_until_none_is_left(one):
    project = brake(one, "project")
    for number in range(5):
        put_down(one, f"n{number}", waits(start(one, f"n{number}"))[0])
    one.write(Lift(project.key))
    assert [one.write(Wake(3))[0] for _ in range(3)] == [3, 2, 0]
    assert lifted() == [(False, [])]


def test_what_is_put_down_only_after_the_lift_is_woken_up_as_well(one):
    project = brake(one, "project")
    [wait] = waits(start(one, "n1"))
    one.write(Lift(project.key))
    assert one.write(Wake(100)) == [0]
    assert lifted() == [(True, [project.round])]
    put_down(one, "n1", wait)
    assert one.write(Wake(100)) == [1]


def test_waking_finds_its_rows_by_an_index(one):
    [[plan]] = query("SELECT indexdef FROM pg_indexes WHERE indexname = 'deliveries_braked'")
    assert "WHERE (brake_round IS NOT NULL)" in plan


def test_what_is_woken_up_asks_for_a_place_anew(one):
    project = brake(one, "project")
    [wait] = waits(start(one, "n1"))
    put_down(one, "n1", wait)
    one.write(Lift(project.key))
    assert one.write(Wake(100)) == [1]
    taken = [query("SELECT taken FROM brakes")]
    [work] = one.claim()
    assert not start(one, "n1", *work.deliveries, fence=work.fence).holds, "the first on the new ramp"
    assert query("SELECT taken FROM brakes") != taken


def test_a_process_that_is_let_in_has_no_ramp(one):
    shut_out = brake(one, "process")
    one.write(Lift(shut_out.key, ramp=False))
    assert not is_held(one, "n1", *many("n1", 100))


def test_a_lift_is_audited_once_and_of_no_brake_that_is_over(one):
    project = brake(one, "project")
    ada = Audited("user ada", "the quota was raised")
    assert direct.write([Lift(project.key, by=ada)]) == [True]
    pause_is_over(RAMP + 1)
    assert direct.write([Lift(project.key, by=ada)]) == [False]
    assert query("SELECT actor, action, subject, reason FROM audit_log") == [
        ("user ada", "lift", "fcm", "the quota was raised")
    ]


def test_a_lift_that_is_repeated_ends_nothing_twice(one):
    project = brake(one, "project")
    lift = Lift(project.key)
    assert one.write(lift) == [True]
    before = query("SELECT * FROM brakes")
    assert one.write(lift) == [True]
    assert query("SELECT * FROM brakes") == before


def test_brakes_are_kept_for_a_day_after_they_are_over_and_of_devices_for_an_hour(one):
    for provider, hours in (("fcm", 23), ("webpush", 25)):
        brake(one, "project", provider=provider)
        pause_is_over(hours * 3600.0, provider)
    for device in ("t1", "t2"):
        brake(one, "target", device_token=device)
    pause_is_over(3700, token_hash("t2"))
    one.write(TidyBrakes())
    assert sorted(query("SELECT key FROM brakes")) == sorted([("fcm",), (token_hash("t1"),)])


def test_a_pause_is_said_once_by_each_process_with_its_end(caplog, monkeypatch):
    caplog.set_level(logging.INFO, "deliveries.brakes")
    brakes, clock = Brakes(uuid4(), PACE), [1000.0]
    monkeypatch.setattr("deliveries.brakes.time.monotonic", lambda: clock[0])
    for _ in range(3):
        for scope in ("project", "process", "target"):
            assert len(on(brakes, delivery("n1", "t1"), scope, began=1000.0)) == 1
    brakes.tell_of_ends()
    brakes.let_in("fcm", began=999.0)
    assert brakes.lifts([]) == [], "that send began before"
    assert [r.levelname for r in caplog.records] == ["WARNING", "ERROR"]
    clock[0] += 31
    brakes.tell_of_ends()
    brakes.tell_of_ends()
    brakes.let_in("fcm", began=1030.0)
    assert [lift.ramp for lift in brakes.lifts([])] == [False]
    assert [r.levelname for r in caplog.records[2:]] == ["INFO", "WARNING"]
    assert not brakes.shut_out()


def test_after_a_lift_a_refusal_counts_only_of_a_send_that_began_later(monkeypatch):
    brakes, clock = Brakes(uuid4(), PACE), [1000.0]
    monkeypatch.setattr("deliveries.brakes.time.monotonic", lambda: clock[0])
    on(brakes, delivery("n1", "t1"), "process", began=1000.0)
    clock[0] = 1060.0
    brakes.let_in("fcm", began=1059.0)
    assert len(brakes.lifts([])) == 1
    assert on(brakes, delivery("n1", "t1"), "process", began=1058.0) == []
    assert not brakes.shut_out()
    assert len(on(brakes, delivery("n1", "t1"), "process", began=1060.5)) == 1
    assert brakes.shut_out()


def test_other_credentials_are_only_tried(monkeypatch):
    brakes = Brakes(uuid4(), PACE)
    on(brakes, delivery("n1", "t1"), "process")
    assert [lift.ramp for lift in brakes.lifts(["fcm", "webpush"])] == [True]
    assert brakes.shut_out()
