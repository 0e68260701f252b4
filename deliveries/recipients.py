"""Resolving: who gets it. The user service says whether the user wants pushes and which devices they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import Any
from urllib.parse import quote

from deliveries.contract import PushRequest
from deliveries.models import Status
from deliveries.outcomes import Ended, TryAgain
from deliveries.profiles import Profile, dig, found
from deliveries.upstreams import Refusal, Upstream

#: More devices than any person has; what lies beyond is a fault of the user service, or somebody's joke.
MAX_DEVICES = 100
#: FCM's have some 200. The ledger has them in an index, whose entries end at 2700 bytes.
MAX_TOKEN_BYTES = 2048


@dataclass(frozen=True, slots=True)
class Device:
    """One of the user's devices."""

    token: str = field(repr=False)
    platform: str = ""


class Recipients:
    """Looks users up, as the profile says."""

    def __init__(self, user_service: Upstream, profile: Profile) -> None:
        self._user_service = user_service
        self._profile = profile

    async def devices_of(self, request: PushRequest) -> list[Device]:
        """Returns at least one device; raises Ended (opted out, unknown user, no device) or TryAgain."""
        path = self._profile.user_path.format(user_id=quote(request.user_id, safe=""))
        try:
            user = await self._user_service.call("GET", path, request.correlation_id)
        except Refusal as refusal:
            code = "unknown_user" if refusal.http_status == 404 else "user_refused"
            reason = f"The user service has no user {request.user_id}: {refusal.reason}"
            raise Ended(Status.FAILED, code, reason) from None
        if not user:
            raise TryAgain("user_service_bad_answer", "The user service answered with nothing about the user.")
        if dig(user, self._profile.push_flags) is False:
            raise Ended(
                Status.SKIPPED,
                "opted_out",
                f"User {request.user_id} has opted out of push notifications.",
            )
        devices = _devices(self._registered(user))
        if not devices:
            raise Ended(
                Status.SKIPPED,
                "no_device",
                f"User {request.user_id} has no device registered for push.",
            )
        return devices

    def _registered(self, user: dict[str, Any]) -> Any:
        """What the answer says of devices: the first value that is not empty, else None."""
        lists = (value for value in found(user, self._profile.device_lists) if isinstance(value, list))
        said = chain(found(user, self._profile.token_fields), lists)
        return next((value for value in said if value not in ("", [])), None)


def _devices(value: Any) -> list[Device]:
    """One token or a list of them, as strings or as objects; each device once. Raises TryAgain for anything else."""
    entries = value if isinstance(value, list) else [] if value is None else [value]
    devices: dict[str, Device] = {}
    for entry in entries[:MAX_DEVICES]:
        fields = entry if isinstance(entry, dict) else {"token": entry}
        token = fields.get("token")
        if not isinstance(token, str) or not _is_token(token):
            raise TryAgain(
                "user_service_bad_answer",
                f"The user service answered with device tokens that are not text of up to {MAX_TOKEN_BYTES} bytes.",
            )
        if fields.get("is_active") is not False:
            devices.setdefault(token, Device(token, _platform(fields.get("platform"))))
    return list(devices.values())


def _is_token(text: str) -> bool:
    return bool(text.strip()) and "\0" not in text and len(text.encode()) <= MAX_TOKEN_BYTES


def _platform(value: Any) -> str:
    """Somebody else's word for the kind of device, safe to store and to show."""
    return "".join(filter(str.isprintable, str(value or "")))[:32]
