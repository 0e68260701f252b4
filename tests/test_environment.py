"""Settings: read from everywhere they may stand, and refused in words that help."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pushproject import environment_docs
from pushproject.database import PATIENCE, from_url
from pushproject.environment import BASE_DIR, Environment, fault_line, load
from pushproject.secret_key import secret_key

PRODUCTION = {"DATABASE_URL": "postgresql://u:geheim@db/push", "RABBITMQ_URL": "amqp://u:p@mq/"}


@pytest.fixture(autouse=True)
def bare(monkeypatch, tmp_path):
    for name in Environment.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("ENV_FILE", "")
    monkeypatch.setenv("VAR_DIR", str(tmp_path / "var"))


def given(monkeypatch, **variables: str) -> Environment:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return load()


def refused(monkeypatch, capsys, **variables: str) -> list[str]:
    with pytest.raises(SystemExit) as ended:
        given(monkeypatch, **variables)
    assert ended.value.code == 78
    return capsys.readouterr().err.splitlines()


def test_nothing_set_is_the_embedded_mode():
    settings = load()
    assert settings.embedded_database
    assert settings.embedded_broker
    assert settings.rabbitmq_routing_key == ["push"]


def test_an_empty_value_is_the_default(monkeypatch):
    assert given(monkeypatch, MAX_RETRY_ATTEMPTS="", RABBITMQ_URL="").max_retry_attempts == 3


def test_the_environment_wins_over_the_env_file(monkeypatch, tmp_path):
    file = tmp_path / "settings.env"
    file.write_text("MAX_RETRY_ATTEMPTS=7\nLOG_LEVEL=debug\nUNKNOWN=1\n")
    settings = given(monkeypatch, ENV_FILE=str(file), LOG_LEVEL="error")
    assert (settings.max_retry_attempts, settings.log_level) == (7, "ERROR")


def test_an_env_file_that_is_named_and_not_there_is_refused(monkeypatch, capsys, tmp_path):
    for wrong in (tmp_path / "missing.env", tmp_path):
        [line] = refused(monkeypatch, capsys, ENV_FILE=str(wrong))
        assert line.startswith(f"ENV_FILE: {wrong} ")
        assert "Fix: " in line


def test_the_env_example_changes_nothing(monkeypatch):
    assert given(monkeypatch, ENV_FILE=str(environment_docs.ENV_EXAMPLE)) == load()


def test_lists_and_objects_are_read_from_text(monkeypatch):
    settings = given(
        monkeypatch,
        RABBITMQ_ROUTING_KEY="push, notification.push",
        RABBITMQ_QUEUE_ARGUMENTS='{"x-max-priority": 5}',
        ALLOWED_HOSTS="a.example, b.example",
    )
    assert settings.rabbitmq_routing_key == ["push", "notification.push"]
    assert settings.rabbitmq_queue_arguments == {"x-max-priority": 5}
    assert settings.allowed_hosts == ["a.example", "b.example"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAX_RETRY_ATTEMPTS", "many"),
        ("MAX_RETRY_ATTEMPTS", "0"),
        ("RETRY_MIN_WAIT", "-1"),
        ("RETRY_MAX_WAIT", "1"),
        ("DELIVERY_LEASE", "nan"),
        ("LOG_LEVEL", "LOUD"),
        ("UPSTREAM_PROFILE", "mine"),
        ("USER_SERVICE_PATHS", "/users"),
        ("USER_SERVICE_PATHS", "users/{user_id}"),
        ("USER_SERVICE_PATHS", "/users/{user_id}, /tokens"),
        ("USER_SERVICE_PATHS", "/users/{user_id"),
        ("USER_SERVICE_PATHS", "/us ers/{user_id}"),
        ("USER_SERVICE_PATHS", "/users/{user_id}#top"),
        ("TEMPLATE_SERVICE_FIELDS", "template_id,colour"),
        ("TEMPLATE_SERVICE_FIELDS", "variables"),
        ("TEMPLATE_SERVICE_FIELDS", "data=variables"),
        ("TEMPLATE_SERVICE_FIELDS", "template_id,variables=data"),
        ("TEMPLATE_SERVICE_FIELDS", "template_id,=variables"),
        ("TEMPLATE_SERVICE_FIELDS", "template_id,a b=variables"),
        ("TEMPLATE_UNESCAPE_HTML", "perhaps"),
        ("API_GATEWAY_METHOD", "GET"),
        ("TRUST_MESSAGE_TOKENS", "perhaps"),
        ("USER_SERVICE_HEADER_FILE", "/nowhere/header"),
        ("USER_SERVICE_URL", "users:8000"),
        ("FCM_ENDPOINT", "ftp://fcm"),
        ("FCM_ENDPOINT", "http://fcm:99999"),
        ("DATABASE_URL", "mysql://db/push"),
        ("RABBITMQ_URL", "http://mq"),
        ("RABBITMQ_URL", "amqp://guest@mq/"),
        ("RABBITMQ_URL", "amqp://mq/?heartbeat=often"),
        ("RABBITMQ_URL", "amqp://a.mq/;amqp://b.mq/?heartbeat=often"),
        ("RABBITMQ_QUEUE_ARGUMENTS", "{"),
        ("RABBITMQ_QUEUE_ARGUMENTS", "[1]"),
        ("RABBITMQ_ROUTING_KEY", ","),
        ("DEBUG", "perhaps"),
        ("PORT", "70000"),
        ("GOOGLE_APPLICATION_CREDENTIALS", "/nowhere/key.json"),
        ("SECRET_KEY_FILE", "/nowhere/key"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(monkeypatch, capsys, name, value):
    [line] = refused(monkeypatch, capsys, **{name: value})
    assert line.startswith(f"{name}: ")
    assert f"Fix: {Environment.model_fields[name.lower()].description}" in line


@pytest.mark.parametrize(
    ("name", "path", "known"),
    [
        ("USER_SERVICE_PATHS", "/users/{user_id}/{id}", "{user_id}"),
        ("USER_SERVICE_PATHS", "/users/{user_id!r}", "{user_id}"),
        ("USER_SERVICE_PATHS", "/users/{user_id.__class__}", "{user_id}"),
        ("USER_SERVICE_PATHS", "/users/{}", "{user_id}"),
        ("TEMPLATE_SERVICE_PATH", "/render/{code}", "{template_id} and {template_code}"),
        ("API_GATEWAY_PATH", "/status/{notification_id:>9}", "{notification_id}"),
    ],
)
def test_an_unknown_placeholder_is_refused_and_the_known_one_named(monkeypatch, capsys, name, path, known):
    [line] = refused(monkeypatch, capsys, **{name: path})
    assert f"what is known here is {known}" in line


@pytest.mark.parametrize(
    ("address", "why"),
    [
        ("http://h h", "a space"),
        ("http://h/a b", "a space"),
        ("http://h\\@evil", "a backslash"),
        ("http://hü", "not ASCII"),
        ("http://evil@h", "USER_SERVICE_HEADER"),
        ("http://me:geheim@h", "USER_SERVICE_HEADER"),
        ("http://h/base?x=1", "only a path"),
        ("http://h/base?", "only a path"),
        ("http://h/#top", "only a path"),
    ],
)
@pytest.mark.parametrize("name", ["USER_SERVICE_URL", "API_GATEWAY_URL", "FCM_ENDPOINT", "FCM_API_URL"])
def test_an_address_that_clients_would_not_agree_about_is_refused(monkeypatch, capsys, name, address, why):
    [line] = refused(monkeypatch, capsys, **{name: address})
    assert line.startswith(f"{name}: ")
    assert why in line
    assert "geheim" not in line


def test_an_address_may_have_a_path(monkeypatch):
    settings = given(monkeypatch, USER_SERVICE_URL="https://[::1]:8443/users/", FCM_API_URL="http://fcm/fcm/send")
    assert (settings.user_service_url, settings.fcm_api_url) == ("https://[::1]:8443/users", "http://fcm/fcm/send")


def test_there_may_be_no_gateway_but_no_other_service_less(monkeypatch, capsys):
    assert given(monkeypatch, API_GATEWAY_URL="none").api_gateway_url is None
    [line] = refused(monkeypatch, capsys, USER_SERVICE_URL="none")
    assert line.startswith("USER_SERVICE_URL: ")


def test_the_ways_to_the_neighbours_are_settable(monkeypatch):
    settings = given(
        monkeypatch,
        UPSTREAM_PROFILE="dns-core",
        USER_SERVICE_PATHS="/u/{user_id}, /t/?user={user_id}",
        TEMPLATE_SERVICE_PATH="/render/{template_id}",
        TEMPLATE_SERVICE_FIELDS="data=variables, language_code=language",
        TEMPLATE_UNESCAPE_HTML="false",
        API_GATEWAY_PATH="/told/{notification_id}",
        API_GATEWAY_METHOD="put",
    )
    assert settings.user_service_paths == ["/u/{user_id}", "/t/?user={user_id}"]
    assert settings.template_service_path == "/render/{template_id}"
    assert settings.template_service_fields == ["data=variables", "language_code=language"]
    assert settings.template_unescape_html is False
    assert (settings.api_gateway_path, settings.api_gateway_method) == ("/told/{notification_id}", "PUT")


HEADERS = ("USER_SERVICE_HEADER", "TEMPLATE_SERVICE_HEADER", "API_GATEWAY_HEADER")


@pytest.mark.parametrize("name", HEADERS)
@pytest.mark.parametrize(
    "header",
    ["geheim", ": geheim", "X-Key:", "X Key: geheim", "X-Key: ge\nheim", "X-Key: ge\x7fheim", "X-Key: gehü",
     "HOST: geheim",
     "Content-Length: geheim", "X-Correlation-Id: geheim"],
)  # fmt: skip
def test_a_header_that_cannot_be_sent_is_refused_and_not_shown(monkeypatch, capsys, name, header):
    [line] = refused(monkeypatch, capsys, **{name: header})
    assert line.startswith(f"{name}: is ")
    assert "geh" not in line


@pytest.mark.parametrize("key", ["AAAAgeheim:two\nlines", "AAAAgeheim two", " geheim", "schlüsselgeheim", "geheim\x7f"])
def test_a_server_key_that_no_header_can_carry_is_refused_and_not_shown(monkeypatch, capsys, key):
    [line] = refused(monkeypatch, capsys, FCM_SERVER_KEY=key)
    assert line.startswith("FCM_SERVER_KEY: has characters that no key has. Copy it again")
    assert "geheim" not in line


def test_a_server_key_is_checked_in_a_file_too_and_may_end_with_a_line_there(monkeypatch, capsys, tmp_path):
    file = tmp_path / "key"
    file.write_text("AAAAserver:APA91b_-\n")
    settings = given(monkeypatch, FCM_SERVER_KEY_FILE=str(file))
    assert settings.fcm_server_key and settings.fcm_server_key.get_secret_value() == "AAAAserver:APA91b_-"
    file.write_text("AAAA\nserver")
    [line] = refused(monkeypatch, capsys, FCM_SERVER_KEY_FILE=str(file))
    assert line.startswith("FCM_SERVER_KEY: has characters")


VAPID_KEY = "3KzvKasA2SoCxsp0iIG_o9B0Ozvl1XDwI63JRKNIWBM"


@pytest.mark.parametrize("subject", ["mailto:push@shop.example", "https://shop.example", "https://shop.example/push"])
def test_web_push_has_a_key_and_a_subject(monkeypatch, tmp_path, subject):
    (tmp_path / "key").write_text(f"{VAPID_KEY}\n")
    settings = given(monkeypatch, VAPID_PRIVATE_KEY_FILE=str(tmp_path / "key"), VAPID_SUBJECT=subject)
    assert settings.vapid_private_key and settings.vapid_private_key.get_secret_value() == VAPID_KEY
    assert settings.vapid_subject == subject
    assert VAPID_KEY not in repr(settings)


def test_a_vapid_key_without_a_subject_is_refused(monkeypatch, capsys):
    [line] = refused(monkeypatch, capsys, VAPID_PRIVATE_KEY=VAPID_KEY)
    assert line.startswith("VAPID_SUBJECT: is required with VAPID_PRIVATE_KEY. Fix: ")
    assert "mailto:" in line


@pytest.mark.parametrize("key", ["geheim", f"{VAPID_KEY}geheim", "-----BEGIN PRIVATE KEY-----\ngeheim", "A" * 43])
def test_a_vapid_key_that_is_none_is_refused_and_not_shown(monkeypatch, capsys, key):
    [line] = refused(monkeypatch, capsys, VAPID_PRIVATE_KEY=key)
    assert line.startswith("VAPID_PRIVATE_KEY: is not a private key")
    assert "web-push generate-vapid-keys" in line
    assert "geheim" not in line and "AAAA" not in line


@pytest.mark.parametrize(
    "subject",
    ["push@shop.example", "mailto:push", "mailto:push@localhost", "mailto:push@shop.invalid", "http://shop.example",
     "https://localhost", "https://10.0.0.1", "mailto:a b@shop.example"],
)  # fmt: skip
def test_a_subject_that_apple_would_refuse_is_refused_at_the_start(monkeypatch, capsys, subject):
    [line] = refused(monkeypatch, capsys, VAPID_PRIVATE_KEY=VAPID_KEY, VAPID_SUBJECT=subject)
    assert line.startswith("VAPID_SUBJECT: is not mailto: or https:// with a public name")


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_may_stand_in_a_file(monkeypatch, tmp_path, name):
    (tmp_path / "header").write_text("Authorization: Bearer geheim\n")
    settings = given(monkeypatch, **{f"{name}_FILE": str(tmp_path / "header")})
    assert getattr(settings, name.lower()).get_secret_value() == "Authorization: Bearer geheim"
    assert "geheim" not in repr(settings)


def test_every_fault_has_its_line(monkeypatch, capsys):
    lines = refused(monkeypatch, capsys, PORT="x", LOG_LEVEL="y", MAX_IN_FLIGHT="-1")
    assert [line.split(":")[0] for line in lines] == ["LOG_LEVEL", "MAX_IN_FLIGHT", "PORT"]


def test_a_wrong_secret_is_not_shown(monkeypatch, capsys):
    [line] = refused(monkeypatch, capsys, DATABASE_URL="mysql://me:geheim@db/push")
    assert "geheim" not in line


def test_no_secret_is_in_the_repr(monkeypatch):
    settings = given(monkeypatch, **PRODUCTION, SECRET_KEY="geheim-geheim", FCM_SERVER_KEY="geheim")
    assert "geheim" not in repr(settings)


def test_a_secret_may_stand_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "url"
    file.write_text("amqp://from.file/\n")
    settings = given(monkeypatch, RABBITMQ_URL_FILE=str(file))
    assert settings.rabbitmq_url
    assert settings.rabbitmq_url.get_secret_value() == "amqp://from.file/"


def test_what_stands_in_a_file_is_checked_too(monkeypatch, capsys, tmp_path):
    file = tmp_path / "url"
    file.write_text("mysql://db/push\n")
    [line] = refused(monkeypatch, capsys, DATABASE_URL_FILE=str(file))
    assert line.startswith("DATABASE_URL: is not an address")


def test_a_secret_given_twice_is_refused(monkeypatch, capsys, tmp_path):
    file = tmp_path / "key"
    file.write_text("one")
    [line] = refused(monkeypatch, capsys, SECRET_KEY="another", SECRET_KEY_FILE=str(file))
    assert line.startswith("SECRET_KEY: is set twice")
    assert "another" not in line


def test_production_needs_a_secret_key(monkeypatch, capsys):
    [line] = refused(monkeypatch, capsys, **PRODUCTION)
    assert line.startswith("SECRET_KEY: is required")


def test_a_generated_secret_key_is_kept_for_its_owner_only(tmp_path):
    settings = load()
    key = secret_key(settings)
    file = tmp_path / "var" / "secret_key"
    assert len(key) >= 50
    assert secret_key(settings) == key == file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in file.parent.iterdir()] == ["secret_key"]


def test_a_secret_key_that_cannot_be_kept_is_one_line(monkeypatch, capsys, tmp_path):
    (tmp_path / "file").write_text("not a directory")
    settings = given(monkeypatch, VAR_DIR=str(tmp_path / "file"))
    with pytest.raises(SystemExit):
        secret_key(settings)
    assert capsys.readouterr().err.startswith("SECRET_KEY: ")


def test_the_start_stops_without_a_traceback():
    done = subprocess.run(
        [sys.executable, "manage.py", "check"],
        env=os.environ | {"DJANGO_SETTINGS_MODULE": "pushproject.settings", "PORT": "no"},
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.startswith("PORT: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg", "postgres"])
def test_a_database_address_in_each_of_its_forms(scheme):
    found = from_url(f"{scheme}://me:p%40ss@db.example:5433/pu%20sh?ssl=require&connect_timeout=3")
    assert found == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "pu sh",
        "USER": "me",
        "PASSWORD": "p@ss",
        "HOST": "db.example",
        "PORT": "5433",
        "OPTIONS": PATIENCE | {"sslmode": "require", "connect_timeout": "3"},
    }


@pytest.mark.parametrize(
    ("where", "hosts", "ports"),
    [("one:5433,two", "one,two", "5433,"), ("one,two", "one,two", ""), ("one:1,two:2", "one,two", "1,2")],
)
def test_a_database_address_may_name_several_servers(where, hosts, ports):
    url = f"postgresql://me:p%40ss@{where}/push?target_session_attrs=read-write"
    address = Environment(_env_file=None, secret_key="x", database_url=url).database_url
    found = from_url(address.get_secret_value())
    assert (found["HOST"], found["PORT"]) == (hosts, ports)
    assert found["OPTIONS"] == PATIENCE | {"target_session_attrs": "read-write"}


def test_a_database_address_may_name_a_socket():
    assert from_url("postgresql:///push?host=/run/postgresql")["HOST"] == "/run/postgresql"


def test_every_setting_has_a_description_and_every_number_its_bounds():
    for name, field in Environment.model_fields.items():
        assert field.description, name
        if field.annotation in (int, float):
            assert "From " in field.description, name


def test_a_fault_line_is_one_line():
    with pytest.raises(ValidationError) as caught:
        Environment(_env_file=None, log_level="a\nb")
    assert "\n" not in fault_line(caught.value.errors()[0])


def test_the_example_and_the_table_say_what_the_class_says():
    """`make settings` writes both."""
    assert environment_docs.ENV_EXAMPLE.read_text() == environment_docs.env_example()
    assert environment_docs.TABLE.read_text() == environment_docs.table()


def test_no_value_in_the_example_needs_quotes():
    """`docker run --env-file` takes a line as it stands."""
    lines = Path(environment_docs.ENV_EXAMPLE).read_text().splitlines()
    values = [line.partition("=")[2] for line in lines if line and not line.startswith("#")]
    assert values
    assert not [value for value in values if value != value.strip("\"' ") or "#" in value]
