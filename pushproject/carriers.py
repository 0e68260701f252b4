"""Who carries the pushes, by the settings: each provider's name, and the options that its `build` takes."""

from typing import Any

from pushproject.environment import Environment


def providers(push: Environment) -> dict[str, dict[str, Any]]:
    """Plain values by the name of a file in `providers/`. Google's and the browsers' are in force side by side."""
    breaker = {"fail_max": push.circuit_breaker_fail_max, "reset_timeout": push.circuit_breaker_timeout}
    return {name: options | breaker for name, options in (_google(push) | _webpush(push)).items()}


def _google(push: Environment) -> dict[str, dict[str, Any]]:
    """A server key counts only without a service account."""
    credentials = push.google_application_credentials
    if push.fcm_server_key and not credentials:
        key = push.fcm_server_key.get_secret_value()
        return {"fcm_legacy": {"server_key": key, "api_url": push.fcm_api_url}}
    return {
        "fcm": {
            "credentials_file": credentials and str(credentials),
            "project_id": push.fcm_project_id,
            "endpoint": push.fcm_endpoint,
        }
    }


def _webpush(push: Environment) -> dict[str, dict[str, Any]]:
    if push.vapid_private_key is None:
        return {}
    key = push.vapid_private_key.get_secret_value()
    return {"webpush": {"private_key": key, "subject": push.vapid_subject, "loopback": push.webpush_loopback}}
