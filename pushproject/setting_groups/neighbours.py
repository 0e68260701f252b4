"""Settings of the services around ours: the user service, the template service and the gateway."""

from typing import Literal

from pydantic_settings import BaseSettings

from pushproject.setting_types import HttpUrl, setting

SANDBOX = "http://127.0.0.1:9099"


class Neighbours(BaseSettings):
    """Where they are and how they speak."""

    upstream_profile: Literal["spec"] = setting("spec", "How the services around us speak: spec.")
    user_service_url: HttpUrl = setting(SANDBOX, "Base address of the user service. The default is the sandbox's.")
    template_service_url: HttpUrl = setting(
        SANDBOX, "Base address of the template service. The default is the sandbox's."
    )
    api_gateway_url: HttpUrl = setting(
        SANDBOX,
        "Base address of the gateway that is told how each notification ended. The default is the sandbox's.",
    )
