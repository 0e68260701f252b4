"""A client of the API for tests, and the one shape that its errors have."""

import json
from typing import Any

import pytest
from django.test import Client

from deliveries.api import keys
from deliveries.models import ApiKey

NOTIFICATIONS = "/api/v1/notifications/"
DELIVERIES = "/api/v1/deliveries/"
EVERYTHING = ApiKey.Scope.values


class Api:
    """A client with a key."""

    def __init__(self, key: str) -> None:
        self.client = Client(headers={"Authorization": f"Bearer {key}"})

    def post(self, body: Any, **headers: str) -> Any:
        """Sends a notification, or whatever is given."""
        return self.post_to(NOTIFICATIONS, body, **headers)

    def post_to(self, url: str, body: Any = None, **headers: str) -> Any:
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return self.client.post(url, raw, "application/json", headers=headers)

    def get(self, url: str, **parameters: Any) -> Any:
        return self.client.get(url, parameters)


def a_key(name: str = "tests", scopes: Any = EVERYTHING, **how: Any) -> str:
    return keys.create(name, scopes, **how, actor="shell test").key


@pytest.fixture
def api(db: None) -> Api:
    """A client that may do everything."""
    return Api(a_key())


def fault(response: Any) -> dict[str, Any]:
    """The error of an answer; fails if it has another shape than all errors have."""
    assert response["Content-Type"] == "application/json"
    [(name, error)] = response.json().items()
    assert name == "error"
    assert set(error) == {"code", "message", "fields"}
    assert error["message"]
    assert all(set(one) == {"field", "message"} and one["message"] for one in error["fields"])
    return error
