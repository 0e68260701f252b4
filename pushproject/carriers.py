"""Who carries the pushes, by the settings: each provider's name, and the options that its `build` takes."""

from typing import Any

from pushproject.environment import Environment


def providers(push: Environment) -> dict[str, dict[str, Any]]:
    """Plain values by the name of a file in `providers/`. A server key counts only without a service account."""
    breaker = {"fail_max": push.circuit_breaker_fail_max, "reset_timeout": push.circuit_breaker_timeout}
    credentials = push.google_application_credentials
    if push.fcm_server_key and not credentials:
        key = push.fcm_server_key.get_secret_value()
        return {"fcm_legacy": {"server_key": key, "api_url": push.fcm_api_url, **breaker}}
    return {
        "fcm": {
            "credentials_file": credentials and str(credentials),
            "project_id": push.fcm_project_id,
            "endpoint": push.fcm_endpoint,
            **breaker,
        }
    }
