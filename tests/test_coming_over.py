"""Coming from the FastAPI push service: its `.env`, its database and its messages, as the README's table has it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from sandbox.fcm_legacy import SERVER_KEY
from tests.test_dialects import as_ancestor, uuid
from tests.world import ROOT, SandboxProcess, WorkerProcess, eventually

ENV = Path(__file__).with_name("ancestor.env")
OLD_TABLE = """
CREATE TABLE push_deliveries (
    id uuid PRIMARY KEY, notification_id uuid NOT NULL, user_id uuid NOT NULL, device_token varchar(500) NOT NULL,
    title varchar(500) NOT NULL, body text NOT NULL, data json, status varchar(20) NOT NULL,
    provider varchar(50) NOT NULL, provider_message_id varchar(255),
    error_message text, created_at timestamp NOT NULL, sent_at timestamp,
    updated_at timestamp);
CREATE INDEX ix_push_deliveries_notification_id ON push_deliveries (notification_id);
CREATE INDEX ix_push_deliveries_user_id ON push_deliveries (user_id);
INSERT INTO push_deliveries VALUES (
    gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'token', 'Hi', 'There', '{}', 'sent', 'fcm', NULL, NULL,
    now(), now(), now());
"""


@pytest.fixture
def world(tmp_path) -> Iterator[SandboxProcess]:
    process = SandboxProcess(tmp_path / "sandbox", "--dialect", "ancestor")
    yield process
    process.stop()


@pytest.fixture
def old_database(postgres) -> Iterator[str]:
    """The ancestor's database, with a delivery in it."""
    with psycopg.connect(postgres.url, autocommit=True) as admin:
        admin.execute("DROP DATABASE IF EXISTS push_db")
        admin.execute("CREATE DATABASE push_db")
        parts = admin.info
        url = f"postgresql+asyncpg://{parts.user}@{parts.host}:{parts.port}/push_db"
        with psycopg.connect(plain(url)) as old:
            old.execute(OLD_TABLE)
        yield url
        admin.execute("DROP DATABASE push_db WITH (FORCE)")


def plain(url: str) -> str:
    return url.replace("+asyncpg", "")


def manage(variables: dict[str, str], *arguments: str) -> tuple[int, str]:
    """Exit status and everything that was said."""
    command = [sys.executable, "manage.py", *arguments]
    ours = {line.partition("=")[0] for line in ENV.read_text().splitlines()}
    ours |= {"SECRET_KEY", "INSECURE_HTTP", "DJANGO_SETTINGS_MODULE"}
    bare = {name: value for name, value in os.environ.items() if name not in ours}
    ended = subprocess.run(
        command, cwd=ROOT, env=bare | variables, capture_output=True, text=True, timeout=60, check=False
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_its_settings_as_they_were_say_what_to_change(old_database, rabbit):
    variables = {"ENV_FILE": str(ENV), "DATABASE_URL": old_database, "RABBITMQ_URL": rabbit.url}
    status, said = manage(variables, "check")
    assert status == 78
    [line] = said.splitlines()
    assert line.startswith("SECRET_KEY: is required") and "Fix:" in line
    variables["SECRET_KEY"] = "a-key-of-fifty-characters-0123456789-abcdefghijklmn"
    status, said = manage(variables, "check")
    assert status == 0, said
    for told in ("RABBITMQ_PREFETCH_COUNT is 10", "FCM_SERVER_KEY is set", "GOOGLE_APPLICATION_CREDENTIALS"):
        assert told in said
    assert "your_fcm_server_key_here" not in said


def test_its_database_its_messages_and_its_services_are_served(old_database, rabbit, producer, world, tmp_path):
    variables = {
        "ENV_FILE": str(ENV),
        "DATABASE_URL": old_database,
        "RABBITMQ_URL": rabbit.url,
        "SECRET_KEY": "a-key-of-fifty-characters-0123456789-abcdefghijklmn",
        "USER_SERVICE_URL": world.url,
        "TEMPLATE_SERVICE_URL": world.url,
        "API_GATEWAY_URL": world.url,
        "UPSTREAM_PROFILE": "ancestor",
        "FCM_SERVER_KEY": SERVER_KEY,
        "FCM_API_URL": f"{world.url}/fcm/send",
    }
    status, said = manage(variables, "migrate")
    assert status == 0, said
    with psycopg.connect(plain(old_database), autocommit=True) as database:
        assert database.execute("SELECT title FROM push_deliveries_ancestor").fetchall() == [("Hi",)]
        running = WorkerProcess(tmp_path / "worker.log", variables)
        try:
            running.wait_until_ready()
            body, properties = as_ancestor("ok-1")
            eventually(lambda: "push.queue" in rabbit.list_queues(), what="the queue")
            producer.publish(body, **properties)
            eventually(lambda: world.book()["reports"], what="a report")
        finally:
            running.kill()
        found = database.execute("SELECT notification_id, provider, status FROM push_deliveries").fetchall()
    assert found == [(uuid("ok-1"), "fcm_legacy", "sent")]
    [report] = world.book()["reports"]
    assert report["status"] == "sent"
    assert world.book()["accepted_count"] == 1
    assert SERVER_KEY not in running.words()
