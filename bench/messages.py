"""What is published: plain JSON as gateways put it on push.queue, one user for each notification."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4


@dataclass(frozen=True, slots=True)
class Message:
    """A body and the user that it is for."""

    user_id: str
    body: bytes


def message() -> Message:
    """A push request of its own, some 500 bytes."""
    user_id = str(uuid4())
    document = {
        "notification_id": str(uuid4()),
        "notification_type": "push",
        "user_id": user_id,
        "template_id": "order_shipped",
        "variables": {
            "name": "Ada",
            "link": "https://shop.example/orders/10482",
            "meta": {"order": "10482", "carrier": "Example Post"},
        },
        "priority": 5,
        "metadata": {"campaign": "orders", "deeplink": "shop://orders/10482"},
        "correlation_id": str(uuid4()),
        "created_at": datetime.now(UTC).isoformat(),
    }
    return Message(user_id, json.dumps(document).encode())
