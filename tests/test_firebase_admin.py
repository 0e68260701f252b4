"""Google's own client for Python sends to the sandbox, and understands what it says."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import firebase_admin
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from firebase_admin import credentials, exceptions, messaging
from google.auth.exceptions import RefreshError

from tests.sandbox_process import Sandbox, running

pytestmark = pytest.mark.filterwarnings("ignore:.*token:DeprecationWarning")
Open = Callable[..., firebase_admin.App]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with running(tmp_path_factory.mktemp("sandbox")) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(world: Sandbox) -> Sandbox:
    world.clear()
    return world


@pytest.fixture
def opened(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Iterator[Open]:
    """Opens apps of the client that send to the sandbox, with its key file unless another is given."""
    monkeypatch.setattr(messaging._MessagingService, "FCM_URL", sandbox.url + "/v1/projects/{0}/messages:send")
    with ExitStack() as apps:

        def open_app(key_file: Path = sandbox.key_file, **options: Any) -> firebase_admin.App:
            credential = credentials.Certificate(str(key_file))
            app = firebase_admin.initialize_app(credential, options, name=f"test-{time.monotonic_ns()}")
            apps.callback(firebase_admin.delete_app, app)
            return app

        yield open_app


@pytest.fixture
def app(opened: Open) -> firebase_admin.App:
    return opened()


def whole_message(token: str) -> messaging.Message:
    return messaging.Message(
        token=token,
        data={"order": "7"},
        notification=messaging.Notification("Hello", "World", "https://example.com/i.png"),
        android=messaging.AndroidConfig(
            collapse_key="c",
            priority="high",
            ttl=timedelta(minutes=5, milliseconds=1),
            notification=messaging.AndroidNotification(
                tag="n-1",
                color="#aabbcc",
                priority="max",
                visibility="public",
                vibrate_timings_millis=[100, 250],
                light_settings=messaging.LightSettings("#aabbccdd", 200, 300),
                notification_count=3,
            ),
        ),
        apns=messaging.APNSConfig(
            headers={"apns-priority": "10"},
            payload=messaging.APNSPayload(messaging.Aps(badge=1, content_available=True)),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "60"},
            fcm_options=messaging.WebpushFCMOptions(link="https://example.com/"),
        ),
        fcm_options=messaging.FCMOptions(analytics_label="spring"),
    )


def test_a_message_with_a_part_for_every_platform_arrives_whole(sandbox: Sandbox, app: firebase_admin.App) -> None:
    token = sandbox.token_of("anna")
    name = messaging.send(whole_message(token), app=app)
    (entry,) = sandbox.book()["accepted"]
    assert entry["name"] == name
    assert (entry["token"], entry["tag"], entry["data"]) == (token, "n-1", {"order": "7"})
    assert (entry["title"], entry["body"], entry["priority"]) == ("Hello", "World", "HIGH")


@pytest.mark.parametrize(
    "target",
    [
        {"token": "ok-1"},
        {"fid": "ok-1"},
        {"topic": "news"},
        {"topic": "/topics/news"},  # which the client strips
        {"condition": "'a' in topics && !('b' in topics)"},
    ],
)
def test_every_kind_of_target_is_accepted(sandbox: Sandbox, app: firebase_admin.App, target: dict[str, str]) -> None:
    messaging.send(messaging.Message(notification=messaging.Notification("Hello"), **target), app=app)
    ((kind, name),) = target.items()
    (entry,) = sandbox.book()["accepted"]
    assert (entry["target"], entry["token"]) == (kind, name.removeprefix("/topics/"))


def test_a_dry_run_sends_nothing(sandbox: Sandbox, app: firebase_admin.App) -> None:
    name = messaging.send(messaging.Message(token="ok-1"), dry_run=True, app=app)
    assert name.startswith("projects/sandbox-project/messages/")
    with pytest.raises(messaging.UnregisteredError):
        messaging.send(messaging.Message(token="dead-1"), dry_run=True, app=app)
    assert sandbox.book()["accepted_count"] == 0


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("dead", messaging.UnregisteredError),
        ("dead410", messaging.UnregisteredError),
        ("mismatch", messaging.SenderIdMismatchError),
        ("malformed", exceptions.InvalidArgumentError),
        ("notatoken", exceptions.InvalidArgumentError),
        ("apns410", exceptions.InvalidArgumentError),
        ("nodetails", exceptions.InvalidArgumentError),
        ("quotanowait", messaging.QuotaExceededError),
    ],
)
def test_the_verdict_on_a_device_is_understood(
    sandbox: Sandbox, app: firebase_admin.App, state: str, error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        messaging.send(messaging.Message(token=sandbox.token_of(f"{state}-anna")), app=app)
    assert caught.type is error
    assert sandbox.book()["calls"] == 1


def test_a_refused_key_of_apples_is_told_from_a_refused_access_token(sandbox: Sandbox, app: firebase_admin.App) -> None:
    with pytest.raises(messaging.ThirdPartyAuthError):
        messaging.send(messaging.Message(token="apnsauth-1"), app=app)
    sandbox.post("/control/revoke-tokens")
    messaging.send(messaging.Message(token="ok-1"), app=app)
    assert sandbox.book()["accepted_count"] == 1


@pytest.mark.parametrize(
    "message",
    [
        {"topic": "news", "data": {"key": "x" * 2046}},
        {"fid": "ok-1", "data": {"key": "x" * 4094}},
        {"fid": "ok-1", "data": {"from": "us"}},
        {"fid": "no id"},
    ],
)
def test_a_message_that_is_wrong_is_refused(sandbox: Sandbox, app: firebase_admin.App, message: dict[str, Any]) -> None:
    with pytest.raises(exceptions.InvalidArgumentError):
        messaging.send(messaging.Message(**message), app=app)
    assert sandbox.book()["accepted_count"] == 0


def test_the_projects_quota_is_no_quota_of_the_device(sandbox: Sandbox, app: firebase_admin.App) -> None:
    sandbox.script("fcm", "quota", retry_after=None)
    with pytest.raises(exceptions.ResourceExhaustedError) as caught:
        messaging.send(messaging.Message(token="ok-1"), app=app)
    assert not isinstance(caught.value, messaging.QuotaExceededError)
    sandbox.script("fcm", "quota", retry_after=None, scope="topic")
    with pytest.raises(messaging.QuotaExceededError):
        messaging.send(messaging.Message(topic="news"), app=app)


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("refuse403", exceptions.PermissionDeniedError),
        ("disabled", exceptions.PermissionDeniedError),
        ("refuse404", exceptions.NotFoundError),
        ("html404", exceptions.NotFoundError),
    ],
)
def test_trouble_with_the_project_is_no_verdict_on_the_device(
    sandbox: Sandbox, app: firebase_admin.App, fault: str, error: type[Exception]
) -> None:
    sandbox.script("fcm", fault)
    with pytest.raises(error) as caught:
        messaging.send(messaging.Message(token="ok-1"), app=app)
    assert caught.type is error


@pytest.mark.parametrize("fault", ["down", "html503", "refuse500", "html500"])
def test_a_passing_trouble_is_retried_and_accepted_once(sandbox: Sandbox, app: firebase_admin.App, fault: str) -> None:
    sandbox.script("fcm", fault, times=1)
    messaging.send(messaging.Message(token="ok-1"), app=app)
    assert (sandbox.book()["calls"], sandbox.book()["accepted_count"]) == (2, 1)


def test_another_project_is_not_found(sandbox: Sandbox, opened: Open) -> None:
    with pytest.raises(exceptions.NotFoundError) as caught:
        messaging.send(messaging.Message(token="ok-1"), app=opened(projectId="another"))
    assert not isinstance(caught.value, messaging.UnregisteredError)
    assert sandbox.book()["accepted_count"] == 0


def test_a_key_that_is_not_the_accounts_gets_no_access_token(sandbox: Sandbox, opened: Open, tmp_path: Path) -> None:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    form = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    pem = key.private_bytes(serialization.Encoding.PEM, *form).decode()
    file = tmp_path / "key.json"
    file.write_text(json.dumps({**json.loads(sandbox.key_file.read_text()), "private_key": pem}))
    with pytest.raises((RefreshError, exceptions.FirebaseError), match="Invalid JWT Signature"):
        messaging.send(messaging.Message(token="ok-1"), app=opened(file))
    book = sandbox.book()
    assert (book["calls"], book["refusals"]) == (0, {"token: invalid_grant": 1})


def test_many_at_once_are_answered_one_by_one(sandbox: Sandbox, app: firebase_admin.App) -> None:
    many = [messaging.Message(token=f"{state}-{i}") for i in range(5) for state in ("ok", "dead")]
    results = messaging.send_each(many, app=app)
    assert (results.success_count, results.failure_count) == (5, 5)
    assert {type(result.exception) for result in results.responses} == {type(None), messaging.UnregisteredError}
    assert sandbox.book()["accepted_count"] == 5


def test_many_at_once_without_threads_too(sandbox: Sandbox, app: firebase_admin.App) -> None:
    many = [messaging.Message(token=f"{state}-{i}") for i in range(5) for state in ("ok", "mismatch")]

    async def send_and_hang_up() -> messaging.BatchResponse:
        """The client's connections belong to this loop, so they are closed in it."""
        results = await messaging.send_each_async(many, app=app)
        await messaging._get_messaging_service(app)._async_client.aclose()
        return results

    results = asyncio.run(send_and_hang_up())
    assert (results.success_count, results.failure_count) == (5, 5)
    assert {type(result.exception) for result in results.responses} == {type(None), messaging.SenderIdMismatchError}
    assert (sandbox.book()["calls"], sandbox.book()["repeats"]) == (10, 0)
