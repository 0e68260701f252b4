"""The notifications of the sample, each told to its end: rows as the pipeline leaves them, with nothing owed or due."""

from __future__ import annotations

import string
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import orjson

from deliveries.models import DeadLetter, Notification, PushAttempt, PushDelivery, Status
from deliveries.models.samples import MARK, SOURCE
from deliveries.samples.plots import PLOTS, UNREADABLE, Device, Plot
from deliveries.samples.traffic import pace_at

USERS = (
    *("marta.silva", "tom.becker", "aiko.tanaka", "noah.okafor", "lena.fischer", "omar.haddad", "priya.nair"),
    *("jonas.weber", "sofia.rossi", "mateo.garcia", "emma.dubois", "liam.murphy", "zoe.martin", "ivan.petrov"),
    *("chloe.bernard", "lucas.moreau", "hana.suzuki", "samuel.mensah", "nina.kowalska", "ali.demir", "julia.berg"),
    *("pedro.santos", "mia.johansson", "david.cohen", "amara.diallo", "felix.wagner", "clara.jensen", "yusuf.kaya"),
)
#: Title and body, by template; each with how often it is asked for.
TEMPLATES = {
    "order_shipped": (6, "Your parcel is on its way", "Order A-1042 left our house today."),
    "payment_received": (4, "Payment received", "Thank you, {name}. We have got 49.00."),
    "welcome": (3, "Welcome, {name}!", "Good to have you here. Your account is ready."),
    "otp": (3, "Your code is 493 027", "It is good for ten minutes. Share it with nobody."),
    "password_reset": (1, "Reset your password", "Somebody, hopefully you, asked for a new one."),
    "spring_sale_v2": (0, "", ""),
}
PLATFORMS = ("android", "android", "android", "ios", "ios", "web")
TOKEN_SIGNS = string.ascii_letters + string.digits + "-_"
LIFETIME = 3600  # seconds, unless it was asked for with another


def notification_id(number: int) -> str:
    """All are of the same length: between the first and the last of them, an index has them together."""
    return f"{MARK}{number:04}"


class Clock:
    """What time it is in a story; `passes` as much as such a thing usually takes, more or less."""

    def __init__(self, now: datetime, random: Random) -> None:
        self.now = now
        self._random = random

    def passes(self, usual: float) -> datetime:
        return self.on(usual * self._random.lognormvariate(0, 0.7))

    def on(self, seconds: float) -> datetime:
        self.now += timedelta(seconds=seconds)
        return self.now


@dataclass(slots=True)
class Story:
    """One notification and its rows."""

    notification: Notification
    deliveries: list[PushDelivery] = field(default_factory=list)
    attempts: list[PushAttempt] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)


def stories(now: datetime, random: Random) -> list[Story]:
    """All that happened in the day until now, the oldest first."""
    fates = [
        (ago, plot)
        for plot in PLOTS
        for ago in random.choices(plot.when, [pace_at(ago) for ago in plot.when], k=plot.times)
    ]
    fates.sort(key=lambda fate: -fate[0])
    minute = timedelta(minutes=1)
    return [
        told(number, plot, now - ago * minute + random.random() * minute, random)
        for number, (ago, plot) in enumerate(fates, 1)
    ]


def told(number: int, plot: Plot, accepted_at: datetime, random: Random) -> Story:
    """One story, along the way of the pipeline: accepted, resolved, rendered, sent, ended, reported."""
    clock = Clock(accepted_at, random)
    story = Story(_accepted(number, plot, accepted_at, random))
    _meet(story, plot, "resolve", clock)
    if plot.devices:
        story.notification.resolved_at = clock.passes(0.012)
        story.notification.rendered_at = clock.passes(0.008)
        story.deliveries = [_begun(story.notification, device, clock, random) for device in plot.devices]
        _meet(story, plot, "send", clock)
        _land(story, clock, random)
    _end(story, plot, clock)
    return story


def _accepted(number: int, plot: Plot, accepted_at: datetime, random: Random) -> Notification:
    user = random.choice(USERS)
    template = plot.template or random.choices(list(TEMPLATES), [often for often, *_ in TEMPLATES.values()])[0]
    asked: dict[str, Any] = {
        "notification_id": notification_id(number),
        "user_id": user,
        "template_id": template,
        "correlation_id": str(UUID(int=random.getrandbits(128), version=4)),
        "variables": {"name": _first_name(user)},
        "dry_run": False,
    } | plot.asked
    return Notification(
        notification_id=asked["notification_id"],
        user_id=user,
        template_id=template,
        correlation_id=asked["correlation_id"],
        source=SOURCE,
        request=asked,
        at_most_once=asked.get("guarantee") == "at_most_once",
        attempts=0,
        accept_token=random.getrandbits(63),
        fence=1,
        created_at=accepted_at,
        expires_at=accepted_at + timedelta(seconds=asked.get("ttl", LIFETIME)),
    )


def _meet(story: Story, plot: Plot, stage: str, clock: Clock) -> None:
    """What went wrong at a stage, one after the other: with the device that came off worst, if it is a send."""
    worst = max(story.deliveries, key=lambda delivery: delivery.error_code, default=None)
    for step in plot.steps:
        if step.stage != stage:
            continue
        story.attempts.append(
            PushAttempt(
                notification=story.notification,
                delivery=worst,
                stage=stage,
                outcome=step.outcome,
                error_code=step.code,
                error_message=step.reason,
                http_status=step.http_status,
                retry_after=step.wait,
                duration_ms=step.duration * 1000 if worst else None,
                created_at=clock.on(step.duration),
            )
        )
        if worst:
            worst.unknown_count += step.outcome == "unknown"
            worst.attempts += step.outcome == "retry"
        else:
            story.notification.attempts += step.outcome in ("retry", "failed")
        clock.on(step.wait or 0.0)


def _begun(of: Notification, device: Device, clock: Clock, random: Random) -> PushDelivery:
    """A delivery as it is to end, but for when."""
    assert of.template_id is not None
    _, title, body = TEMPLATES[of.template_id]
    name = _first_name(of.user_id)
    return PushDelivery(
        notification=of,
        user_id=of.user_id,
        device_token=MARK + "".join(random.choices(TOKEN_SIGNS, k=142)),
        platform=random.choice(PLATFORMS),
        title=title.format(name=name),
        body=body.format(name=name),
        data={"notification_id": of.pk},
        status=device.status,
        provider="fcm",
        error_code=device.code,
        error_message=device.reason,
        attempts=0,
        unknown_count=0,
        exhausted=device.exhausted,
        created_at=clock.now,
        sending_at=clock.now,
    )


def _land(story: Story, clock: Clock, random: Random) -> None:
    """The last answer for every device."""
    begun = clock.now
    for delivery in story.deliveries:
        delivery.sending_at = begun if delivery.status == Status.SENT else delivery.sending_at
        delivery.updated_at = begun
        if delivery.status in (Status.SENT, Status.FAILED):
            delivery.attempts += delivery.error_code != "unknown_outcome"
        if delivery.status == Status.SENT:
            clock.now = begun
            delivery.sent_at = delivery.updated_at = clock.passes(0.055)
            name = f"0:{int(clock.now.timestamp() * 1e6)}%{random.getrandbits(64):016x}"
            delivery.provider_message_id = f"projects/sample/messages/{name}"
    clock.now = max(delivery.updated_at for delivery in story.deliveries)


def _end(story: Story, plot: Plot, clock: Clock) -> None:
    notification = story.notification
    if plot.status == Status.EXPIRED:
        clock.now = max(clock.now, notification.expires_at)
    words = {"user": notification.user_id, "template": notification.template_id}
    notification.status = plot.status
    notification.error_code, notification.error_message = plot.code, plot.reason.format(**words)
    if plot.status == Status.CANCELLED:
        notification.cancel_reason = plot.reason
    notification.ended_at = clock.passes(0.004)
    notification.reported_at = notification.updated_at = clock.passes(0.015)
    notification.report_attempts = 1
    if plot.letter:
        body = orjson.dumps(notification.request)
        story.letters.append(
            letter(
                notification.pk,
                body,
                "exhausted",
                plot.reason,
                plot.letter,
                notification.ended_at,
                notification_id=notification.pk,
                correlation_id=notification.correlation_id,
            )
        )


def unreadable(now: datetime) -> list[DeadLetter]:
    """Messages of which no notification could be made."""
    return [
        letter(f"{MARK}unreadable-{number}", body.encode(), "invalid_message", reason, state, at)
        for number, (body, reason, state) in enumerate(UNREADABLE, 1)
        for at in (now - timedelta(hours=number * 5),)
    ]


def letter(mark: str, body: bytes, code: str, reason: str, state: str, at: datetime, **more: str) -> DeadLetter:
    """What cannot be done for this one, and whether somebody has closed it."""
    return DeadLetter(
        body_hash=mark,
        body=body,
        size=len(body),
        code=code,
        reasons=[reason],
        state=state,
        note="" if state == "open" else "Of a producer's test.",
        first_seen_at=at,
        last_seen_at=at,
        **more,
    )


def _first_name(user: str) -> str:
    return user.partition(".")[0].capitalize()
