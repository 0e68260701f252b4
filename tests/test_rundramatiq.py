"""The command that runs the workers: what it refuses, what it starts, what it leaves behind."""

import json
import os
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from deliveries.broker import EmbeddedBroker, PushBroker
from tests.world import eventually

RESTART_DELAY = "dramatiq_restart_delay"

pytestmark = pytest.mark.django_db


@pytest.fixture
def started(monkeypatch):
    """Runs the command up to where it would become Dramatiq; gives that command line."""

    class BecomesError(Exception):
        pass

    def execvp(path, arguments):
        raise BecomesError(arguments)

    monkeypatch.setattr("os.execvp", execvp)
    monkeypatch.setattr("dramatiq.broker.global_broker", PushBroker(url="amqp://nowhere"))
    monkeypatch.setenv(RESTART_DELAY, "what the command sets is gone after the test")
    monkeypatch.delenv(RESTART_DELAY)

    def start(*arguments: str) -> list[str]:
        with pytest.raises(BecomesError) as becomes:
            call_command("rundramatiq", *arguments, skip_checks=True)
        return becomes.value.args[0]

    return start


def value_of(option: str, arguments: list[str]) -> str:
    return arguments[arguments.index(option) + 1]


def test_without_rabbitmq_it_says_what_to_do(monkeypatch):
    monkeypatch.setattr("dramatiq.broker.global_broker", EmbeddedBroker())
    with pytest.raises(CommandError, match=r"set RABBITMQ_URL .*, or run `manage.py serve`"):
        call_command("rundramatiq", skip_checks=True)


def test_it_starts_one_process_of_four_threads_that_stop_within_five_seconds(started):
    arguments = started()
    assert value_of("--processes", arguments) == "1"
    assert value_of("--threads", arguments) == "4"
    assert value_of("--worker-shutdown-timeout", arguments) == "5000"
    assert "--skip-logging" in arguments
    assert "deliveries.actors" in arguments
    assert "django_dramatiq.tasks" not in arguments
    assert os.environ[RESTART_DELAY] == "500"


def test_the_numbers_are_settings(started, monkeypatch):
    monkeypatch.setenv("DRAMATIQ_NPROCS", "2")
    monkeypatch.setenv("DRAMATIQ_NTHREADS", "8")
    monkeypatch.setenv(RESTART_DELAY, "1000")
    arguments = started("--worker-shutdown-timeout", "7000")
    assert value_of("--processes", arguments) == "2"
    assert value_of("--threads", arguments) == "8"
    assert value_of("--worker-shutdown-timeout", arguments) == "7000"
    assert os.environ[RESTART_DELAY] == "1000"


def test_it_runs_from_any_directory(started, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert value_of("--path", started()) == str(Path(__file__).parent.parent)


def test_a_worker_logs_json_lines_consumes_again_after_a_hang_up_and_stops(worker, rabbitmq):
    running = worker().wait_until_ready()
    eventually(lambda: rabbitmq.list_queues().keys() >= {"push.queue", "push.queue.resume"})
    rabbitmq.close_all_connections()
    eventually(lambda: "Restarting consumer in 0.50 seconds" in running.words(), what="a restart")
    assert running.terminate() == 0
    first = running.words().index('{"time"')  # before it the command says what it starts
    records = [json.loads(line) for line in running.words()[first:].splitlines()]
    assert {"INFO", "CRITICAL"} <= {record["level"] for record in records}
    assert "Traceback" not in running.words()
    assert records[-1]["message"] == "Worker has been shut down."
