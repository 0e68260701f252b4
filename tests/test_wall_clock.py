"""The time of day is the database's: a worker whose own clock is wrong tells nobody so but its log."""

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import orjson

from deliveries import wall_clock
from deliveries.wall_clock import WallClock
from providers import fcm, fcm_message
from tests.world import all_ended, eventually, message, query

DELIVERIES = Path(wall_clock.__file__).parent
OWN_TIME = re.compile(r"\b(datetime\.(now|utcnow|today)|date\.today|time\.time(_ns)?|timezone\.now)\(")

#: Who may go by this machine's clock: doors, that compare and show times, and a dead letter's header for people.
OWN_CLOCK = {
    "api/keys.py",
    "broker/rabbitmq.py",
    "checks.py",
    "console/api_keys.py",
    "console/brakes.py",
    "console/columns.py",
    "console/dashboard.py",
    "console/dead_letters.py",
    "console/exporting.py",
    "console/filters.py",
    "console/holdups.py",
    "console/letter_causes.py",
    "console/payload.py",
    "console/words.py",
    "doctor/database.py",
    "doctor/neighbours.py",
    "management/commands/apikey.py",
    "management/periods.py",
    "wall_clock.py",
}


class Slow(datetime):
    """Ten minutes late."""

    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) - timedelta(minutes=10)


class SlowTime:
    """The same, of the module `time`."""

    @staticmethod
    def time() -> float:
        return time.time() - 600


def test_nobody_else_goes_by_this_machines_clock():
    found = {
        str(path.relative_to(DELIVERIES)) for path in DELIVERIES.rglob("*.py") if OWN_TIME.search(path.read_text())
    }
    assert found == OWN_CLOCK


def test_a_clock_that_is_off_is_said_once_and_when_it_is_right_again(caplog):
    clock = WallClock()
    for ahead in (600, 600, 0, 0):
        clock.learn(datetime.now(UTC) + timedelta(seconds=ahead), time.monotonic())
        assert abs((clock.now() - datetime.now(UTC)).total_seconds() - ahead) < 1
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert said[0].startswith("This machine's clock is 600.0 s behind the database's")
    assert said[1].startswith("This machine's clock agrees with the database's again")


def test_what_a_worker_with_a_slow_clock_tells_others_is_right(engine, sandbox, monkeypatch, caplog):
    monkeypatch.setattr(wall_clock, "datetime", Slow)
    running = engine()
    begun = datetime.now(UTC) - timedelta(seconds=1)
    running.accept(message("n1"), message("n2", "dead-1"))
    eventually(all_ended)
    told = [datetime.fromisoformat(report["timestamp"]) for [report] in sandbox.reports().values()]
    [[died_at]] = query("SELECT died_at FROM dead_tokens")
    assert len(told) == 2
    assert all(begun <= at <= datetime.now(UTC) for at in (*told, died_at))
    assert "This machine's clock is 600.0 s behind the database's" in caplog.text


def test_apple_is_told_of_the_end_by_the_databases_clock(engine, monkeypatch):
    bodies: list[bytes] = []
    monkeypatch.setattr(fcm_message, "time", SlowTime)
    monkeypatch.setattr(fcm, "encode", lambda push: bodies.append(fcm_message.encode(push)) or bodies[-1])
    engine().accept(message("n1", ttl=60))
    eventually(all_ended)
    headers = orjson.loads(bodies[0])["message"]["apns"]["headers"]
    assert abs(int(headers["apns-expiration"]) - time.time() - 60) < 30
