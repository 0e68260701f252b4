"""What Django's checks say about settings that are allowed and yet look wrong."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Info, Warning, register  # noqa: A004

from deliveries.models import Status
from deliveries.neighbours.profiles import Report, in_force

FEWEST_FOR_BATCHES = 50
UPSTREAMS = ("user_service_url", "template_service_url", "api_gateway_url")
GOOGLE = "fcm.googleapis.com"


@register
def prefetch_is_enough(**_: Any) -> list[CheckMessage]:
    count = settings.PUSH.rabbitmq_prefetch_count
    if count >= FEWEST_FOR_BATCHES:
        return []
    wrong = f"RABBITMQ_PREFETCH_COUNT is {count}: batches stay small."
    return [Warning(wrong, hint="Leave it at 200; 50 is the least.", id="deliveries.W001")]


@register
def upstreams_are_named(**_: Any) -> list[CheckMessage]:
    """With RabbitMQ it is no demo, so the sandbox's address is a forgotten setting."""
    forgotten = [name.upper() for name in UPSTREAMS if name not in settings.PUSH.model_fields_set]
    if settings.PUSH.embedded_broker or not forgotten:
        return []
    wrong = f"{', '.join(forgotten)}: not set, so the sandbox's address is asked."
    return [Warning(wrong, hint="Set them to the services' addresses.", id="deliveries.W002")]


@register
def reports_name_their_notification(**_: Any) -> list[CheckMessage]:
    """Where the dialect's report has no id in its body, the path has it, or the gateway hears about nobody."""
    profile = in_force(settings.PUSH)
    _method, path, body = profile.told(Report("its-id", Status.SENT, datetime.now(UTC), None))
    if settings.PUSH.api_gateway_url is None or "its-id" in path or "its-id" in body.values():
        return []
    wrong = f"API_GATEWAY_PATH is {path}: a report would not say which notification it is about."
    return [Error(wrong, hint="Put {notification_id} into it.", id="deliveries.E001")]


@register
def the_provider_is_alive(**_: Any) -> list[CheckMessage]:
    """Google has switched its legacy API off; a server of somebody else may speak it all the same."""
    if (legacy := settings.PROVIDERS.get("fcm_legacy")) is None:
        return []
    host = urlsplit(legacy["api_url"]).hostname
    if host != GOOGLE:
        what = f"Pushes go out in FCM's legacy wire format, to {host}."
        return [Info(what, hint="Set GOOGLE_APPLICATION_CREDENTIALS to send by FCM HTTP v1.", id="deliveries.I001")]
    wrong = (
        "FCM_SERVER_KEY is set and GOOGLE_APPLICATION_CREDENTIALS is not: pushes go to FCM's legacy API, which Google "
        "has been switching off since 2024-07-22 and which answers 404 today. They would wait until they expire."
    )
    hint = (
        "Set GOOGLE_APPLICATION_CREDENTIALS to a service-account file (Firebase console > Project settings > Service "
        "accounts), or FCM_API_URL to a server that still speaks the legacy wire format."
    )
    return [Warning(wrong, hint=hint, id="deliveries.W003")]
