"""Tokens and secrets are never shown whole, wherever in a message they stand; all else stays readable."""

import json
import time

import pytest

from deliveries.masking import conceal, conceal_text, fingerprint, mask

TOKEN = "dGVzdC1kZXZpY2UtdG9rZW4:APA91b" + "Qw3rTy-_" * 15


def test_a_token_shows_its_ends_and_a_short_one_nothing():
    assert mask(TOKEN) == f"{TOKEN[:4]}…{TOKEN[-4:]}"
    assert mask("short-token") == "…"
    assert mask("") == "…"


def test_a_fingerprint_tells_tokens_apart():
    assert len(fingerprint(TOKEN)) == 8
    assert fingerprint(TOKEN) == fingerprint(TOKEN) != fingerprint(TOKEN + "x")


@pytest.mark.parametrize(
    "document",
    [
        {"device_token": "short-secret"},
        {"user": {"push_tokens": [{"token": "short-secret", "platform": "android"}]}},
        {"variables": {"Password": "short-secret"}},
        {"to": ["short-secret"]},
        {"recipient": "short-secret"},
        {"devices": [{"fid": "short-secret"}, {"installation_id": "short-secret"}]},
        {"device_tokens": [{"token": "short-secret", "platform": "ios"}]},
        {"delivery": {"push_token": "short-secret"}, "user_data": {"fcm_token": "short-secret"}},
        {"apiKey": "short-secret"},
        {"text": f"your device is {TOKEN}."},
        {TOKEN: 1},
        {"devices": [{"endpoint": "https://p.example/short-secret", "keys": {"auth": "short-secret"}}]},
        {"subscription": {"keys": {"p256dh": "short-secret"}}},
        [[f"{TOKEN}\n{TOKEN}"]],
    ],
)
def test_no_token_and_no_secret_survives(document):
    shown = json.dumps(conceal(document))
    assert "short-secret" not in shown
    assert TOKEN not in shown
    assert TOKEN[8:40] not in shown


def test_everything_else_stays_as_it_is():
    document = {"user_id": "u-1", "count": 3, "ok": True, "none": None, "list": [1.5, "Hello Ada"]}
    assert conceal(document) == document


@pytest.mark.parametrize(
    "text",
    [
        '{"device_token": "short-secret", "user',
        '{"push_tokens": ["short-secret", "short-secret',
        '{"a": "x", "api_key" : "short-secret',
        '{"endpoint": "https://p.example/short-secret", "keys": {"p256dh": "short-secret", "auth": "short-secret',
        f"token={TOKEN}",
        "api_key=short-secret was wrong",
        "Authorization: Bearer short-secret",
    ],
)
def test_text_that_is_no_json_is_masked_too(text):
    assert "short-secret" not in conceal_text(text)
    assert TOKEN[8:40] not in conceal_text(text)


@pytest.mark.parametrize("piece", ['"token', "token", '"token":', '"', "a", "\\", '"token":"\\'])
def test_hostile_text_is_masked_in_no_time(piece):
    begun = time.process_time()
    conceal_text(piece * (64 * 1024 // len(piece)))
    assert time.process_time() - begun < 2


def test_of_a_browsers_subscription_nothing_is_shown():
    assert mask('{"endpoint": "https://push.example/1", "keys": {}}') == "…"
