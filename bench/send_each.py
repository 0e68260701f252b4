"""firebase-admin's `send_each` against the same FCM: the yardstick. A process of its own.

Its messages are made before the clock runs, and it does nothing but send.
"""

import argparse
import json
import os
import sys
import time
import warnings
from pathlib import Path

import firebase_admin
from firebase_admin import credentials, messaging

from bench.fakes import device_token
from bench.processes import BenchError, running, said
from bench.world import Fakes

BATCH = 500  # the most that it takes
#: In the environment: keep it on one core too; its users do not.
PIN_PEER = "BENCH_PIN_PEER"


def batch(name: str) -> list[messaging.Message]:
    text = messaging.Notification(
        "Your order is on its way",
        "Hello Ada, order 10482 has left our house and is with you tomorrow.",
    )
    data = {"notification_id": name, "campaign": "orders", "deeplink": "shop://orders/10482"}
    return [messaging.Message(token=device_token(f"{name}-{n}"), notification=text, data=data) for n in range(BATCH)]


def point_at(url: str) -> None:
    """Leads firebase-admin to the fakes, with the connection pool that it keeps for Google.

    It mounts a pool of 100 for Google's address only; any other would get requests' pool of 10,
    and hundreds of its 500 threads would open and drop a connection for each send.
    """
    service = messaging._MessagingService  # noqa: SLF001
    google, service.FCM_URL = service.FCM_URL, f"{url}/v1/projects/{{0}}/messages:send"
    session = messaging._get_messaging_service(firebase_admin.get_app())._client.session  # noqa: SLF001
    session.mount(url, session.get_adapter(google))


def send(batches: list[list[messaging.Message]]) -> None:
    for messages in batches:
        failed = messaging.send_each(messages).failure_count
        if failed:
            sys.exit(f"send_each: {failed} of {len(messages)} failed")


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.send_each", description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--account", required=True)
    parser.add_argument("--batches", type=int, default=10)
    given = parser.parse_args()
    warnings.simplefilter("ignore")  # `token` is deprecated there
    firebase_admin.initialize_app(credentials.Certificate(given.account))
    point_at(given.url)
    batches = [batch(f"each-{number}") for number in range(given.batches)]
    send([batch("first")])  # imports, access token, connections
    cpu, clock = time.process_time(), time.perf_counter()
    send(batches)
    seconds, cpu = time.perf_counter() - clock, time.process_time() - cpu
    print(json.dumps({"sends": BATCH * len(batches), "seconds": seconds, "cpu_seconds": cpu}))


def measure(fakes: Fakes, batches: int, directory: Path) -> tuple[float, float]:
    """Sends a second, and seconds of CPU for each. Raises BenchError when one did not arrive."""
    fakes.reset()
    log = directory / "send_each.log"
    options = ["--url", fakes.url, "--account", fakes.account, "--batches", str(batches)]
    with running(["-m", "bench.send_each", *options], log, pinned=bool(os.environ.get(PIN_PEER))) as process:
        result = json.loads(said(process, log))
    arrived = fakes.stats()["distinct_sends"]
    if arrived != result["sends"] + BATCH:
        raise BenchError(f"send_each: {arrived} arrived of {result['sends'] + BATCH}")
    return result["sends"] / result["seconds"], result["cpu_seconds"] / result["sends"]


if __name__ == "__main__":
    main()
