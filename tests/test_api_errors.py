"""Errors have one shape wherever they come from, and their codes are the documented ones."""

import json
import re
from pathlib import Path

import pytest
from django.test import Client

from deliveries.api.codes import CODES
from tests.api_client import DELIVERIES, NOTIFICATIONS, fault
from tests.world import message, query

DOCS = Path(__file__).resolve().parent.parent / "docs" / "api.md"

pytestmark = pytest.mark.django_db(transaction=True)


def code(answer):
    assert CODES[fault(answer)["code"]].status == answer.status_code
    return fault(answer)["code"]


@pytest.mark.parametrize("path", ["notifications/%00/", "notifications/a%0Ab/", "nothing/", "deliveries/x/", ""])
def test_where_nothing_is_there_is_a_404(api, path):
    for ask in (api.client.get, api.client.post, api.client.delete):
        assert code(ask(f"/api/v1/{path}")) == "not_found"


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        (NOTIFICATIONS, "POST"),
        (f"{NOTIFICATIONS}n-1/", "GET, HEAD"),
        (f"{NOTIFICATIONS}n-1/resend/", "POST"),
        (DELIVERIES, "GET, HEAD"),
        ("/api/v1/health/live/", "GET, HEAD"),
        ("/api/v1/schema/", "GET, HEAD"),
        ("/api/v1/docs/", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ],
)
def test_another_method_is_a_405_that_says_which_are_allowed(api, url, allowed):
    api.client.handler.enforce_csrf_checks = True
    for ask in (api.client.delete, api.client.put, api.client.options):
        answer = ask(url)
        assert code(answer) == "method_not_allowed"
        assert answer["Allow"] == allowed


@pytest.mark.parametrize("url", [NOTIFICATIONS, "/api/v1/health/", "/api/v1/schema/", "/api/v1/docs/"])
def test_an_answer_in_another_form_is_a_406(api, url):
    assert code(api.client.get(url, headers={"Accept": "image/png"})) == "not_acceptable"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx"])
def test_a_body_that_is_not_declared_as_json_is_a_415(api, kind):
    assert code(api.client.post(NOTIFICATIONS, b'{"user_id": "u", "title": "t"}', kind)) == "unsupported_media_type"


@pytest.mark.parametrize(
    ("kind", "coding", "named"),
    [
        ("text/csv", "identity", "text/csv"),
        ("application/json; charset=latin1", "identity", "latin1"),
        ("application/json", "gzip", "gzip"),
    ],
)
def test_what_a_body_should_not_be_is_named(api, kind, coding, named):
    answer = api.client.post(NOTIFICATIONS, b"{}", kind, headers={"Content-Encoding": coding})
    assert code(answer) == "unsupported_media_type"
    assert named in fault(answer)["message"]


@pytest.mark.parametrize(
    "kind", ["", "application/json; charset=utf-8", "application/problem+json", "Application/JSON"]
)
def test_json_by_any_of_its_names_is_read(api, kind):
    assert api.client.post(NOTIFICATIONS, b'{"user_id": "u", "title": "t"}', kind).status_code == 202


#: Words of those who wrote the code, not of those who wrote the request.
INSIDE = re.compile(r"NoneType|\bint\b|\bstr\b|dict|instance|Input|Extra|String|available in|\\\\|\^|Body")


@pytest.mark.parametrize(
    ("url", "body"),
    [
        (NOTIFICATIONS, None),
        (NOTIFICATIONS, "text"),
        (
            NOTIFICATIONS,
            {"priority": [], "ttl": {}, "title": [], "guarantee": "maybe", "user_id": "a\nb"},
        ),
        (
            NOTIFICATIONS,
            {"user_id": "x" * 999, "variables": [], "metadata": "m", "expires_at": "x"},
        ),
        (f"{NOTIFICATIONS}n-1/resend/", []),
        (f"{NOTIFICATIONS}n-1/resend/", {"force": "yes", "seen": "1", "reason": "a\0b", "who": "me"}),
    ],
)
def test_errors_speak_of_json_and_not_of_our_code(api, url, body):
    answer = api.post_to(url, json.dumps(body).encode())
    assert answer.status_code == 400
    assert not INSIDE.search(answer.content.decode()), fault(answer)
    assert all("." not in one["field"] for one in fault(answer)["fields"])


def test_a_host_that_is_not_ours_is_a_400(api):
    assert code(api.client.get(DELIVERIES, headers={"Host": "elsewhere.example"})) == "bad_request"


def test_too_many_parameters_are_a_400(api):
    assert code(api.get(DELIVERIES, **{f"p{n}": n for n in range(1001)})) == "bad_request"


def test_an_error_of_ours_is_a_500_with_its_traceback_in_the_log(api, caplog):
    query("ALTER TABLE notifications RENAME TO away")
    try:
        answer = api.get(f"{NOTIFICATIONS}n-1/")
    finally:
        query("ALTER TABLE away RENAME TO notifications")
    assert code(answer) == "internal_error"
    assert "away" not in answer.content.decode()
    assert "Traceback" not in answer.content.decode()
    assert any(record.exc_info for record in caplog.records)


def test_an_error_before_any_view_is_a_500_too(api, monkeypatch):
    def broken(self, request):
        raise RuntimeError("broken")

    monkeypatch.setattr("django.middleware.csrf.CsrfViewMiddleware.process_request", broken)
    api.client.raise_request_exception = False
    assert code(api.post(message("n-1"))) == "internal_error"


def test_outside_of_the_api_errors_are_pages():
    answer = Client(headers={"Host": "elsewhere.example"}).get("/admin/")
    assert (answer.status_code, answer["Content-Type"].split(";")[0]) == (400, "text/html")


def test_the_table_of_codes_in_the_docs_is_the_codes():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \| (.*) \|$", DOCS.read_text(), re.MULTILINE)
    assert [(name, int(status), meaning) for name, status, meaning in rows] == [
        (name, code.status, code.meaning) for name, code in CODES.items()
    ]
