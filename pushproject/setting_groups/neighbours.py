"""Settings of the services around ours: the user service, the template service and the gateway."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, FilePath, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode

from pushproject.setting_types import (
    AuthHeader,
    HttpUrl,
    HttpUrlOrNone,
    UserCall,
    path_holding,
    secret_file,
    setting,
    split,
    upper,
)

SANDBOX = "http://127.0.0.1:9099"

#: Keys of a rendering's order; the first four name the template.
TEMPLATE_FIELDS = ("template_id", "template_code", "template_name", "id", "variables", "language")


def _template_field(value: str) -> str:
    parts = re.fullmatch(r"(?:[\w.-]+=)?(\w+)", value, re.ASCII)
    if not parts or parts[1] not in TEMPLATE_FIELDS:
        raise ValueError(f"is not one of {', '.join(TEMPLATE_FIELDS)}, alone or after a name and =")
    return value


UserPaths = Annotated[list[Annotated[str, path_holding("user_id", always=True)]], NoDecode, BeforeValidator(split)]
TemplateFields = Annotated[list[Annotated[str, AfterValidator(_template_field)]], NoDecode, BeforeValidator(split)]
TemplatePath = Annotated[str, path_holding("template_id", "template_code")]
GatewayPath = Annotated[str, path_holding("notification_id")]
Method = Annotated[Literal["POST", "PUT", "PATCH"], BeforeValidator(upper)]


def header(service: str) -> str:
    return f"A header for every request to the {service}, and to nobody else, as `Name: value`; it is kept secret."


class Neighbours(BaseSettings):
    """Where they are and how they speak. What is left empty here is the profile's."""

    upstream_profile: Literal["spec", "ancestor", "dns-core"] = setting(
        "spec", "How the services around us speak: spec, ancestor or dns-core."
    )

    user_service_url: HttpUrl = setting(SANDBOX, "Base address of the user service. The default is the sandbox's.")
    user_service_paths: UserPaths = setting(
        [],
        "Paths that are asked for a user, in turn, separated by commas; each holds `{user_id}`. Without it: the "
        "profile's.",
    )
    user_service_dead_token_path: UserCall | None = setting(
        None,
        "Where the user service is told of dead device tokens, as JSON: a path, after a method unless that is POST, "
        "such as `DELETE /api/v1/users/{user_id}/push-tokens`. Without it nobody is told.",
    )
    user_service_header_file: FilePath | None = secret_file("USER_SERVICE_HEADER")
    user_service_header: AuthHeader = setting(None, header("user service"))

    template_service_url: HttpUrl = setting(
        SANDBOX, "Base address of the template service. The default is the sandbox's."
    )
    template_service_path: TemplatePath | None = setting(
        None,
        "Path that renders a template; it may hold `{template_id}` or `{template_code}`. Without it: the profile's.",
    )
    template_service_fields: TemplateFields = setting(
        [],
        f"Keys that it is sent, separated by commas, of {', '.join(TEMPLATE_FIELDS)}; one that it calls otherwise as "
        "`data=variables`. Without it: the profile's.",
    )
    template_unescape_html: bool | None = setting(
        None,
        "`true` turns what it has escaped for HTML (`O&#39;Brien`) back, `false` does not. Without it: the profile's.",
    )
    template_service_header_file: FilePath | None = secret_file("TEMPLATE_SERVICE_HEADER")
    template_service_header: AuthHeader = setting(None, header("template service"))

    api_gateway_url: HttpUrlOrNone = setting(
        SANDBOX,
        "Base address of the gateway that is told how each notification ended; `none` where there is nobody to tell. "
        "The default is the sandbox's.",
    )
    api_gateway_path: GatewayPath | None = setting(
        None, "Path that takes these reports; it may hold `{notification_id}`. Without it: the profile's."
    )
    api_gateway_method: Method | None = setting(
        None, "Method of these reports: POST, PUT or PATCH. Without it: the profile's."
    )
    api_gateway_header_file: FilePath | None = secret_file("API_GATEWAY_HEADER")
    api_gateway_header: AuthHeader = setting(None, header("gateway"))

    trust_message_tokens: bool = setting(
        False,
        "`true` sends to the device tokens that a message brings along, and asks the user service nothing about such "
        "a message: neither its other devices nor whether the user wants pushes. `false` ignores these tokens.",
    )

    @field_validator("template_service_fields")
    @classmethod
    def _name_the_template(cls, value: list[str], info: ValidationInfo) -> list[str]:
        in_path = "{template_" in (info.data.get("template_service_path") or "")
        named = {field.rpartition("=")[2] for field in value}
        if value and not in_path and not named & set(TEMPLATE_FIELDS[:4]):
            raise ValueError(f"names no template: {', '.join(TEMPLATE_FIELDS[:4])} do")
        return value
