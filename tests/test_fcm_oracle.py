"""Google's own client is the oracle: what we send is what firebase-admin would, and FCM's rules let it through."""

from __future__ import annotations

import json
import re
import warnings
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any

import orjson
import pytest
from firebase_admin import messaging
from hypothesis import given, settings
from hypothesis import strategies as st

from providers import fcm_legacy, fcm_message
from providers.base import PushMessage
from providers.errors import Rejected
from providers.fcm_message import encode
from sandbox import fcm_legacy_rules, fcm_reading, fcm_rules
from sandbox.google_errors import RefusedError

SENT_AT = 1_800_000_000.5


def ours(message: PushMessage) -> dict[str, Any]:
    """What we send, with the words of enums as firebase-admin spells them."""
    request: dict[str, Any] = json.loads(encode(message))
    android = request["message"]["android"]
    android["priority"] = android["priority"].lower()
    return request


def theirs(message: messaging.Message, *, dry_run: bool = False) -> dict[str, Any]:
    """What firebase-admin sends."""
    return json.loads(json.dumps(messaging._MessagingService._message_data(None, message, dry_run)))


def a_message_of_theirs(**parts: Any) -> messaging.Message:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # `token` is, and still what everybody has
        return messaging.Message(**parts)


# --- by hand -------------------------------------------------------------------------------------

USUAL: dict[str, Any] = {
    "notification_id": "n-1", "device_token": "ok-1", "title": "Hello", "body": "You", "ttl": 60, "sent_at": SENT_AT
}  # fmt: skip


def written(
    *,
    shown: dict[str, Any] | None = None,
    android: dict[str, Any] | None = None,
    on_android: dict[str, Any] | None = None,
    apns: dict[str, str] | None = None,
    aps: dict[str, Any] | None = None,
    apple_image: str | None = None,
    web: dict[str, str] | None = None,
    web_tag: str = "n-1",
    link: str | None = None,
    **more: Any,
) -> messaging.Message:
    """The usual message in firebase-admin's classes, but for what is said otherwise."""
    target = more if more.keys() & {"fid", "topic"} else {"token": "ok-1", **more}
    return a_message_of_theirs(
        notification=messaging.Notification(**{"title": "Hello", "body": "You", **(shown or {})}),
        android=messaging.AndroidConfig(
            **{"priority": "normal", "ttl": timedelta(seconds=60), **(android or {})},
            notification=messaging.AndroidNotification(**{"tag": "n-1", **(on_android or {})}),
        ),
        apns=messaging.APNSConfig(
            headers={
                "apns-push-type": "alert", "apns-priority": "5", "apns-expiration": "1800000060",
                "apns-collapse-id": "n-1", **(apns or {}),
            },
            payload=messaging.APNSPayload(messaging.Aps(**aps)) if aps else None,
            fcm_options=messaging.APNSFCMOptions(image=apple_image) if apple_image else None,
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "60", "Urgency": "normal", **(web or {})},
            notification=messaging.WebpushNotification(tag=web_tag),
            fcm_options=messaging.WebpushFCMOptions(link=link) if link else None,
        ),
        **target,
    )  # fmt: skip


def for_the_app(*, android: dict[str, Any] | None = None, **more: Any) -> messaging.Message:
    """The usual message of which nothing is shown."""
    return a_message_of_theirs(
        token="ok-1",
        android=messaging.AndroidConfig(**{"priority": "normal", "ttl": 60, **(android or {})}),
        apns=messaging.APNSConfig(
            headers={
                "apns-push-type": "background", "apns-priority": "5", "apns-expiration": "1800000060",
                "apns-collapse-id": "n-1",
            },
            payload=messaging.APNSPayload(messaging.Aps(content_available=True)),
        ),
        webpush=messaging.WebpushConfig(
            headers={"TTL": "60", "Urgency": (android or {}).get("priority", "normal")},
        ),
        **more,
    )  # fmt: skip


IMAGE, SHOP = "https://cdn.example/i.png", "https://shop.example/o/1"
HASH_OF_65 = sha256(b"x" * 65).hexdigest()
TOPIC_OF_A_B = urlsafe_b64encode(sha256(b"a b").digest())[:32].decode()

BY_HAND: list[tuple[dict[str, Any], messaging.Message]] = [
    ({}, written()),
    ({"title": "", "body": "b"}, written(shown={"title": "", "body": "b"})),
    ({"title": "Grüße 😀"}, written(shown={"title": "Grüße 😀"})),
    ({"image": IMAGE}, written(shown={"image": IMAGE}, aps={"mutable_content": True}, apple_image=IMAGE)),
    ({"data": {"k": "v", "n": 1}}, written(data={"k": "v", "n": "1"})),
    ({"data": {"deep": {"a": [1, None, "ü"]}}}, written(data={"deep": '{"a":[1,null,"ü"]}'})),
    ({"data": {"yes": True, "half": 0.5, "none": None}}, written(data={"yes": "true", "half": "0.5", "none": "null"})),
    ({"high_priority": True},
     written(android={"priority": "high"}, apns={"apns-priority": "10"}, web={"Urgency": "high"})),
    ({"ttl": 0}, written(android={"ttl": 0}, apns={"apns-expiration": "0"}, web={"TTL": "0"})),
    ({"ttl": 3_000_000},
     written(android={"ttl": timedelta(weeks=4)}, apns={"apns-expiration": "1802419200"}, web={"TTL": "2419200"})),
    ({"link": SHOP}, written(data={"link": SHOP}, link=SHOP)),
    ({"link": "http://shop.example"}, written(data={"link": "http://shop.example"})),
    ({"link": "shop://1", "data": {"link": "mine"}}, written(data={"link": "mine"})),
    ({"click_action": "OPEN"}, written(on_android={"click_action": "OPEN"}, aps={"category": "OPEN"})),
    ({"link": "OPEN"}, written(on_android={"click_action": "OPEN"}, aps={"category": "OPEN"})),
    ({"click_action": SHOP}, written(data={"link": SHOP}, link=SHOP)),
    ({"link": SHOP, "click_action": "OPEN"},
     written(data={"link": SHOP}, link=SHOP, on_android={"click_action": "OPEN"}, aps={"category": "OPEN"})),
    ({"link": "OPEN", "click_action": "SHOW"}, written(on_android={"click_action": "SHOW"}, aps={"category": "SHOW"})),
    ({"link": SHOP, "click_action": "https://other.example"}, written(data={"link": SHOP}, link=SHOP)),
    ({"badge": 0}, written(on_android={"notification_count": 0}, aps={"badge": 0})),
    ({"badge": 12}, written(on_android={"notification_count": 12}, aps={"badge": 12})),
    ({"sound": "bell.caf"}, written(on_android={"sound": "bell.caf"}, aps={"sound": "bell.caf"})),
    ({"channel_id": "orders"}, written(on_android={"channel_id": "orders"})),
    ({"tag": "t"}, written(on_android={"tag": "t"}, apns={"apns-collapse-id": "t"}, web_tag="t")),
    ({"notification_id": "x" * 65},
     written(on_android={"tag": "x" * 65}, apns={"apns-collapse-id": HASH_OF_65}, web_tag="x" * 65)),
    ({"collapse_key": "news"},
     written(android={"collapse_key": "news"}, on_android={"tag": "news"}, apns={"apns-collapse-id": "news"},
             web={"Topic": "news"}, web_tag="news")),
    ({"collapse_key": "a b", "tag": "t"},
     written(android={"collapse_key": "a b"}, on_android={"tag": "t"}, apns={"apns-collapse-id": "a b"},
             web={"Topic": TOPIC_OF_A_B}, web_tag="t")),
    ({"analytics_label": "spring~1"}, written(fcm_options=messaging.FCMOptions(analytics_label="spring~1"))),
    ({"target": "fid", "device_token": "ok-fid"}, written(fid="ok-fid")),
    ({"target": "topic", "device_token": "news"}, written(topic="/topics/news")),
    ({"data_only": True}, for_the_app()),
    ({"data_only": True, "high_priority": True, "image": IMAGE, "badge": 1, "sound": "s", "channel_id": "c",
      "link": SHOP, "click_action": "OPEN", "data": {"k": 1}},
     for_the_app(android={"priority": "high"}, data={"k": "1", "link": SHOP})),
]  # fmt: skip


@pytest.mark.parametrize(("said", "oracle"), BY_HAND, ids=[", ".join(said) or "usual" for said, _ in BY_HAND])
def test_google_s_own_client_would_send_the_same(said: dict[str, Any], oracle: messaging.Message) -> None:
    message = PushMessage(**{**USUAL, **said})
    assert ours(message) == theirs(oracle)
    assert ours(replace(message, dry_run=True)) == theirs(oracle, dry_run=True)
    fcm_reading.understood(encode(message), "observed")


# --- generated -----------------------------------------------------------------------------------

texts = st.text(st.characters(codec="utf-8"), max_size=40)
some = st.text(st.characters(codec="utf-8"), min_size=1, max_size=70)
keys = texts.filter(lambda key: not re.match(r"from$|message_type$|gcm$|gcm\.|google", key))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
taps = st.none() | st.sampled_from([SHOP, "http://a.example", "shop://order/1", "OPEN_ORDER", "Öffne"])
names = st.from_regex(r"[a-zA-Z0-9\-_.~%]{1,50}", fullmatch=True)
targets = st.one_of(
    st.tuples(st.sampled_from(["token", "fid"]), some.map("ok-{}".format)),
    st.tuples(st.just("topic"), names),
)


@st.composite
def messages(draw: Callable[..., Any]) -> PushMessage:
    target, whom = draw(targets)
    return PushMessage(
        notification_id=draw(some),
        target=target,
        device_token=whom,
        title=draw(texts),
        body=draw(texts),
        ttl=draw(st.integers(-5, 3_000_000)),
        sent_at=draw(st.floats(0, 4e9)),
        image=draw(st.none() | st.just(IMAGE)),
        link=draw(taps),
        click_action=draw(taps),
        data=draw(st.dictionaries(keys, values, max_size=4)),
        high_priority=draw(st.booleans()),
        tag=draw(st.none() | some),
        badge=draw(st.none() | st.integers(0, 2**31 - 1)),
        sound=draw(st.none() | some),
        channel_id=draw(st.none() | some),
        collapse_key=draw(st.none() | some),
        analytics_label=draw(st.none() | names),
        data_only=draw(st.booleans()),
        dry_run=draw(st.booleans()),
    )


def in_their_classes(push: PushMessage) -> messaging.Message:
    """The same push as somebody would write it who has firebase-admin, and knows nothing of our code."""
    seconds = sorted((0, push.ttl, 28 * 24 * 3600))[1]
    taps = [tap for tap in (push.link, push.click_action) if tap]
    addresses = [tap for tap in taps if "://" in tap]
    actions = [tap for tap in reversed(taps) if "://" not in tap]
    data = {key: value if isinstance(value, str) else compact(value) for key, value in push.data.items()}
    if addresses:
        data = {"link": addresses[0]} | data
    on_phones = None if push.data_only else messaging.Notification(push.title, push.body, push.image)
    return a_message_of_theirs(
        **{push.target: push.device_token},
        data=data,
        notification=on_phones,
        fcm_options=messaging.FCMOptions(push.analytics_label) if push.analytics_label else None,
        android=android_of(push, seconds, *actions[:1]),
        apns=apns_of(push, seconds, *actions[:1]),
        webpush=webpush_of(push, seconds, *addresses[:1]),
    )


def android_of(push: PushMessage, seconds: int, action: str | None = None) -> messaging.AndroidConfig:
    notification = messaging.AndroidNotification(
        tag=push.tag or push.collapse_key or push.notification_id,
        click_action=action,
        sound=push.sound,
        channel_id=push.channel_id,
        notification_count=push.badge,
    )
    return messaging.AndroidConfig(
        collapse_key=push.collapse_key,
        priority="high" if push.high_priority else "normal",
        ttl=timedelta(seconds=seconds),
        notification=None if push.data_only else notification,
    )


def apns_of(push: PushMessage, seconds: int, action: str | None = None) -> messaging.APNSConfig:
    collapses = push.collapse_key or push.tag or push.notification_id
    plain = re.fullmatch(r"[ -~]{1,64}", collapses)
    headers = {
        "apns-push-type": "background" if push.data_only else "alert",
        "apns-priority": "10" if (push.high_priority, push.data_only) == (True, False) else "5",
        "apns-expiration": str(int(push.sent_at or 0) + seconds if seconds else 0),
        "apns-collapse-id": collapses if plain else sha256(collapses.encode()).hexdigest(),
    }
    if push.data_only:
        aps = messaging.Aps(content_available=True)
        return messaging.APNSConfig(headers, messaging.APNSPayload(aps))
    aps = messaging.Aps(badge=push.badge, sound=push.sound, category=action, mutable_content=bool(push.image))
    options = messaging.APNSFCMOptions(image=push.image) if push.image else None
    return messaging.APNSConfig(headers, messaging.APNSPayload(aps), options)


def webpush_of(push: PushMessage, seconds: int, address: str = "") -> messaging.WebpushConfig:
    headers = {"TTL": str(seconds), "Urgency": "high" if push.high_priority else "normal"}
    if push.collapse_key:
        plain = re.fullmatch(r"[\w-]{1,32}", push.collapse_key, re.ASCII)
        hashed = urlsafe_b64encode(sha256(push.collapse_key.encode()).digest()).decode()[:32]
        headers["Topic"] = push.collapse_key if plain else hashed
    if push.data_only:
        return messaging.WebpushConfig(headers)
    notification = messaging.WebpushNotification(tag=push.tag or push.collapse_key or push.notification_id)
    options = messaging.WebpushFCMOptions(address) if address.startswith("https://") else None
    return messaging.WebpushConfig(headers, notification=notification, fcm_options=options)


def compact(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def without_nothing(request: dict[str, Any]) -> dict[str, Any]:
    """firebase-admin leaves an Aps of which nothing is said as an empty payload."""
    apns = request["message"]["apns"]
    return request if apns.get("payload") != {} else request | {
        "message": request["message"] | {"apns": {key: apns[key] for key in apns if key != "payload"}}
    }  # fmt: skip


@given(messages())
@settings(max_examples=200, deadline=None)
def test_whatever_a_push_says_google_s_own_client_would_say_it_too(push: PushMessage) -> None:
    oracle = theirs(in_their_classes(push), dry_run=push.dry_run)
    assert ours(push) == without_nothing(oracle)
    assert fcm_reading.understood(encode(push), "observed").dry_run == push.dry_run


# --- its size ------------------------------------------------------------------------------------


def padded(push: PushMessage, size: int, of: Callable[[PushMessage], int]) -> PushMessage:
    """The same push with a text in its data that brings it to that size."""
    empty = replace(push, data={**push.data, "pad": ""})
    return replace(empty, data={**empty.data, "pad": "x" * (size - of(empty))})


def is_sent(encode: Callable[[PushMessage], bytes], push: PushMessage) -> bool:
    try:
        encode(push)
    except Rejected as refusal:
        if refusal.code != "payload_too_large":
            raise
        return False
    return True


@given(messages(), st.integers(4096 - 3, 4096 + 3))
@settings(max_examples=100, deadline=None)
def test_what_we_find_too_large_is_what_fcm_finds_too_large(push: PushMessage, size: int) -> None:
    push = padded(push, size, lambda push: max(fcm_rules._sizes(fcm_message._message(push))))
    body = orjson.dumps({"message": fcm_message._message(push)})
    assert is_sent(fcm_message.encode, push) is taken_by_v1(body) is (size <= 4096)


def taken_by_v1(body: bytes) -> bool:
    try:
        fcm_reading.understood(body, "observed")
    except RefusedError as refusal:
        if "too large" not in str(refusal):
            raise
        return False
    return True


@given(messages(), st.integers(4096 - 3, 4096 + 3))
@settings(max_examples=100, deadline=None)
def test_the_legacy_format_counts_as_it_did(push: PushMessage, size: int) -> None:
    push = replace(push, device_token=f"ok-{push.device_token}")  # none that begins like a topic

    def counted(push: PushMessage) -> int:
        document = fcm_legacy._document(push)
        return sum(fcm_rules.size_of(document.get(part, {})) for part in ("data", "notification"))

    push = padded(push, size, counted)
    message, _ = fcm_legacy_rules.understood(orjson.dumps(fcm_legacy._document(push)))
    taken = fcm_legacy_rules.faulty_content(message) is None
    assert is_sent(fcm_legacy.encode, push) is taken is (size <= 4096)
