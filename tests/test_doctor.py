"""The doctor: each setting broken in turn, and each time it names the cause and the fix, and no secret."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from io import StringIO
from threading import Thread
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.db import connection

from deliveries.api import keys
from deliveries.broker import EmbeddedBroker, PushBroker, Topology
from deliveries.doctor import database
from deliveries.doctor.database import Facts
from deliveries.doctor.findings import Level
from providers.webpush import public_key, signer
from tests.outages import broker_instead
from tests.peer import closed_port
from tests.postgres import PostgresServer
from tests.rabbit import RabbitNode
from tests.world import ROOT, Producer, SandboxProcess, message, query

#: In every setting of the world that could be shown by mistake.
SECRET = "geheim"

pytestmark = pytest.mark.django_db(transaction=True)


class World:
    """A service that is well, until a test breaks something; and what the doctor says of it."""

    def __init__(self, settings: Any, sandbox: SandboxProcess) -> None:
        self.settings = settings
        self.sandbox = sandbox
        self.key = json.loads((sandbox.directory / "service-account.json").read_text())
        given = {name.lower(): value for name, value in sandbox.variables().items()}
        self.set(**given, allowed_hosts=["push.example.org"], insecure_http=False)
        self.provider(credentials_file=given["google_application_credentials"], endpoint=sandbox.url)

    def set(self, **values: Any) -> None:
        self.settings.PUSH = self.settings.PUSH.model_copy(update=values)

    def provider(self, **options: Any) -> None:
        self.settings.PROVIDERS = {"fcm": self.settings.PROVIDERS["fcm"] | options}

    def key_file(self, content: str) -> None:
        file = self.sandbox.directory / "broken.json"
        file.write_text(content)
        self.provider(credentials_file=str(file))

    def examine(self) -> tuple[int, list[dict[str, Any]]]:
        out, status = StringIO(), 0
        try:
            call_command("doctor", "--json", stdout=out)
        except SystemExit as ended:
            status = int(ended.code or 0)
        self.no_secret_in(out.getvalue())
        told = json.loads(out.getvalue())
        levels = [finding["level"] for finding in told["findings"]]
        assert levels == sorted(levels, key=list(Level).index)
        assert told["status"] == levels[-1]
        return status, told["findings"]

    def no_secret_in(self, said: str) -> None:
        assert SECRET not in said
        assert self.key["private_key"].splitlines()[1] not in said
        assert "ya29" not in said

    def troubles(self) -> list[dict[str, Any]]:
        """What is wrong, without the plain http of the sandbox that plays FCM."""
        status, findings = self.examine()
        wrong = [one for one in findings if one["level"] != "ok" and not one["what"].startswith("FCM_ENDPOINT: begins")]
        assert status == int(any(one["level"] == "failed" for one in wrong))
        assert all(one["fix"] for one in wrong)
        return wrong

    def trouble(self) -> tuple[str, str, str]:
        """Level, cause and fix of the one thing that is wrong."""
        [one] = self.troubles()
        return one["level"], one["what"], one["fix"]


@pytest.fixture
def world(settings, sandbox: SandboxProcess, producer: Producer) -> World:
    """Everything is well: tables, queues, a worker that beats and consumes, an operator, a key, all neighbours."""
    Topology().ensure_intake(producer.channel.connection)
    producer.channel.basic_consume("push.queue", lambda *_: None)
    query("INSERT INTO workers (id, host, pid, breakers) VALUES (%s, 'a-host', 4711, '{}')", uuid4())
    User.objects.create_superuser("ada", password=f"{SECRET}-ada")
    keys.create("gateway", actor="shell test")
    return World(settings, sandbox)


@contextmanager
def database_with(**settings: Any) -> Iterator[None]:
    """Django finds the database by other settings."""
    known = connection.settings_dict
    usual = {name: known[name] for name in settings}
    connection.close()
    known.update(settings)
    try:
        yield
    finally:
        connection.close()
        known.update(usual)


@contextmanager
def answering(status: int, body: bytes = b"{}", **headers: str) -> Iterator[str]:
    """The address of a server that answers everything so: with its path for PATH, with something new for REQUEST."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            told = body.replace(b"PATH", self.path.encode()).replace(b"REQUEST", uuid4().hex.encode())
            self.send_response(status)
            for name, value in {"Content-Length": str(len(told)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(told)

        do_POST = do_OPTIONS = do_GET  # noqa: N815 - the library's names

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@contextmanager
def silent() -> Iterator[int]:
    """The port of a server that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def at(url: str, rabbit: RabbitNode) -> PushBroker:
    """A broker for RabbitMQ's address with something in it replaced: `old -> new`."""
    old, _, new = url.partition(" -> ")
    assert old in rabbit.url
    return PushBroker(url=rabbit.url.replace(old, new))


# When all is well


def test_where_all_is_well_nothing_is_to_do(world):
    assert world.troubles() == []
    status, findings = world.examine()
    assert status == 0
    told = {finding["name"]: finding["what"] for finding in findings if finding["level"] == "ok"}
    assert told["database"].startswith("PostgreSQL ")
    assert told["workers"] == "1 alive, 0 notifications in flight."
    assert told["queue"] == "'push.queue' holds 0 messages."
    assert told["queue arguments"] == "As we would have made it."
    assert told["FCM"] == "It takes pushes for project sandbox-project."
    assert {"user service", "template service", "gateway", "migrations", "superuser", "API keys"} <= set(told)


def test_nothing_is_changed_by_looking(world, rabbit, producer):
    for queue in ("push.queue", "failed.queue"):
        producer.channel.queue_delete(queue)
    for exchange in ("notifications.direct", "notifications.dlx"):
        producer.channel.exchange_delete(exchange)
    before = query("SELECT (SELECT count(*) FROM notifications), (SELECT count(*) FROM workers)")
    world.examine()
    assert rabbit.list_queues() == {}
    assert before == query("SELECT (SELECT count(*) FROM notifications), (SELECT count(*) FROM workers)")
    book = world.sandbox.book()
    assert not book["accepted"]
    assert not book["reports"]


def test_for_people_each_finding_is_a_line_and_each_fix_another(world):
    world.set(drain_grace=60.0)
    out = StringIO()
    call_command("doctor", stdout=out)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("ok ")
    [number] = [number for number, line in enumerate(lines) if "DRAIN_GRACE: is 60 s" in line]
    assert lines[number].startswith("warning ")
    assert lines[number + 1].strip().startswith("Fix: Set DRAIN_GRACE to 10 or less")
    assert lines[-1].endswith("2 to look at, 0 failed")


def test_as_operators_start_it_it_says_the_same(world, rabbit):
    known = connection.settings_dict
    done = doctor(
        world.sandbox.variables()
        | {
            "DATABASE_URL": f"postgresql://{known['USER']}@{known['HOST']}:{known['PORT']}/{known['NAME']}",
            "RABBITMQ_URL": rabbit.url,
            "SECRET_KEY": f"{SECRET}-0123456789-abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ",
            "ALLOWED_HOSTS": "push.example.org",
            "INSECURE_HTTP": "",
        },
        "--json",
    )
    assert (done.returncode, done.stderr) == (0, "")
    told = json.loads(done.stdout)
    assert told["status"] == "warning"
    assert [one["what"][:13] for one in told["findings"] if one["level"] != "ok"] == ["FCM_ENDPOINT:"]
    world.no_secret_in(done.stdout)


def doctor(variables: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "manage.py", "doctor", *arguments],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "pushproject.settings", "ENV_FILE": ""} | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


# Settings


@pytest.mark.parametrize(
    ("broken", "value"),
    [
        ("PORT", "x"),
        ("DATABASE_URL", f"mysql://u:{SECRET}@db/push"),
        ("RABBITMQ_URL", f"amqp://u:{SECRET}@mq/?heartbeat=often"),
        ("RABBITMQ_QUEUE_ARGUMENTS", "{"),
        ("USER_SERVICE_URL", "users:8000"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json"),
        ("SECRET_KEY_FILE", "/nowhere/key"),
        ("UPSTREAM_PROFILE", "mine"),
        ("RETRY_MAX_WAIT", "0.5"),
        ("LOG_LEVEL", "LOUD"),
    ],
)
def test_settings_that_cannot_be_read_are_78_and_a_line_each(broken, value, all_at_once):
    [line] = [line for line in all_at_once.stderr.splitlines() if line.startswith(f"{broken}: ")]
    assert " Fix: " in line
    assert all_at_once.returncode == 78
    assert SECRET not in all_at_once.stderr + all_at_once.stdout


@pytest.fixture(scope="module")
def all_at_once() -> subprocess.CompletedProcess[str]:
    [marked] = [
        m for m in test_settings_that_cannot_be_read_are_78_and_a_line_each.pytestmark if m.name == "parametrize"
    ]
    return doctor(dict(marked.args[1]))


@pytest.mark.parametrize(
    ("values", "setting", "fix"),
    [
        ({"allowed_hosts": []}, "ALLOWED_HOSTS", "Set ALLOWED_HOSTS to the names"),
        ({"insecure_http": True}, "INSECURE_HTTP", "Set INSECURE_HTTP=false"),
        ({"drain_grace": 60.0}, "DRAIN_GRACE", "Set DRAIN_GRACE to 10 or less"),
        ({"delivery_lease": 1.5}, "DELIVERY_LEASE", "Set DELIVERY_LEASE to 15"),
        ({"delivery_lease": 900.0}, "DELIVERY_LEASE", "Set DELIVERY_LEASE to 15"),
        ({"retry_max_wait": 7200.0}, "RETRY_MAX_WAIT", "or NOTIFICATION_TTL higher"),
        ({"circuit_breaker_timeout": 7200.0}, "CIRCUIT_BREAKER_TIMEOUT", "or NOTIFICATION_TTL higher"),
        ({"rabbitmq_prefetch_count": 5}, "RABBITMQ_PREFETCH_COUNT", "Leave it at 200"),
    ],
)
def test_a_setting_that_does_not_fit_is_a_warning(world, values, setting, fix):
    world.set(**values)
    level, what, how = world.trouble()
    assert level == "warning"
    assert setting in what
    assert fix in how


def test_the_sandboxs_address_in_production_is_a_warning(world):
    world.settings.PUSH.__pydantic_fields_set__.discard("api_gateway_url")
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", "API_GATEWAY_URL")
    assert "addresses" in fix


def test_a_secret_key_that_can_be_guessed_is_a_warning(world):
    world.settings.SECRET_KEY = SECRET
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", "SECRET_KEY")
    assert "secrets.token_urlsafe(50)" in fix


def test_a_database_of_ones_own_is_no_demo(world):
    world.set(rabbitmq_url=None, insecure_http=True, debug=True)
    world.settings.SECRET_KEY = "aaa"
    wrong = " ".join(one["what"] for one in world.troubles())
    assert "SECRET_KEY: is shorter" in wrong
    assert "INSECURE_HTTP: is true" in wrong


def test_tracebacks_for_everybody_are_a_warning(world):
    world.settings.DEBUG = True
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0], fix) == ("warning", "DEBUG", "Set DEBUG=false.")


def test_a_directory_that_cannot_be_written_to_has_failed(world, tmp_path):
    (tmp_path / "file").write_text("no directory")
    world.set(secret_key=None, var_dir=tmp_path / "file" / "var")
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("failed", "VAR_DIR")
    assert "Set VAR_DIR" in fix


# The database


@pytest.mark.parametrize(
    ("place", "cause", "fix"),
    [
        ({"HOST": "database.invalid"}, "the host database.invalid is not known", "Correct the host in DATABASE_URL"),
        ({"NAME": "elsewhere"}, "has no database elsewhere", "createdb"),
        ({"USER": "somebody"}, "knows no user somebody", "createuser"),
        ({"OPTIONS": {"sslmode": "require"}}, "TLS with 127.0.0.1 fails", "sslmode"),
        ({"HOST": "/nowhere"}, "no socket of PostgreSQL in /nowhere", "directory in DATABASE_URL"),
        ({"OPTIONS": {"options": "-c default_transaction_read_only=on"}}, "read-only", "Switch that off"),
    ],
)
def test_a_database_that_cannot_be_used_has_failed(world, place, cause, fix):
    with database_with(PASSWORD=SECRET, **place):
        level, what, how = world.trouble()
    assert level == "failed"
    assert what.startswith("DATABASE_URL: ")
    assert cause in what
    assert fix in how


def test_a_database_that_is_not_there_hides_nothing_else(world):
    world.set(user_service_url=f"http://127.0.0.1:{closed_port()}")
    with database_with(PORT=str(closed_port())):
        database, users = world.troubles()
    assert "DATABASE_URL: nobody listens at 127.0.0.1, port" in database["what"]
    assert "Start PostgreSQL" in database["fix"]
    assert users["what"].startswith("USER_SERVICE_URL: nobody listens")


@contextmanager
def wanting_a_password(postgres: PostgresServer, user: str) -> Iterator[None]:
    """PostgreSQL lets this user in by password only."""
    hba = postgres.directory / "data" / "pg_hba.conf"
    usual = hba.read_text()
    query(f"CREATE ROLE {user} LOGIN PASSWORD '{SECRET}'")
    hba.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{usual}")
    query("SELECT pg_reload_conf()")
    try:
        yield
    finally:
        hba.write_text(usual)
        query("SELECT pg_reload_conf()")
        query(f"DROP ROLE {user}")


def test_a_database_that_refuses_the_password_has_failed(world, postgres):
    with wanting_a_password(postgres, "push"):
        deadline = time.monotonic() + 10
        with database_with(USER="push", PASSWORD=f"{SECRET}-wrong"):
            while "password" not in (seen := world.trouble())[1] and time.monotonic() < deadline:
                pass
        level, what, fix = seen
        assert level == "failed"
        assert what == "DATABASE_URL: PostgreSQL refuses the password of user push."
        assert fix == "Correct user and password in DATABASE_URL."
        with database_with(USER="push", PASSWORD=""):
            assert "wants a password of user push" in world.trouble()[1]
        with database_with(USER="push", PASSWORD=SECRET):
            level, what, fix = world.trouble()
    assert (level, "GRANT" in fix) == ("failed", True)
    assert "its user may not read and write" in what


def test_missing_migrations_have_failed(world):
    done = query("DELETE FROM django_migrations WHERE app = 'deliveries' RETURNING name, applied")
    try:
        level, what, fix = world.trouble()
    finally:
        for row in done:
            query("INSERT INTO django_migrations (app, name, applied) VALUES ('deliveries', %s, %s)", *row)
    assert (level, fix) == ("failed", "python manage.py migrate")
    assert what == f"{len(done)} migrations are missing, the first is deliveries.0001_initial."


def test_an_index_that_is_half_built_has_its_remedy_before_the_migration(world):
    [row] = query("DELETE FROM django_migrations WHERE name = '0010_console_indexes' RETURNING name, applied")
    valid = "UPDATE pg_index SET indisvalid = %s WHERE indexrelid = 'deliveries_braked'::regclass"
    query(valid, False)
    try:
        level, what, fix = world.trouble()
    finally:
        query(valid, True)
        query("INSERT INTO django_migrations (app, name, applied) VALUES ('deliveries', %s, %s)", *row)
    assert level == "failed"
    assert "The index deliveries_braked is half built" in what
    assert fix == "DROP INDEX CONCURRENTLY deliveries_braked; then python manage.py migrate"


def test_tables_of_a_newer_version_are_a_warning(world):
    query("INSERT INTO django_migrations (app, name, applied) VALUES ('deliveries', '9999_later', now())")
    try:
        level, what, _ = world.trouble()
    finally:
        query("DELETE FROM django_migrations WHERE name = '9999_later'")
    assert level == "warning"
    assert "deliveries.9999_later" in what


def test_a_database_of_another_encoding_has_failed(world, postgres):
    with psycopg.connect(postgres.url, autocommit=True) as server:
        server.execute("CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
        try:
            with database_with(NAME="latin"):
                found = world.troubles()
        finally:
            server.execute("DROP DATABASE latin")
    assert [one["level"] for one in found] == ["failed", "failed"]
    assert "encoding is LATIN1" in found[0]["what"]
    assert found[1]["fix"] == "python manage.py migrate"


def test_clocks_that_differ_are_a_warning(world, monkeypatch):
    monkeypatch.setattr(database, "time", SimpleNamespace(time=lambda: time.time() + 60))
    level, what, fix = world.trouble()
    assert level == "warning"
    assert "differ by 60 s" in what
    assert "NTP" in fix


@pytest.mark.parametrize(
    ("fact", "level", "cause"),
    [
        ({"version": 14}, "failed", "14 is too old"),
        ({"version": 19}, "warning", "19 is newer"),
        ({"in_recovery": True}, "failed", "standby"),
        ({"fsync": False}, "warning", "fsync is off"),
        ({"waits_for_disk": False}, "warning", "synchronous_commit is off"),
    ],
)
def test_what_a_server_says_of_itself_is_judged(fact, level, cause):
    facts = Facts(17, "UTF8", False, False, True, True, 0.0)._replace(**fact)
    [finding] = [*database._is_fit(facts), *database._is_durable(facts)]
    assert finding.level == level
    assert cause in finding.what
    assert finding.fix


# Who works and who may look


def test_without_a_worker_there_is_the_command_that_starts_one(world):
    query("DELETE FROM workers")
    level, what, fix = world.trouble()
    assert (level, fix) == ("warning", "python manage.py rundramatiq")
    assert "No worker is alive" in what


def test_without_an_operator_there_is_the_command_that_makes_one(world):
    User.objects.all().delete()
    assert world.trouble() == ("warning", "Nobody may open the console.", "python manage.py createsuperuser")


def test_without_an_api_key_there_is_the_command_that_makes_one(world):
    query("DELETE FROM api_keys")
    _, findings = world.examine()
    assert [one["what"] for one in findings if one["name"] == "API keys"] == [
        "None yet: python manage.py apikey <name>"
    ]


def test_notifications_that_wait_too_long_are_a_warning(world):
    query(
        "INSERT INTO notifications (notification_id, user_id, correlation_id, source, request, accept_token,"
        " expires_at, next_attempt_at) VALUES ('a', 'u', 'c', 'api', %s, 1, now(), now() - interval '5 minutes')",
        json.dumps(message("a")),
    )
    level, what, _ = world.trouble()
    assert level == "warning"
    assert "due for 30" in what


def test_reports_that_the_gateway_refused_are_a_warning(world):
    query(
        "INSERT INTO notifications (notification_id, user_id, correlation_id, source, request, accept_token,"
        " status, expires_at, report_refused_at) VALUES ('a', 'u', 'c', 'api', %s, 1, 'sent', now(), now())",
        json.dumps(message("a")),
    )
    level, what, _ = world.trouble()
    assert (level, "refused 1 reports" in what) == ("warning", True)


def test_what_a_worker_says_of_an_upstream_is_passed_on(world):
    told = {"gateway": {"breaker": {"state": "open", "retry_after": 5.0}}}
    query("UPDATE workers SET breakers = %s", json.dumps(told))
    level, what, _ = world.trouble()
    assert (level, what) == ("warning", "A worker says that gateway is in trouble and not called for now.")


# RabbitMQ


@pytest.mark.parametrize(
    ("change", "cause", "fix"),
    [
        ("guest:guest -> guest:geheim", "refuses user guest or the password", "Correct both in RABBITMQ_URL"),
        ("/%2F -> /nowhere", "no virtual host 'nowhere'", "rabbitmqctl add_vhost"),
        ("127.0.0.1 -> rabbit.invalid", "the host rabbit.invalid is not known", "Correct the host in RABBITMQ_URL"),
        ("amqp: -> amqps:", "TLS with 127.0.0.1", "Write amqp:// in RABBITMQ_URL"),
    ],
)
def test_a_rabbitmq_that_does_not_let_us_in_has_failed(world, rabbit, change, cause, fix):
    with broker_instead(at(change, rabbit)):
        level, what, how = world.trouble()
    assert level == "failed"
    assert what.startswith("RABBITMQ_URL: ")
    assert cause in what
    assert fix in how


def test_a_port_without_a_rabbitmq_has_failed(world, rabbit, postgres):
    for port, cause in ((closed_port(), "nobody listens at"), (postgres.port, "does not speak AMQP")):
        with broker_instead(at(f":{rabbit.port} -> :{port}", rabbit)):
            level, what, fix = world.trouble()
        assert level == "failed"
        assert cause in what
        assert "RABBITMQ_URL" in fix


def test_one_address_of_a_cluster_that_is_away_is_a_warning(world, rabbit):
    away = rabbit.url.replace(str(rabbit.port), str(closed_port()))
    with broker_instead(PushBroker(url=f"{away};{rabbit.url}")):
        level, what, _ = world.trouble()
    assert level == "warning"
    assert "nobody listens" in what


@pytest.mark.parametrize(
    ("exchange", "setting"),
    [("notifications.direct", "RABBITMQ_EXCHANGE"), ("notifications.dlx", "RABBITMQ_DLX_EXCHANGE")],
)
def test_an_exchange_of_another_type_has_failed(world, producer, exchange, setting):
    producer.channel.exchange_delete(exchange)
    producer.channel.exchange_declare(exchange, "topic", durable=True)
    level, what, fix = world.trouble()
    assert (level, what) == ("failed", f"{setting}: exchange '{exchange}' exists, but not as a direct one.")
    assert f"Name another in {setting}" in fix


def test_a_queue_with_other_arguments_is_a_warning_that_says_which(world, producer):
    producer.channel.queue_delete("push.queue")
    producer.channel.queue_declare("push.queue", durable=True, arguments={**arguments(), "x-max-priority": 5})
    producer.channel.basic_consume("push.queue", lambda *_: None)
    level, what, fix = world.trouble()
    assert level == "warning"
    assert "x-max-priority: expected 10, found 5. It works all the same" in what
    assert "RABBITMQ_QUEUE_ARGUMENTS" in fix


def arguments() -> dict[str, Any]:
    return Topology().creation_arguments()


def test_a_queue_that_is_missing_is_a_warning(world, producer):
    producer.channel.queue_delete("push.queue")
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", "RABBITMQ_QUEUE")
    assert "python manage.py rundramatiq" in fix


def test_a_queue_that_nobody_consumes_is_a_warning(world, producer):
    producer.channel.cancel()
    for tag in producer.channel.consumer_tags:
        producer.channel.basic_cancel(tag)
    level, what, fix = world.trouble()
    assert (level, fix) == ("warning", "python manage.py rundramatiq")
    assert "Nobody consumes 'push.queue'" in what


def test_an_alarm_of_rabbitmq_has_failed(world, rabbitmq):
    rabbitmq.ctl("set_vm_memory_high_watermark", "0.00001")
    try:
        deadline = time.monotonic() + 10
        while not (seen := world.troubles()) and time.monotonic() < deadline:
            pass
    finally:
        rabbitmq.ctl("set_vm_memory_high_watermark", "0.4")
    [alarm] = seen
    assert (alarm["level"], alarm["name"]) == ("failed", "alarm")
    assert "rabbitmq-diagnostics alarms" in alarm["fix"]


def test_without_rabbitmq_it_says_so_and_asks_nobody(world):
    world.set(rabbitmq_url=None)
    with broker_instead(EmbeddedBroker()):
        status, findings = world.examine()
    assert status == 0
    [rabbitmq] = [one for one in findings if one["name"] == "RabbitMQ"]
    assert "RABBITMQ_URL is not set" in rabbitmq["what"]


# FCM


def without(key: dict[str, Any], name: str) -> dict[str, Any]:
    return {known: value for known, value in key.items() if known != name}


@pytest.mark.parametrize(
    ("change", "cause", "fix"),
    [
        (lambda _: "{", "is not a service-account file", "Generate new private key"),
        (lambda _: json.dumps({"type": "authorized_user"}), "is not a service-account file", "Make one"),
        (
            lambda key: json.dumps(key | {"private_key": f"{SECRET}-no-key"}),
            "private_key that is not one",
            "Make a new one",
        ),
        (lambda key: json.dumps(without(key, "client_email")), "lacks client_email", "Make a new one"),
        (
            lambda key: json.dumps(key | {"client_email": "x@y.z"}),
            "invalid_grant",
            "Check the clock, else make a new key",
        ),
        (
            lambda key: json.dumps(key | {"token_uri": f"http://127.0.0.1:{closed_port()}/token"}),
            "cannot be reached (no connection: Connection refused",
            "token_uri in the file that GOOGLE_APPLICATION_CREDENTIALS names",
        ),
    ],
)
def test_credentials_that_give_no_token_have_failed(world, change: Callable[[Any], str], cause, fix):
    world.key_file(change(world.key))
    level, what, how = world.trouble()
    assert level == "failed"
    assert "GOOGLE_APPLICATION_CREDENTIALS" in what + how
    assert cause in what
    assert fix in how


@pytest.mark.parametrize(
    ("file", "cause"), [(None, "GOOGLE_APPLICATION_CREDENTIALS: is not set."), ("/nowhere.json", "cannot be read")]
)
def test_credentials_that_are_missing_have_failed(world, file, cause):
    world.provider(credentials_file=file)
    level, what, fix = world.trouble()
    assert level == "failed"
    assert cause in what
    assert fix


def test_credentials_without_a_project_have_failed(world):
    world.key_file(json.dumps(without(world.key, "project_id")))
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("failed", "FCM_PROJECT_ID")
    assert "Set FCM_PROJECT_ID" in fix


def test_a_project_that_is_not_that_of_the_credentials_is_named(world):
    world.provider(project_id="another")
    mismatch, refused = world.troubles()
    assert (mismatch["level"], mismatch["what"][:26]) == ("warning", "FCM_PROJECT_ID: is another")
    assert (refused["level"], refused["fix"]) == ("failed", "Check FCM_PROJECT_ID and FCM_ENDPOINT.")
    assert "FCM knows no project another" in refused["what"]
    assert "token" not in refused["what"]


@pytest.mark.parametrize(
    ("status", "body", "level", "cause"),
    [
        (401, b"{}", "failed", "refused our access token"),
        (403, b"{}", "failed", "may not send in this project"),
        (404, b"<html>", "failed", "FCM knows no project"),
        (302, b"", "failed", "FCM_ENDPOINT redirects"),
        (200, b"<html>", "failed", "is not FCM"),
        (503, b"{}", "warning", "answered 503"),
        (429, b"{}", "warning", "answered 429"),
    ],
)
def test_an_fcm_that_does_not_let_us_send_is_told(world, status, body, level, cause):
    with answering(status, body) as url:
        world.provider(endpoint=url)
        told, what, fix = world.trouble()
    assert told == level
    assert cause in what
    assert fix


def test_an_fcm_that_is_not_there_has_failed(world):
    world.provider(endpoint=f"http://127.0.0.1:{closed_port()}")
    level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("failed", "FCM_ENDPOINT")
    assert "host and port in FCM_ENDPOINT" in fix


def test_the_legacy_wire_format_is_a_warning_and_sends_nothing(world):
    options = {"server_key": SECRET, "api_url": "https://fcm.googleapis.com/fcm/send"}
    world.settings.PROVIDERS = {"fcm_legacy": options}
    [told] = [one for one in world.troubles() if "FCM_SERVER_KEY" in one["what"]]
    assert told["level"] == "warning"
    assert "switching off" in told["what"]
    assert "GOOGLE_APPLICATION_CREDENTIALS" in told["fix"]


# Web Push

VAPID_KEY = "3KzvKasA2SoCxsp0iIG_o9B0Ozvl1XDwI63JRKNIWBM"


def web_push(world, **options):
    given = {"private_key": VAPID_KEY, "subject": "mailto:push@shop.example", "loopback": False} | options
    world.settings.PROVIDERS = world.settings.PROVIDERS | {"webpush": given}
    return [one for one in world.examine()[1] if one["name"] == "Web Push"]


def test_the_key_that_browsers_need_is_shown_and_the_other_is_not(world):
    [found] = web_push(world)
    assert found["level"] == "ok"
    assert found["what"].endswith(public_key(signer(VAPID_KEY)))
    assert VAPID_KEY not in found["what"]


def test_a_subscription_that_may_name_this_machine_is_a_warning(world):
    world.set(allowed_hosts=["push.example.org"])
    [found] = [one for one in web_push(world, loopback=True) if one["level"] != "ok"]
    assert (found["level"], found["fix"]) == ("warning", "Set WEBPUSH_LOOPBACK=false, unless this is a test.")


# The services around us

NEIGHBOURS = {
    "USER_SERVICE_URL": "user service",
    "TEMPLATE_SERVICE_URL": "template service",
    "API_GATEWAY_URL": "gateway",
}


@pytest.mark.parametrize("setting", NEIGHBOURS)
def test_a_neighbour_that_cannot_be_asked_has_failed(world, setting):
    refused, tls = f"http://127.0.0.1:{closed_port()}", world.sandbox.url.replace("http:", "https:")
    for url, cause in (
        (refused, "nobody listens at"),
        (f"http://user:{SECRET}@neighbour.invalid", "the host neighbour.invalid is not known"),
        (tls, "TLS with 127.0.0.1"),
    ):
        world.set(**{setting.lower(): url})
        level, what, fix = world.trouble()
        assert (level, what.split(":")[0]) == ("failed", setting)
        assert cause in what
        assert setting in fix


@pytest.mark.parametrize("setting", NEIGHBOURS)
def test_an_answer_that_is_none_is_told(world, setting):
    location = f"https://u:{SECRET}@elsewhere.example.org/login?key={SECRET}"
    for status, expected, cause in (
        (401, "failed", "does not let us in"),
        (403, "failed", "does not let us in"),
        (500, "failed", "is in trouble"),
        (302, "warning", "points to https://elsewhere.example.org/login."),
    ):
        with answering(status, Location=location) as url:
            world.set(**{setting.lower(): url.replace("//", f"//u:{SECRET}@")})
            level, what, fix = world.trouble()
        assert (level, what.split(":")[0]) == (expected, setting)
        assert cause in what
        assert setting in fix or NEIGHBOURS[setting] in fix


@pytest.mark.parametrize(
    ("setting", "status", "goes"),
    [
        ("USER_SERVICE_URL", 301, True),
        ("USER_SERVICE_URL", 308, True),
        ("TEMPLATE_SERVICE_URL", 301, False),
        ("TEMPLATE_SERVICE_URL", 307, True),
        ("API_GATEWAY_URL", 302, False),
        ("API_GATEWAY_URL", 308, True),
    ],
)
def test_of_a_redirect_at_a_neighbour_is_said_what_a_worker_does(world, setting, status, goes):
    with answering(status, Location="/moved/") as url:
        world.set(**{setting.lower(): url})
        level, _, fix = world.trouble()
    assert level == "warning"
    assert ("is followed, and makes every request two" in fix) is goes
    assert (f"with {status} there is not followed" in fix) is not goes


def test_every_path_of_the_user_service_is_asked(world):
    world.set(user_service_paths=["/api/v1/users/{user_id}", "/no/such/{user_id}"])
    level, what, fix = world.trouble()
    assert (level, "/no/such/doctor-check answered 404" in what) == ("warning", True)
    assert "USER_SERVICE_PATHS" in fix


@pytest.mark.parametrize("setting", ["USER_SERVICE_URL", "TEMPLATE_SERVICE_URL"])
def test_a_page_instead_of_json_is_a_warning(world, setting):
    with answering(404, b"<html>") as url:
        world.set(**{setting.lower(): url})
        level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", setting)
    assert "UPSTREAM_PROFILE" in fix


@pytest.mark.parametrize("setting", ["USER_SERVICE_URL", "TEMPLATE_SERVICE_URL"])
@pytest.mark.parametrize(
    ("status", "body"), [(404, b'{"detail": "Not Found"}'), (404, b'{"message": "No route PATH"}'), (200, b"{}")]
)
def test_a_neighbour_that_answers_every_path_alike_is_a_warning(world, setting, status, body):
    with answering(status, body) as url:
        world.set(**{setting.lower(): f"{url}/wrong"})
        level, what, fix = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", setting)
    assert "so is a path answered that no service has" in what
    assert "UPSTREAM_PROFILE" in fix


def test_a_gateway_that_knows_no_path_is_a_warning(world):
    with answering(404) as url:
        world.set(api_gateway_url=url)
        level, what, _ = world.trouble()
    assert (level, what.split(":")[0]) == ("warning", "API_GATEWAY_URL")


def test_a_gateway_that_knows_its_own_paths_may_answer_404(world):
    with answering(404, b"at PATH, REQUEST") as url:
        world.set(api_gateway_url=url)
        assert world.troubles() == []


@pytest.mark.parametrize("status", [200, 405, 422])
def test_any_other_answer_of_the_gateway_will_do(world, status):
    with answering(status) as url:
        world.set(api_gateway_url=url)
        assert world.troubles() == []


def test_without_a_gateway_nobody_is_asked_for_it(world):
    world.set(api_gateway_url=None)
    assert world.troubles() == []
    [told] = [one for one in world.examine()[1] if one["name"] == "gateway"]
    assert "API_GATEWAY_URL: is none" in told["what"]


# Time


def test_where_everything_hangs_it_ends_all_the_same(world, rabbit):
    with silent() as port:
        url = f"http://127.0.0.1:{port}"
        world.set(user_service_url=url, template_service_url=url, api_gateway_url=url)
        world.key_file(json.dumps(world.key | {"token_uri": f"{url}/token"}))
        begun = time.monotonic()
        with (
            database_with(PORT=str(port), PASSWORD=SECRET),
            broker_instead(at(f":{rabbit.port} -> :{port}", rabbit)),
        ):
            found = world.troubles()
        assert time.monotonic() - begun < 15
    assert [one["name"] for one in found] == [
        "database",
        "RabbitMQ",
        "FCM credentials",
        "user service",
        "template service",
        "gateway",
    ]
    assert all("answer" in one["what"] or "reached" in one["what"] for one in found)
