"""Resolving: who gets it. The user service says whether the user wants pushes and which devices they have."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

from deliveries.contract import PushRequest
from deliveries.models import Status
from deliveries.outcomes import Ended, TryAgain
from deliveries.profiles import Profile, dig
from deliveries.upstreams import Refusal, Upstream

#: More devices than any person has; what lies beyond is a fault of the user service, or somebody's joke.
MAX_DEVICES = 100


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
        devices = _devices(dig(user, self._profile.token_fields))
        if not devices:
            raise Ended(
                Status.SKIPPED,
                "no_device",
                f"User {request.user_id} has no device registered for push.",
            )
        return devices


def _devices(value: Any) -> list[Device]:
    """One token or a list of them, as strings or as objects; each device once. Raises TryAgain for anything else."""
    entries = value if isinstance(value, list) else [] if value in (None, "") else [value]
    devices: dict[str, Device] = {}
    for entry in entries[:MAX_DEVICES]:
        fields = entry if isinstance(entry, dict) else {"token": entry}
        token = fields.get("token")
        if not isinstance(token, str) or not token.strip() or "\0" in token:
            raise TryAgain(
                "user_service_bad_answer",
                "The user service answered with device tokens that are not text.",
            )
        if fields.get("is_active") is not False:
            devices.setdefault(token, Device(token, str(fields.get("platform") or "")[:32]))
    return list(devices.values())
