"""The OpenAPI document is what the API does: nothing else goes in, nothing else comes out, and nobody gets in."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.test import Client
from drf_spectacular.validation import validate_schema
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator
from schemathesis.config import SchemathesisConfig

from deliveries.api.codes import CODES
from deliveries.contract import PushRequest
from deliveries.models import AuditEntry, PushAttempt, PushDelivery
from tests.api_client import NOTIFICATIONS, Api, a_key
from tests.world import message, query

SCHEMA_URL = "/api/v1/schema/"
DOCS = Path(__file__).resolve().parent.parent / "docs" / "api.md"

pytestmark = pytest.mark.django_db(transaction=True)


def schema(**generation: Any) -> Any:
    """The document as the service serves it, for requests to the service in this process."""
    config = SchemathesisConfig.from_dict({"generation": {"deterministic": True, **generation}})
    return schemathesis.openapi.from_wsgi(SCHEMA_URL, get_wsgi_application(), config=config)


#: The tests bring the key: that a generated request lacks one would make it no worse.
WITH_A_KEY = schema(**{"with-security-parameters": False})
WITHOUT = schema()

#: The same examples in every run, and no clock that ends one on a busy machine.
SAME = settings(
    max_examples=150, derandomize=True, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def key(db, settings):
    """Good for everything, and for as many requests as it takes."""
    settings.PUSH = settings.PUSH.model_copy(update={"api_rate": 1_000_000})
    return a_key()


def is_protected(case) -> bool:
    return bool(case.operation.definition.raw.get("security"))


@WITH_A_KEY.parametrize()
@SAME
def test_what_the_document_allows_is_done_and_nothing_else_is(case, key):
    case.call_and_validate(headers={"Authorization": f"Bearer {key}"})


@WITHOUT.parametrize()
@SAME
def test_without_a_key_nothing_is_done(case, db):
    answer = case.call_and_validate()
    if is_protected(case) and answer.status_code != 404:  # a generated id that no address has
        assert answer.status_code == 401
    if is_protected(case) and answer.status_code == 404:
        assert answer.json()["error"]["code"] == "not_found"


@pytest.fixture
def one_of_each(key):
    """A notification with everything that can be told of one."""
    Api(key).post(message("n-1"))
    delivery = PushDelivery.objects.create(notification_id="n-1", user_id="u-1", device_token="x" * 99, provider="fcm")
    PushAttempt.objects.create(
        notification_id="n-1", delivery=delivery, stage="send", outcome="retry", error_code="UNAVAILABLE"
    )
    AuditEntry.objects.create(actor="user ada", action="resend", subject="n-1", reason="so")
    return delivery.pk


def ask(path, method, key, **how):
    """Calls an operation and holds the answer against the document."""
    if method == "POST":
        how["media_type"] = "application/json"
    case = WITH_A_KEY[path][method].Case(**how)
    return case.call_and_validate(headers={"Authorization": f"Bearer {key}"}).status_code


def test_what_is_there_is_told_as_documented(key, one_of_each):
    id, delivery = {"notification_id": "n-1"}, {"id": one_of_each}
    notification, deliveries = f"{NOTIFICATIONS}{{notification_id}}/", "/api/v1/deliveries/"
    assert ask(notification, "GET", key, path_parameters=id) == 200
    assert ask(deliveries, "GET", key, query={"page_size": 1, "user_id": "u-1"}) == 200
    assert ask(f"{deliveries}{{id}}/", "GET", key, path_parameters=delivery) == 200
    assert ask(NOTIFICATIONS, "POST", key, body=[message("n-1"), message("n-2")]) == 202
    assert ask(NOTIFICATIONS, "POST", key, body=[message("n-1", title="another"), {}]) == 207
    assert ask(NOTIFICATIONS, "POST", key, body=message("n-1", title="another")) == 409
    assert ask(f"{notification}resend/", "POST", key, path_parameters=id, body={"seen": 0}) == 409
    query("UPDATE notifications SET status = 'failed', next_attempt_at = NULL")
    query("UPDATE push_deliveries SET status = 'failed'")
    assert ask(f"{deliveries}{{id}}/resend/", "POST", key, path_parameters=delivery, body={}) == 202
    assert ask(f"{notification}cancel/", "POST", key, path_parameters=id, body={"reason": "so"}) == 202


def test_what_a_key_may_not_do_is_told_as_documented(settings):
    key = a_key(scopes=["send"])
    assert ask("/api/v1/deliveries/", "GET", key) == 403
    settings.PUSH = settings.PUSH.model_copy(update={"api_rate": 1})
    assert ask(NOTIFICATIONS, "POST", key, body=message("n-1")) == 202
    assert ask(NOTIFICATIONS, "POST", key, body=message("n-1")) == 429


def test_the_document_needs_no_key_and_comes_as_json_or_yaml(client):
    answer = client.get(SCHEMA_URL)
    assert answer["Content-Type"].startswith("application/json")
    assert answer.json()["openapi"].startswith("3.1")
    assert b"openapi: 3.1" in client.get(SCHEMA_URL, headers={"Accept": "application/yaml"}).content


def test_every_operation_is_in_the_document_and_in_the_docs(client):
    paths = client.get(SCHEMA_URL).json()["paths"]
    operations = {(method.upper(), path) for path, methods in paths.items() for method in methods}
    assert len(operations) == 10
    for _, path in operations:
        shown = path.replace("{notification_id}", "order-1").replace("{id}", "17")
        assert f"$PUSH{shown.removesuffix('/')}" in DOCS.read_text()


def test_every_field_of_a_push_is_in_the_document_and_in_the_docs(client):
    told = client.get(SCHEMA_URL).json()["components"]["schemas"]["PushRequest"]["properties"]
    assert told.keys() == PushRequest.model_fields.keys() - {"device_tokens"}
    table = re.findall(r"^\| (`.*?) \|", DOCS.read_text(), re.MULTILINE)
    assert PushRequest.model_fields.keys() <= set(re.findall(r"`(\w+)`", " ".join(table)))


def test_what_cannot_be_a_push_the_document_does_not_allow(client):
    document = client.get(SCHEMA_URL).json()
    schema = {"$ref": "#/components/schemas/PushRequest", "components": document["components"]}
    allowed = Draft202012Validator(schema).is_valid
    for wrong in (
        {"title": "T"},
        {"user_id": "u"},
        {"topic": "a b", "title": "T"},
        {"topic": "t", "data_only": False},
        {"topic": "t", "title": "T", "device_tokens": ["x"]},
        {"user_id": "u", "topic": "t", "title": "T"},
        {"topic": 7, "title": "T"},
        {"user_id": "u", "title": "T", "metadata": {"from": 1}},
        {"user_id": "u", "title": "T", "badge": -1},
        {"user_id": "u", "title": "T", "badge": "three"},
        {"user_id": "u", "title": "T", "dry_run": 2},
        {"user_id": "u", "data_only": 0},
    ):
        assert not allowed(wrong), wrong
    for right in (
        {"topic": "/topics/t", "title": "T"},
        {"user_id": " ", "topic": "t", "data_only": True},
        {"user_id": "u", "topic": " ", "title": "T"},
        {"user_id": None, "topic": "t", "title": "T"},
        {"user_id": "u", "title": "T", "metadata": {"fromage": 1}, "badge": 2.0, "sound": 7},
        {"user_id": "u", "data_only": "true", "dry_run": 0, "badge": "3"},
    ):
        assert allowed(right), right


def test_the_document_knows_the_codes_of_all_errors(client):
    detail = client.get(SCHEMA_URL).json()["components"]["schemas"]["ErrorDetail"]
    assert detail["properties"]["code"]["enum"] == list(CODES)


def test_what_is_told_is_told_every_time_and_cannot_be_written(client):
    schemas = client.get(SCHEMA_URL).json()["components"]["schemas"]
    for name in ("Action", "Attempt", "Delivery", "DeliveryWithHistory", "Notification", "Report"):
        assert sorted(schemas[name]["required"]) == sorted(schemas[name]["properties"])
        for told in schemas[name]["properties"].values():
            assert told.get("readOnly") or "$ref" in told or "allOf" in told
            assert not {"minimum", "maximum", "maxLength"} & set(told)


def test_the_document_is_valid_and_whole(client):
    document = client.get(SCHEMA_URL).json()
    validate_schema(document)
    for name in re.findall(r'"\$ref": "([^"]+)"', json.dumps(document)):
        assert name.removeprefix("#/components/schemas/") in document["components"]["schemas"]


def test_the_docs_are_a_page_of_our_own_files(client):
    page = client.get("/api/v1/docs/")
    policy = page["Content-Security-Policy"]
    assert "script-src 'self';" in policy
    assert "http" not in policy
    text = page.content.decode()
    assert "swagger-ui" in text
    sources = [part.split('"')[0] for part in text.replace('href="', 'src="').split('src="')[1:]]
    assert sources
    for source in sources:
        assert source.startswith("/")
        file = Client().get(source)
        assert file.status_code == 200, source
        file.close()
    assert SCHEMA_URL in Client().get("/api/v1/docs/?script=").content.decode()
