"""What pages may load: nothing from elsewhere anywhere; what the theme needs, on the console's pages alone."""

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

pytestmark = pytest.mark.django_db

STRICT = {
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "base-uri 'none'",
}
THEMED = STRICT - {"script-src 'self'", "style-src 'self'"} | {
    "script-src 'self' 'unsafe-eval'",
    "style-src 'self' 'unsafe-inline'",
}

#: Swagger UI brings its styles along in its script, and sends no form.
DOCS = STRICT - {"style-src 'self'", "form-action 'self'", "font-src 'self'"} | {
    "style-src 'self' 'unsafe-inline'",
    "form-action 'none'",
}


def policy(response) -> set[str]:
    return set(response.headers["Content-Security-Policy"].split("; "))


@pytest.mark.parametrize("path", ["/", "/api/v1/health/live", "/api/v1/notifications/", "/not-there"])
def test_outside_the_console_only_our_own_files_are_loaded(client, path):
    assert policy(client.get(path)) == STRICT


def test_the_documentation_of_the_api_may_style_itself(client):
    assert policy(client.get("/api/v1/docs/")) == DOCS


@pytest.mark.parametrize("name", ["index", "deliveries_notification_changelist", "deliveries_apikey_add", "jsi18n"])
def test_the_theme_has_what_it_needs_on_the_consoles_pages(client, name):
    client.force_login(User.objects.create_superuser("root"))
    assert policy(client.get(reverse(f"admin:{name}"))) == THEMED


def test_the_theme_has_what_it_needs_on_the_login(client):
    assert policy(client.get(reverse("admin:login"))) == THEMED


def test_who_has_not_logged_in_is_sent_there(client):
    assert policy(client.get(reverse("admin:index"))) == THEMED


def test_no_page_has_a_script_or_a_handler_of_its_own(client):
    client.force_login(User.objects.create_superuser("root"))
    for name in ("index", "deliveries_notification_changelist", "deliveries_apikey_add"):
        html = client.get(reverse(f"admin:{name}")).content.decode()
        assert "<script>" not in html
        assert " onclick=" not in html
