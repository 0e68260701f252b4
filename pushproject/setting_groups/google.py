"""Settings of Firebase Cloud Messaging."""

from pydantic import FilePath
from pydantic_settings import BaseSettings

from pushproject.setting_types import HttpUrl, Name, ServerKey, secret_file, setting


class Google(BaseSettings):
    """Which project, and who we are there."""

    google_application_credentials: FilePath | None = setting(
        None, "The service-account file (JSON) for FCM; tokens come from its `token_uri`."
    )
    fcm_project_id: Name | None = setting(None, "The Firebase project. Without it: the service-account file's.")
    fcm_endpoint: HttpUrl = setting(
        "https://fcm.googleapis.com",
        "Where FCM HTTP v1 answers; http:// is allowed, for the sandbox and tests.",
    )
    fcm_quota: int = setting(
        600_000,
        "Sends that the project may make per minute. When FCM has asked to wait, sends climb to it again in a minute.",
        (1, 100_000_000),
    )
    fcm_server_key_file: FilePath | None = secret_file("FCM_SERVER_KEY")
    fcm_server_key: ServerKey = setting(
        None,
        "Key of FCM's legacy wire format, which is spoken when this is set and `GOOGLE_APPLICATION_CREDENTIALS` is "
        "not. Google has switched it off.",
    )
    fcm_api_url: HttpUrl = setting(
        "https://fcm.googleapis.com/fcm/send",
        "Where FCM's legacy wire format is spoken: of use with `FCM_SERVER_KEY` and a server that still speaks it.",
    )
