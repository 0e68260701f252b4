"""Addressing: the user's devices and the rendered text become deliveries; on a resend, they meet those of before."""

from __future__ import annotations

from collections.abc import Callable

from deliveries.models import Status
from deliveries.neighbours.devices import Device
from deliveries.rendering import Content, payload_data, text_as_data
from deliveries.work import Delivery, Work
from providers.base import Target


def address(
    work: Work, devices: list[Device], content: Content, provider_for: Callable[[Target], str]
) -> tuple[list[Delivery], list[Delivery]]:
    """Adds a delivery for each new device. Returns those to send now, and those whose device the user no longer has.

    Of a notification that is sent again, a delivery that was not asked for, because it arrived, is in neither. Where
    one arrived, a token that is new may be that very phone's, after a change: then none is added.
    """
    known = {delivery.device_token: delivery for delivery in work.deliveries}
    waiting = [delivery for delivery in work.deliveries if delivery.status == Status.PENDING]
    arrived = any(delivery.accepted and delivery.status != Status.PENDING for delivery in work.deliveries)
    due: list[Delivery] = []
    for device in devices:
        delivery = known.get(device.token)
        if delivery is None and arrived:
            continue
        if delivery is None:
            delivery = _new(work, device)
            work.deliveries.append(delivery)
        elif delivery.status != Status.PENDING:
            continue
        delivery.title, delivery.body, delivery.provider = content.title, content.body, provider_for(device.target)
        delivery.data = text_as_data(work.request, content) | payload_data(work.request)
        due.append(delivery)
    return due, [delivery for delivery in waiting if delivery not in due]


def _new(work: Work, device: Device) -> Delivery:
    return Delivery(
        work.id,
        work.request.user_id,
        device.token,
        device.platform,
        "",
        "",
        {},
        "",
        device.target,
        urgent=work.high_priority,
        alive_at=device.registered_at,
    )
