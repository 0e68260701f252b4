"""The services around ours are away, slow, or talk nonsense: what waits, what goes on, what they hear later."""

import pytest

from deliveries.health import read_ledger
from deliveries.ledger.asking import ask
from deliveries.operations import Target, Who, resend
from tests.chaos.scene import Scene, memory_of
from tests.chaos.test_fcm import PATIENT, ended, ids
from tests.world import all_ended, eventually, query

#: Attempts to spare: what is looked at is what each kind of trouble is taken for.
STUBBORN = PATIENT | {"MAX_RETRY_ATTEMPTS": "50"}
TROUBLES = ("down", "html500", "reset", "garbage", "huge", "refuse401", "quota")
MORE_MEMORY = 60  # MB that a worker may gain over a few bodies without an end


def troubled(scene: Scene, service: str, kind: str, **how: int) -> None:
    """Publishes while a service has this trouble, and sees each notification put off by it."""
    scene.sandbox.control(service, kind, **how)
    name = f"{service}-{kind}"
    scene.publish(ids(name, 10))
    eventually(lambda: len([n for _, n in scene.waits(f"{name}-%") if n == 1]) == 10, what=f"a wait for {name}")
    assert ended(f"{name}-%") == {}
    scene.sandbox.control(service, "none")


@pytest.mark.fault("user service in trouble")
@pytest.mark.fault("template service in trouble")
def test_trouble_of_a_lookup_or_a_rendering_is_never_an_end_and_never_a_device_less_user(scene):
    worker = scene.worker(**STUBBORN).wait_until_ready()
    before = scene.warmed(worker)
    memory = memory_of(worker)
    for service in ("users", "templates"):
        for kind in TROUBLES:
            troubled(scene, service, kind)
    assert memory_of(worker) < memory + MORE_MEMORY
    troubled(scene, "users", "slow", latency_ms=7000)
    scene.publish(ids("missing", 5), template_id="unknown-template")
    scene.hurry()
    scene.drained()
    assert ended("missing-%") == {("failed", "template_missing"): 5}
    assert {report["status"] for id in ids("missing", 5) for report in scene.sandbox.reports()[id]} == {"failed"}
    assert scene.statuses() == {"failed/template_missing": 5, "sent": 1 + 10 * (2 * len(TROUBLES) + 1)}
    scene.check()
    scene.check_size(worker, before)


@pytest.mark.fault("user service in trouble")
def test_a_plain_outage_of_the_user_service_opens_its_breaker_and_what_was_looked_up_is_sent(scene):
    worker = scene.worker(MAX_RETRY_ATTEMPTS="50").wait_until_ready()
    before = scene.warmed(worker)
    scene.sandbox.control("fcm", "quota")
    scene.publish(ids("known", 20))
    eventually(lambda: query(LOOKED_UP) == [(20,)], what="lookups that are done, and sends that wait")
    scene.sandbox.control("users", "down")
    scene.publish(ids("first", 5))
    eventually(lambda: scene.breakers()["user_service"] == "open", what="an open breaker")
    calls, burnt = scene.sandbox.hits("users"), scene.burnt("first-%")
    scene.publish(ids("later", 200))
    scene.sandbox.control("fcm", "none")
    scene.hurry("known-%")
    eventually(lambda: ended("known-%") == {("sent", ""): 20}, what="what was looked up before, sent")
    eventually(lambda: len(scene.waits("later-%")) > 200, what="waits for all")
    probes = scene.sandbox.hits("users") - calls
    assert scene.burnt("first-%") + scene.burnt("later-%") - burnt <= probes < 20, (
        "only a call that was made burns an attempt"
    )
    assert ended("first-%") == ended("later-%") == {}
    scene.sandbox.control("users", "none")
    scene.drained()
    assert scene.statuses() == {"sent": 226}
    scene.check()
    scene.check_size(worker, before)


LOOKED_UP = """
SELECT count(*) FROM push_deliveries
WHERE notification_id LIKE 'known-%%' AND status = 'pending' AND next_attempt_at > now()
"""


def owed(like: str = "%") -> list[tuple[int, float]]:
    """How often the gateway was told of each of these in vain, and how long the next attempt is put off."""
    return query(
        "SELECT report_attempts, extract(epoch FROM next_attempt_at - updated_at)::float8 FROM notifications"
        " WHERE notification_id LIKE %s AND reported_at IS NULL AND report_attempts > 0 AND worker_id IS NULL"
        " ORDER BY 1",
        like,
    )


def heard(scene: Scene, id: str) -> list[str]:
    return [report["status"] for report in scene.sandbox.reports().get(id, [])]


def in_vain(scene: Scene, like: str, times: int, count: int) -> list[float]:
    """Waits until so many were told that often in vain; returns for how long each is put off."""
    eventually(lambda: [n for n, _ in owed(like)] == [times] * count, what=f"{times} attempts of each")
    return [seconds for _, seconds in owed(like)]


def paid(scene: Scene) -> None:
    """Waits until the gateway has heard of all, with the clock of what is owed moved on."""
    scene.sandbox.control("gateway", "none")
    eventually(lambda: (scene.hurry(), all_ended())[1], what="reports that are paid")


@pytest.mark.fault("gateway down")
def test_a_gateway_that_is_away_for_ten_minutes_holds_nothing_up_and_hears_of_all_later(scene):
    worker = scene.worker().wait_until_ready()
    before = scene.warmed(worker)
    scene.sandbox.control("gateway", "down")
    scene.publish(ids("n", 50))
    eventually(lambda: ended("n-%") == {("sent", ""): 50}, what="all sent, whatever the gateway does")
    longest = [max(in_vain(scene, "n-%", 1, 50))]
    for times in (2, 3):
        scene.hurry("n-%")
        longest.append(max(in_vain(scene, "n-%", times, 50)))
    assert longest == sorted(longest) and longest[-1] >= 8, "slower and slower, whatever the breaker says"
    query("UPDATE notifications SET report_attempts = 9 WHERE status = 'sent'")  # ten minutes of them
    scene.hurry("n-%")
    assert all(300 <= seconds <= 330 for seconds in in_vain(scene, "n-%", 10, 50))
    assert scene.accepted() == 51
    paid(scene)
    scene.drained()
    assert {tuple(heard(scene, id)) for id in ids("n", 50)} == {("delivered",)}
    scene.check()
    scene.check_size(worker, before)


@pytest.mark.fault("gateway down")
def test_what_was_sent_again_while_the_gateway_was_away_is_heard_in_its_order(scene):
    scene.worker().wait_until_ready()
    scene.sandbox.control("templates", "refuse404", times=2)
    scene.sandbox.control("gateway", "reset-after-accept", times=1)
    scene.publish(["answer-lost"])
    in_vain(scene, "answer-lost", 1, 1)
    scene.sandbox.control("gateway", "down")
    scene.publish(["never-heard"])
    in_vain(scene, "never-heard", 1, 1)
    scene.publish(["fails-again"], template_id="unknown-template")
    in_vain(scene, "fails-again", 1, 1)
    failed = ["answer-lost", "never-heard", "fails-again"]
    assert ended("%") == {("failed", "template_missing"): 3}
    outcomes = resend([Target(id) for id in failed], Who("shell chaos"))
    assert [outcome.code for outcome in outcomes] == ["resent"] * 3
    scene.hurry()
    eventually(lambda: ended("%") == {("sent", ""): 2, ("failed", "template_missing"): 1}, what="the resends' ends")
    paid(scene)
    scene.forgive_lost_answers()
    scene.drained()
    said = {id: heard(scene, id) for id in failed}
    assert said == {
        "answer-lost": ["failed", "delivered"],
        "never-heard": ["delivered"],
        "fails-again": ["failed"],
    }
    scene.check()


@pytest.mark.fault("gateway down")
def test_what_the_gateway_refuses_for_good_is_written_down_once_and_counted(scene):
    scene.worker().wait_until_ready()
    for fault in ("refuse400", "refuse404"):
        scene.sandbox.control("gateway", fault)
        scene.publish(ids(fault, 5))
        scene.drained()
    refused = query(
        "SELECT left(report_error, 3), count(*) FROM notifications"
        " WHERE report_refused_at IS NOT NULL AND report_attempts = 1 GROUP BY 1 ORDER BY 1"
    )
    assert refused == [("400", 5), ("404", 5)]
    assert ask(read_ledger, 10.0)["reports"] == {"refused_last_day": 10}
    assert ended("%") == {("sent", ""): 10}
    scene.check()
