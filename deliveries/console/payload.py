"""What a push says, as it goes to the provider: built again from the rows, as sending builds it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from django.http import HttpRequest
from django.utils import timezone
from pydantic import ValidationError

from deliveries.contract import PushRequest
from deliveries.masking import conceal
from deliveries.models import Notification, PushDelivery, Status
from deliveries.sending import message_of
from deliveries.work import Delivery, Work
from providers import fcm_legacy, fcm_message, webpush_message
from providers.base import PushMessage, Target
from providers.errors import Rejected
from providers.fcm_payload import MAX_PAYLOAD


@dataclass(frozen=True, slots=True)
class Payload:
    """The document, and how many of its bytes count; or why there is none."""

    text: str = ""
    size: int = 0
    trouble: str = ""
    most: int = 0


def may_read(request: HttpRequest) -> bool:
    return request.user.has_perm("deliveries.payload")


def payload(notification: Notification, delivery: PushDelivery, *, raw: bool = False) -> Payload:
    """As it is sent to one device, with tokens and secrets masked unless `raw`."""
    if delivery.provider not in _WRITTEN:
        return Payload(trouble=f"Nobody here knows how {delivery.provider} writes it.")
    encode, measured, most = _WRITTEN[delivery.provider]
    try:
        document = json.loads(encode(_message(notification, delivery)))
    except Rejected as refusal:
        return Payload(trouble=refusal.advice)
    except ValidationError:
        return Payload(trouble="Its request cannot be read any more: somebody has changed its row.")
    shown = document if raw else conceal(document)
    return Payload(json.dumps(shown, indent=2, ensure_ascii=False), measured(document), most=most)


def _message(notification: Notification, delivery: PushDelivery) -> PushMessage:
    """Raises pydantic's ValidationError for a request that nobody can read."""
    was_sent = delivery.sending_at if delivery.status != Status.PENDING else None
    sent_at = was_sent or timezone.now()
    left = (notification.expires_at - sent_at).total_seconds()
    work = Work(
        request=PushRequest.model_validate({"correlation_id": notification.correlation_id} | notification.request),
        fence=0,
        high_priority=notification.high_priority,
        expires_at=time.monotonic() + left,
    )
    row = Delivery(
        notification_id=notification.pk,
        user_id=delivery.user_id,
        device_token=delivery.device_token,
        platform=delivery.platform,
        title=delivery.title,
        body=delivery.body,
        data=delivery.data,
        provider=delivery.provider,
        target=cast("Target", delivery.target),
    )
    return message_of(work, row, sent_at)


def _json_size(document: dict[str, Any]) -> int:
    return len(json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode())


#: By provider: what writes a message, what measures it, and how many bytes it may have.
_WRITTEN: dict[str, tuple[Callable[[PushMessage], bytes], Callable[[dict[str, Any]], int], int]] = {
    "fcm": (fcm_message.encode, fcm_message.measured, MAX_PAYLOAD),
    "fcm_legacy": (fcm_legacy.encode, fcm_legacy.measured, MAX_PAYLOAD),
    "webpush": (webpush_message.encode, _json_size, webpush_message.MAX_PAYLOAD),
}
