"""FCM that hangs, throttles, is in trouble or refuses: what is sent again, when, and what is never sent twice."""

from collections import defaultdict

import pytest

from tests.chaos.scene import Scene, with_copies
from tests.world import Producer, SandboxProcess, counted, eventually, query

#: So many failures do not open the breaker: what is looked at is each notification's own patience.
PATIENT = {"CIRCUIT_BREAKER_FAIL_MAX": "10000"}


def ids(prefix: str, count: int) -> list[str]:
    return [f"{prefix}-{number}" for number in range(count)]


def ended(like: str) -> dict[tuple[str, str], int]:
    """How many of these ended, by status and error code."""
    rows = query(
        "SELECT status, error_code, count(*) FROM notifications WHERE notification_id LIKE %s"
        " AND status NOT IN ('pending', 'sending') GROUP BY 1, 2",
        like,
    )
    return {(status, code): count for status, code, count in rows}


def held(like: str) -> int:
    """How many sends of these wait: FCM has refused them, or a brake holds them back."""
    [[count]] = query("SELECT count(*) FROM push_deliveries WHERE notification_id LIKE %s AND status = 'pending'", like)
    return int(count)


def accepted(sandbox: SandboxProcess, prefix: str) -> dict[str, int]:
    """How often FCM accepted each of these."""
    found: dict[str, int] = defaultdict(int)
    for push in sandbox.book()["accepted"]:
        if push["tag"].startswith(prefix):
            found[push["tag"]] += 1
    return dict(found)


def check_unknowns_are_written_down(scene: Scene, count: int) -> None:
    assert scene.unknowns() == count
    assert counted("push_attempts", "outcome")["unknown"] == count


@pytest.mark.fault("FCM accepts, then hangs or resets")
def test_a_lost_answer_is_counted_and_ends_as_its_guarantee_says(scene):
    worker = scene.worker(**PATIENT).wait_until_ready()
    before = scene.warmed(worker)
    scene.sandbox.control("fcm", "reset-after-accept", times=20)
    scene.publish(ids("once", 20), guarantee="at_most_once")
    eventually(lambda: ended("once-%") == {("failed", "unknown_outcome"): 20}, what="an end for each")
    scene.sandbox.control("fcm", "reset-after-accept", times=20)
    scene.publish(ids("least", 20))
    scene.drained()
    assert ended("least-%") == {("sent", ""): 20}
    assert set(accepted(scene.sandbox, "once-").values()) == {1}
    assert scene.repeats() == 20
    check_unknowns_are_written_down(scene, 40)
    scene.check()
    scene.check_size(worker, before)


@pytest.mark.long
@pytest.mark.fault("FCM accepts, then hangs or resets")
def test_a_send_that_hangs_is_given_up_after_its_timeout_and_holds_nobody_up(scene):
    scene.worker(MAX_RETRY_ATTEMPTS="2", **PATIENT).wait_until_ready()
    scene.publish(ids("hang-once", 5), guarantee="at_most_once")
    scene.publish(ids("hang-least", 5))
    eventually(lambda: scene.accepted() == 10, what="all in the air")
    scene.publish(ids("other", 50))
    eventually(lambda: ended("other-%") == {("sent", ""): 50}, within=10, what="the others, meanwhile")
    scene.drained(within=100)
    assert ended("hang-once-%") == {("failed", "unknown_outcome"): 5}
    assert ended("hang-least-%") == {("failed", "exhausted"): 5}
    assert set(accepted(scene.sandbox, "hang-once-").values()) == {1}
    assert set(accepted(scene.sandbox, "hang-least-").values()) == {2}
    check_unknowns_are_written_down(scene, 5 + 10)
    scene.check()


@pytest.mark.fault("FCM in trouble")
def test_fcm_in_trouble_is_given_ten_seconds_then_twice_as_many_and_never_beyond_the_expiry(scene):
    worker = scene.worker(**PATIENT).wait_until_ready()
    before = scene.warmed(worker)
    scene.sandbox.control("fcm", "down")
    scene.publish(ids("lucky", 30))
    scene.publish(ids("unlucky", 5))
    scene.publish(ids("short", 5), ttl=8)
    eventually(lambda: len(scene.waits()) == 40, what="a first failure for each")
    [[beyond]] = query("SELECT count(*) FROM notifications WHERE next_attempt_at > expires_at")
    assert beyond == 0
    scene.sandbox.control("fcm", "html500")
    scene.hurry("%lucky-%")
    eventually(lambda: len(scene.waits("%lucky-%")) == 70, what="a second failure for each")
    firsts = [seconds for seconds, number in scene.waits() if number == 1]
    seconds = [seconds for seconds, number in scene.waits("%lucky-%") if number == 2]
    assert 10 <= min(firsts) < max(firsts) <= 20
    assert 20 <= min(seconds) < max(seconds) <= 40
    assert max(firsts) - min(firsts) > 3, "not all at the same instant"
    eventually(lambda: ended("short-%") == {("expired", "expired"): 5}, what="an end in time")
    [[late]] = query(
        "SELECT max(extract(epoch FROM ended_at - expires_at)) FROM notifications WHERE status = 'expired'"
    )
    assert late < 5
    scene.hurry("unlucky-%")
    eventually(lambda: ended("unlucky-%") == {("failed", "exhausted"): 5}, what="the third failure")
    scene.sandbox.control("fcm", "none")
    scene.hurry()
    scene.drained()
    assert ended("lucky-%") == {("sent", ""): 30}
    check_dead_letters(scene, 5)
    scene.check_size(worker, with_copies(before))
    scene.check()


def check_dead_letters(scene: Scene, count: int) -> None:
    """Exactly one for each that was exhausted, with a copy on the failed queue."""
    assert counted("dead_letters", "code") == {"exhausted": count}
    producer = Producer(scene.rabbit.url)
    eventually(lambda: producer.depth("failed.queue") == count, what="a copy of each")
    producer.close()


DEAD_TOKENS = "/api/v1/users/{user_id}/push-tokens/dead"
REFUSED = {
    "ok": ("sent", ""),
    "mixed": ("sent", ""),
    "dead": ("failed", "UNREGISTERED"),
    "malformed": ("failed", "INVALID_ARGUMENT"),
    "apns410": ("failed", "INVALID_ARGUMENT"),
    "mismatch": ("failed", "SENDER_ID_MISMATCH"),
    "apnsauth": ("failed", "THIRD_PARTY_AUTH_ERROR"),
    "unavailable": ("failed", "exhausted"),
    "quota": ("expired", "expired"),
}


@pytest.mark.fault("FCM refuses")
def test_a_refusal_is_final_with_fcms_own_word_and_trouble_with_credentials_burns_nothing(scene):
    scene.worker(**PATIENT, USER_SERVICE_DEAD_TOKEN_PATH=DEAD_TOKENS).wait_until_ready()
    for state in REFUSED:
        scene.publish([f"{state}-1"], ttl=4 if state == "quota" else 600)
    for fault in ("refuse401", "refuse403", "refuse404"):
        eventually(lambda: counted("push_attempts", "stage").get("send", 0) >= 8, what="the refusals")
        scene.sandbox.control("fcm", fault)
        scene.publish(ids(fault, 10))
        eventually(lambda f=fault: held(f"{f}-%") == 10, what="a wait for each")
        eventually(lambda: scene.breakers()["fcm"] == "no credentials", what="health that says so")
        assert scene.burnt(f"{fault}-%") == 0
        scene.sandbox.control("fcm", "none")
        scene.hurry("refuse%")
        scene.hurry("unavailable%")
        eventually(lambda f=fault: ended(f"{f}-%") == {("sent", ""): 10}, what="all sent once it is mended")
    scene.hurry("unavailable%")
    scene.drained()
    assert {state: ended(f"{state}-%") for state in REFUSED} == {state: {end: 1} for state, end in REFUSED.items()}
    assert scene.burnt("quota-%") == 0
    query("UPDATE dead_tokens SET report_due_at = now() WHERE report_due_at > now()")  # not in two minutes
    told = eventually(lambda: (told := scene.sandbox.book()["dead_tokens"])[3:] and told, what="word of dead tokens")
    assert sorted(entry["body"]["user_id"] for entry in told) == ["apns410-1", "dead-1", "malformed-1", "mixed-1"]
    eventually(lambda: scene.breakers()["fcm"] == "closed", what="health that is well again")
    check_dead_letters(scene, 1)
    scene.check()
