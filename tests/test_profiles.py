"""Profiles: one value each, what settings change of them, and the reports that would name nobody."""

from typing import get_args

import pytest
from django.conf import settings as django_settings

from deliveries.checks import reports_name_their_notification
from deliveries.models import ENDS, Status
from deliveries.neighbours.profiles import ANCESTOR, DNS_CORE, PROFILES, SPEC, filled, in_force
from pushproject.environment import Environment


def push(**said):
    return django_settings.PUSH.model_copy(update=said)


def test_every_profile_can_be_chosen():
    assert get_args(Environment.model_fields["upstream_profile"].annotation) == tuple(PROFILES)
    for name, profile in PROFILES.items():
        assert in_force(push(upstream_profile=name)) == profile


def test_settings_change_what_they_name_and_nothing_else():
    chosen = in_force(
        push(
            user_service_paths=["/users/{user_id}", "/devices/{user_id}"],
            template_service_path="/render/{template_id}",
            template_service_fields=["variables"],
            template_unescape_html=True,
            api_gateway_path="/told/{notification_id}",
            api_gateway_method="PUT",
        )
    )
    assert chosen.user_paths == ("/users/{user_id}", "/devices/{user_id}")
    assert (chosen.template_path, chosen.template_fields) == ("/render/{template_id}", ("variables",))
    assert chosen.unescape_html
    assert not in_force(push(upstream_profile="dns-core", template_unescape_html=False)).unescape_html
    assert (chosen.report_method, chosen.report_path) == ("PUT", "/told/{notification_id}")
    assert (chosen.words, chosen.report_body, chosen.high_priorities) == (
        SPEC.words, SPEC.report_body, SPEC.high_priorities,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("profile", "words"),
    [(SPEC, {"delivered", "failed"}), (DNS_CORE, {"delivered", "failed"}), (ANCESTOR, {"sent", "skipped", "failed"})],
)
def test_every_ending_has_a_word(profile, words):
    assert {profile.word(status) for status in ENDS} == words
    assert profile.word(Status.CANCELLED) == profile.word(Status.EXPIRED) == "failed"


def test_an_id_stays_one_segment_of_an_address():
    assert filled("/u/{user_id}/x", user_id="a/../b?c#d%2F\\ü") == "/u/a%2F..%2Fb%3Fc%23d%252F%5C%C3%BC/x"


def test_a_report_that_would_name_nobody_is_an_error_of_the_settings(settings):
    settings.PUSH = push(upstream_profile="ancestor", api_gateway_path="/told")
    [error] = reports_name_their_notification()
    assert error.id == "deliveries.E001"
    assert "API_GATEWAY_PATH is /told" in error.msg
    settings.PUSH = push(upstream_profile="ancestor", api_gateway_path="/told", api_gateway_url=None)
    assert reports_name_their_notification() == []
    settings.PUSH = push(upstream_profile="ancestor", api_gateway_path="/told?id={notification_id}")
    assert reports_name_their_notification() == []
    settings.PUSH = push(upstream_profile="spec", api_gateway_path="/told")
    assert reports_name_their_notification() == []
