"""Resolving: who gets it. The user service says whether the user wants pushes and which devices they have."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deliveries.contract import PushRequest
from deliveries.models import Status
from deliveries.neighbours.devices import Device, devices_in
from deliveries.neighbours.profiles import Profile, filled
from deliveries.neighbours.spellings import (
    ANSWER_BARE_TOKENS,
    ANSWER_DEVICES,
    ANSWER_TOKENS,
    PUSH_FLAGS,
    USER,
    found,
    has_place,
)
from deliveries.neighbours.upstreams import Data, Refusal, Upstream
from deliveries.outcomes import Ended, TryAgain

#: What an answer says of devices where it says nothing.
NOTHING: tuple[Any, ...] = ("", [], {})


class Recipients:
    """Looks users up, as the profile says; a request that brings its devices, or a topic, needs no lookup."""

    def __init__(self, user_service: Upstream, profile: Profile) -> None:
        self._user_service = user_service
        self._profile = profile

    async def devices_of(self, request: PushRequest) -> list[Device]:
        """Returns at least one device; raises Ended (opted out, unknown user, no device) or TryAgain.

        Who follows a topic wants its pushes: nobody is asked, neither for devices nor for preferences.
        """
        if request.topic:
            return [Device(request.topic, target="topic")]
        if request.device_tokens:
            return request.device_tokens
        answers: list[Data] = []
        for path in self._profile.user_paths:
            answer = await self._answer(path, request, first=not answers)
            if not _wants_pushes(answer):
                reason = f"User {request.user_id} has opted out of push notifications."
                raise Ended(Status.SKIPPED, "opted_out", reason)
            answers.append(answer)
        said = next((value for answer in answers for value in _registered(answer) if value not in NOTHING), None)
        devices = _devices(said)
        if not devices and not any(_is_about(request.user_id, answer) for answer in answers):
            raise _bad_answer("nothing about the user")
        if not devices:
            reason = f"User {request.user_id} has no device registered for push."
            raise Ended(Status.SKIPPED, "no_device", reason)
        return devices

    async def _answer(self, path: str, request: PushRequest, *, first: bool) -> Data:
        """What the user service has there. A refusal ends it the first time, and later may mean that there is nothing.

        Raises Ended or TryAgain.
        """
        try:
            answer = await self._user_service.call("GET", filled(path, user_id=request.user_id), request.correlation_id)
        except Refusal as refusal:
            if first or not (refusal.http_status == 404 or refusal.http_status < 300):
                raise _refused(request.user_id, refusal) from None
            return []
        if answer is None or (first and answer == {}):
            raise _bad_answer("nothing about the user")
        return answer


def _refused(user_id: str, refusal: Refusal) -> Ended:
    if refusal.http_status == 404:
        return Ended(Status.FAILED, "unknown_user", f"The user service has no user {user_id}: {refusal.reason}")
    reason = f"The user service would not tell of user {user_id} ({refusal.http_status}): {refusal.reason}"
    return Ended(Status.FAILED, "user_refused", reason)


def _wants_pushes(answer: Data) -> bool:
    """What the user said about it, True where nothing is said; raises TryAgain where it is unclear what."""
    flags = found(answer, PUSH_FLAGS)
    if any(flag is False for flag in flags):
        return False
    if not all(flag is True for flag in flags):
        raise _bad_answer("a push preference that is neither true nor false")
    return True


def _is_about(user_id: str, answer: Data) -> bool:
    """Whether it may be believed to say that there is no device: some other service's JSON must not end a push.

    It is where it names the user, under whatever key, or has any field that users have. A list is one of devices.
    """
    return isinstance(answer, list) or has_place(answer, USER) or user_id in map(str, (answer or {}).values())


def _registered(answer: Data) -> Iterator[Any]:
    """What the answer says of devices, the best first."""
    if isinstance(answer, list):
        yield answer
    yield from found(answer, ANSWER_TOKENS)
    yield from (value for value in found(answer, ANSWER_DEVICES) if isinstance(value, list))
    yield from found(answer, ANSWER_BARE_TOKENS)


def _devices(said: Any) -> list[Device]:
    try:
        return devices_in(said)
    except ValueError as wrong:
        raise _bad_answer(str(wrong)) from None


def _bad_answer(what: str) -> TryAgain:
    return TryAgain("user_service_bad_answer", f"The user service answered with {what}.")
