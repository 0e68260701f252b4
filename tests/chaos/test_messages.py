"""Messages that come several times, or that no gateway would write, and orders that are given several times."""

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from hashlib import sha256
from typing import Any

import pytest
import requests

from deliveries.contract import InvalidMessage, read
from tests.chaos.scene import Scene
from tests.chaos.traffic import publish_at_once
from tests.test_broker import HOSTILE_BODIES, HOSTILE_PROPERTIES
from tests.world import ROOT, Producer, all_ended, eventually, message, query

GENERATED = 300
STRANGE = (None, True, -1, 10**30, "", "\0", "\ud800", "x" * 2000, [], ["x"], {}, {"a": {"b": [None]}}, "2020-01-01")


@pytest.mark.fault("duplicate messages")
def test_what_is_published_three_times_at_once_is_sent_once(scene):
    worker = scene.worker().wait_until_ready()
    before = scene.warmed(worker)
    ids = [f"n-{number}" for number in range(300)]
    publish_at_once(scene.rabbit.url, ids, times=3)
    scene.confirmed.update(ids)
    scene.drained()
    assert scene.statuses() == {"sent": 301}
    assert scene.accepted() == 301
    scene.check_size(worker, before)
    scene.check()


@pytest.mark.fault("hostile messages")
def test_hostile_messages_are_dead_letters_with_reasons_and_the_others_flow(scene):
    seed = random.randrange(2**32)
    sys.stdout.write(f"random.Random({seed})\n")
    worker = scene.worker().wait_until_ready()
    process = worker.children()
    bodies = [*HOSTILE_BODIES.values(), *generated(random.Random(seed))]
    poison = [body for body in bodies if accepted_id(body) is None]
    for number, body in enumerate(bodies):
        scene.publish_raw([body])
        if number % 3 == 0:
            scene.publish([f"good-{number}"])
    good = publish_with_strange_properties(scene) + [id for id in scene.confirmed if id.startswith("good")]
    scene.confirmed |= {*good, *filter(None, map(accepted_id, bodies))}
    scene.drained()
    assert scene.sent(*good)
    letters = query("SELECT body_hash, count, jsonb_array_length(reasons) FROM dead_letters")
    assert {body_hash for body_hash, _, _ in letters} == {sha256(body).hexdigest() for body in poison}
    assert sum(count for _, count, _ in letters) == len(poison), "none came again"
    assert all(reasons for _, _, reasons in letters), "a reason for each"
    eventually(lambda: scene.depth("failed.queue") == len(poison), what="a copy of each")
    assert worker.children() == process
    scene.check()


def generated(chance: random.Random) -> Iterator[bytes]:
    """Nearly what a gateway would write, or nothing of the kind."""
    for number in range(GENERATED):
        wanted = message(f"generated-{number}")
        raw = json.dumps(wanted).encode()
        at = chance.randrange(len(raw))
        yield chance.choice(
            [
                chance.randbytes(chance.randrange(2000)),
                raw[:at],
                raw[:at] + chance.randbytes(1) + raw[at + 1 :],
                raw[:at] + raw[at:] * 2,
                json.dumps(wanted | {chance.choice(list(wanted)): chance.choice(STRANGE)}).encode(),
                json.dumps(wanted | {"metadata": chance.choice(STRANGE), "ttl": chance.choice(STRANGE)}).encode(),
                json.dumps([wanted] * chance.randrange(3)).encode(),
            ]
        )


def accepted_id(body: bytes) -> str | None:
    """The notification id of a body that is a push request after all."""
    try:
        return read(body).notification_id
    except InvalidMessage:
        return None


def publish_with_strange_properties(scene: Scene) -> list[str]:
    """Publishes good messages with properties that pika cannot read, and returns their ids."""
    with closing(Producer(scene.rabbit.url)) as producer:
        for name, properties in HOSTILE_PROPERTIES.items():
            producer.channel.basic_publish("", "push.queue", json.dumps(message(name)).encode(), properties)
    return list(HOSTILE_PROPERTIES)


@pytest.mark.fault("operation pressed twice")
def test_a_resend_and_a_redrive_that_many_ask_for_at_once_happen_once(scene):
    """With real workers, and processes that ask: over HTTP and from several shells."""
    workers = [scene.worker(), scene.worker()]
    url = scene.serve()
    for worker in workers:
        worker.wait_until_ready()
    refused_then_exhausted(scene)
    scene.sandbox.control("fcm", "slow", latency_ms=2000)
    [[letter]] = query("SELECT id FROM dead_letters")
    resend = f"{url}/api/v1/notifications/refused/resend/"
    api = [lambda: requests.post(resend, headers=scene.headers, timeout=60).status_code] * 8
    shells = [shell(scene, "resend", "refused"), *[shell(scene, "redrive", str(letter))] * 3]
    with ThreadPoolExecutor(len(api) + len(shells)) as pool:
        answers = [answer.result() for answer in [pool.submit(ask) for ask in (*shells, *api)]]
    assert answers.count(202) <= 1
    assert set(answers) <= {0, 1, 202, 409}
    scene.drained()
    assert scene.statuses() == {"sent": 2}
    assert scene.accepted() == 2
    assert query("SELECT notification_id, resends FROM notifications ORDER BY 1") == [("exhausted", 1), ("refused", 1)]
    assert query("SELECT action, count(*) FROM audit_log WHERE action <> 'key made' GROUP BY 1") == [("resend", 2)]
    scene.check()


def refused_then_exhausted(scene: Scene) -> None:
    """One notification that FCM refused, and one whose attempts were used up."""
    for id, service, fault in (("refused", "fcm", "refuse400"), ("exhausted", "users", "down")):
        scene.sandbox.control(service, fault)
        assert scene.post(id) == 202
        eventually(all_ended, what=f"{id}, ended and reported")
        scene.sandbox.control(service, "none")


def shell(scene: Scene, *arguments: str) -> Callable[[], Any]:
    """Somebody who runs a command and waits for its exit status."""
    command = [sys.executable, "manage.py", *arguments, "--json"]
    environment = os.environ | scene.variables
    return lambda: (
        subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, timeout=90, check=False).returncode
    )
