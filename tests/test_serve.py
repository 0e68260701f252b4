"""`manage.py serve` without RabbitMQ: one process that answers, delivers, and stops when told."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from pushproject.environment import BASE_DIR, Environment
from pushproject.processes import free_port
from tests.processes import wait_until

SABOTEUR = BASE_DIR / "tests" / "saboteur" / "hanging"
SERVE = [sys.executable, "manage.py", "serve"]


@pytest.fixture(scope="module")
def alone(passable) -> dict[str, str]:
    """The environment of a service that has nothing but a directory."""
    ours = {name.upper() for name in Environment.model_fields}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return kept | {
        "DJANGO_SETTINGS_MODULE": "pushproject.settings",
        "ENV_FILE": "",
        "INSECURE_HTTP": "true",
        "VAR_DIR": str(passable),
    }


def refused(environment: dict[str, str], *arguments: str, code: int = 1) -> str:
    done = subprocess.run(
        [*SERVE, *arguments],
        env=environment,
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    return done.stderr.strip()


def test_missing_migrations_are_named_with_the_command_that_applies_them(alone):
    assert "run `manage.py migrate`" in refused(alone)


def test_a_database_that_does_not_answer_is_one_line_without_its_password(alone):
    url = f"postgresql://me:geheim@127.0.0.1:{free_port()}/push"
    line = refused(alone | {"DATABASE_URL": url})
    assert "the database does not answer" in line
    assert "geheim" not in line


def test_the_engine_lives_in_one_process_only(alone):
    assert "--workers 1" in refused(alone, "--workers", "2")


@pytest.mark.parametrize("option", ["--threads", "--workers"])
def test_none_at_all_is_refused(alone, option):
    assert "'0' is no whole number above 0" in refused(alone, option, "0", code=2)


@pytest.fixture
def service(alone, tmp_path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    """The process, its address, its log."""
    with serving(alone, tmp_path / "serve.out") as found:
        yield found


@contextmanager
def serving(alone: dict[str, str], log: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, Path]]:
    port = free_port()
    bind = ["--migrate", "--bind", f"127.0.0.1:{port}"]
    with log.open("w") as out:
        process = subprocess.Popen(
            [*SERVE, *bind], env=alone, cwd=BASE_DIR, stdout=out, stderr=out, start_new_session=True
        )
    wait_until(lambda: "Engine started" in log.read_text(), process, log)
    yield process, f"http://127.0.0.1:{port}", log
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.parametrize("how", ["Ctrl-C", "SIGTERM"])
def test_it_answers_and_delivers_until_it_is_stopped(service, how):
    process, address, log = service
    with requests.Session() as session:  # one connection that is kept
        for path in ("/", "/api/v1/health/live", "/static/admin/css/base.css", "/admin/login/"):
            assert session.get(f"{address}{path}", timeout=10).status_code == 200
    if how == "Ctrl-C":
        os.killpg(process.pid, signal.SIGINT)  # a terminal tells everybody
    else:
        process.terminate()
    assert process.wait(30) == 0
    assert log.read_text().count("Engine started") == log.read_text().count("Engine stopped") == 1
    assert "Traceback" not in log.read_text()
    assert all(line.startswith("{") for line in log.read_text().splitlines())


def test_after_a_kill_it_starts_again_on_the_same_data(service, alone):
    process, _, _ = service
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    again = subprocess.run([sys.executable, "manage.py", "migrate", "--check"], env=alone, cwd=BASE_DIR, check=False)
    assert again.returncode == 0


def test_an_engine_that_hangs_is_replaced_by_another(alone, tmp_path):
    (tmp_path / "orders").mkdir()
    sabotage = {"PYTHONPATH": str(SABOTEUR), "SABOTEUR_ORDERS": str(tmp_path / "orders"), "WATCHDOG_TIMEOUT": "3"}
    with serving(alone | sabotage, tmp_path / "serve.out") as (process, address, log):
        (tmp_path / "orders" / "hang_the_loop").touch()
        wait_until(lambda: log.read_text().count("Engine started") == 2, process, log)
        assert log.read_text().count("The event loop has not moved for") == 1
        assert requests.get(f"{address}/api/v1/health/live", timeout=10).status_code == 200
        process.terminate()
        assert process.wait(30) == 0
