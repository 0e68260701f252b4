"""Settings of Web Push."""

import re
from typing import Annotated

from pydantic import AfterValidator, FilePath, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings

from pushproject.setting_types import Secret, secret_file, setting

#: Apple takes a host only that could be asked.
SUBJECT = re.compile(
    r"(mailto:[^\s@<>]+@|https://)([A-Za-z0-9-]+\.)+(?!(?:local|localhost|invalid)\b)[A-Za-z][A-Za-z0-9-]+(/[!-~]*)?"
)


def _vapid_key(value: SecretStr | None) -> SecretStr | None:
    if value:
        from providers.webpush import signer  # noqa: PLC0415 - its libraries take 0.2 s, and most run without it

        signer(value.get_secret_value())
    return value


class Webpush(BaseSettings):
    """Who we are to the push services of browsers."""

    vapid_private_key_file: FilePath | None = secret_file("VAPID_PRIVATE_KEY")
    vapid_private_key: Annotated[Secret, AfterValidator(_vapid_key)] = setting(
        None,
        "The key of Web Push, which is spoken when this is set: 32 bytes in base64url, as `npx web-push "
        "generate-vapid-keys` prints them, or the PEM that `vapid --gen` writes.",
    )
    vapid_subject: str | None = setting(
        None,
        "Where push services can reach whoever runs this: `mailto:` or `https://` and a real address. "
        "`VAPID_PRIVATE_KEY` needs it.",
    )
    webpush_loopback: bool = setting(
        False, "`true` lets Web Push subscriptions name this machine (`http://127.0.0.1/…`): for the sandbox and tests."
    )

    @field_validator("vapid_subject")
    @classmethod
    def _says_who(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("vapid_private_key"):
            raise ValueError("is required with VAPID_PRIVATE_KEY")
        if value is not None and not SUBJECT.fullmatch(value):
            raise ValueError("is not mailto: or https:// with a public name")
        return value
