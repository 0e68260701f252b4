"""The message: every spelling of it, and every way of not being one."""

import contextlib
import json
from datetime import UTC, datetime

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deliveries.contract import MAX_BODY_BYTES, InvalidMessage, PushRequest, read, read_document
from deliveries.ledger.claiming import _request
from deliveries.masking import conceal
from deliveries.neighbours.profiles import ANCESTOR, DNS_CORE, SPEC

LEAST = {"notification_id": "n1", "user_id": "u1", "title": "Hi"}


def faults(document) -> dict[str, str]:
    with pytest.raises(InvalidMessage) as refused:
        read_document(document)
    return dict(refused.value.faults)


def without(field: str) -> dict:
    return {key: value for key, value in LEAST.items() if key != field}


@pytest.mark.parametrize(
    ("spelled", "field", "value"),
    [
        ({"request_id": "r1"}, "notification_id", "r1"),
        ({"message_id": "m1"}, "notification_id", "m1"),
        ({"id": 17}, "notification_id", "17"),
        ({"user": {"id": "u2"}}, "user_id", "u2"),
        ({"recipient_id": "u2"}, "user_id", "u2"),
        ({"metadata": {"user_id": "u2"}}, "user_id", "u2"),
        ({"template_code": "t"}, "template_id", "t"),
        ({"template": {"slug": "t"}}, "template_id", "t"),
        ({"template_name": "t"}, "template_id", "t"),
        ({"template": {"subject": "S", "body": "B"}}, "title", "S"),
        ({"template": {"title": "S", "body": "B"}}, "title", "S"),
        ({"template_subject": "S", "template_content": "B"}, "body", "B"),
        ({"template_data": {"subject": "S", "body": "B"}}, "body", "B"),
        ({"template_data": {"name": "Ada"}}, "variables", {"name": "Ada"}),
        ({"context": {"name": "Ada"}}, "variables", {"name": "Ada"}),
        ({"click_action": "https://x.test"}, "link", "https://x.test"),
        ({"click_action": "OPEN_ORDER"}, "click_action", "OPEN_ORDER"),
        ({"link": "OPEN_ORDER"}, "click_action", "OPEN_ORDER"),
        ({"link": "OPEN_ORDER", "click_action": "shop://1"}, "link", "shop://1"),
        ({"android_channel_id": "orders"}, "channel_id", "orders"),
        ({"validate_only": True}, "dry_run", True),
        ({"request_id": "r1"}, "request_id", "r1"),
        ({"correlation_id": "c1"}, "correlation_id", "c1"),
        ({"variables": None, "metadata": None}, "variables", {}),
    ],
)
def test_every_spelling_is_understood(spelled, field, value):
    """A spelling stands in for the field's own name, which is left out."""
    others = {name: value for name, value in LEAST.items() if name != field}
    assert getattr(read_document(others | spelled), field) == value


TOKEN = "a-device-token-of-nobody"


@pytest.mark.parametrize(
    "brought",
    [
        {"device_tokens": [TOKEN]},
        {"push_tokens": [TOKEN]},
        {"push_tokens": [{"token": TOKEN, "is_active": True}, {"token": "old", "is_active": False}]},
        {"push_token": TOKEN},
        {"device_token": TOKEN},
        {"user_push_token": TOKEN},
        {"recipient": TOKEN},
        {"to": ["ada@example.com", {"name": "Ada"}, TOKEN]},
        {"recipient": {"email": "ada@example.com"}, "to": TOKEN},
        {"to": [TOKEN]},
        {"delivery": {"push_token": TOKEN}},
        {"user": {"push_token": TOKEN}},
        {"user": {"push_tokens": [{"token": TOKEN}]}},
        {"user_data": {"fcm_token": TOKEN}},
        {"push_tokens": [], "push_token": None, "device_token": " ", "to": TOKEN},
        {"pattern": "notifications.push", "data": LEAST | {"to": [TOKEN]}},
    ],
)
def test_the_tokens_of_a_message_are_read_when_they_are_trusted_and_only_then(brought):
    trusted = read_document(LEAST | brought, trust_tokens=True)
    assert [device.token for device in trusted.device_tokens] == [TOKEN]
    assert PushRequest.model_validate(orjson.loads(trusted.as_json())) == trusted
    assert TOKEN not in repr(trusted)
    assert TOKEN not in json.dumps(conceal(orjson.loads(trusted.as_json())))
    ignored = read_document(LEAST | brought)
    assert ignored.device_tokens == []
    assert TOKEN.encode() not in ignored.as_json()


@pytest.mark.parametrize("wrong", [7, [7], [["a"]], [{"id": 1}], {"a": 1}, "x" * 2049, True, [None, 7]])
def test_trusted_tokens_that_are_none_are_a_fault_that_does_not_repeat_them(wrong):
    with pytest.raises(InvalidMessage) as refused:
        read_document(LEAST | {"device_tokens": wrong}, trust_tokens=True)
    assert str(refused.value) == "device_tokens: has device tokens that are not text of up to 2048 bytes"
    assert read_document(LEAST | {"device_tokens": wrong}).device_tokens == []


@pytest.mark.parametrize("name", ["recipient", "to"])
@pytest.mark.parametrize(
    "address", ["ada@example.com", ["ada@example.com"], {"email": "ada@example.com"}, {"token": TOKEN}, 7, [7], True]
)
def test_an_address_of_another_kind_is_no_token(name, address):
    assert read_document(LEAST | {name: address}, trust_tokens=True).device_tokens == []


def test_a_message_without_tokens_or_with_retired_ones_leaves_the_devices_to_the_user_service():
    for document in (LEAST, LEAST | {"push_tokens": [{"token": "old", "is_active": False}]}):
        assert read_document(document, trust_tokens=True).device_tokens == []


DNS_CORE_BODY = {
    "correlation_id": "c1", "template_id": "t1", "variables": {"user_name": "Ada"}, "priority": 5, "retry_count": 0,
    "created_at": "2026-11-22T10:00:00.000Z", "request_id": "r1", "type": "push",
    "metadata": {"user_id": "u1", "source": "api_gateway"},
}  # fmt: skip


@pytest.mark.parametrize(
    ("document", "ids", "content"),
    [
        (DNS_CORE_BODY, ("r1", "u1", "t1"), (None, None, {"user_name": "Ada"})),
        ({"notification_id": "n1", "user_id": "u1", "template_code": "t1", "variables": {"a": 1}, "recipient": "tok"},
         ("n1", "u1", "t1"), (None, None, {"a": 1})),
        ({"id": "n1", "request_id": "r1", "user_id": "u1", "template_code": "t1", "context": {"a": 1},
          "template_data": {"subject": "S", "body": "B"}, "priority": "high", "user_data": {"fcm_token": "tok"}},
         ("r1", "u1", "t1"), ("S", "B", {"a": 1})),
        ({"request_id": "r1", "user": {"id": "u1"}, "template": {"slug": "t1"}, "variables": {"a": 1}},
         ("r1", "u1", "t1"), (None, None, {"a": 1})),
        ({"notification_id": "n1", "user": {"id": "u1"}, "template": {"subject": "S", "body": "B"}},
         ("n1", "u1", None), ("S", "B", {})),
        ({"message_id": "m1", "user_id": "u1", "template_id": "t1", "template_data": {"a": 1}, "device_token": "tok"},
         ("m1", "u1", "t1"), (None, None, {"a": 1})),
        ({"notification_id": "n1", "user_id": "u1", "template_subject": "S", "template_content": "B"},
         ("n1", "u1", None), ("S", "B", {})),
        ({"pattern": "push", "data": {"notification_id": "n1", "user_id": "u1", "template_code": "t1"}},
         ("n1", "u1", "t1"), (None, None, {})),
    ],
)  # fmt: skip
def test_the_messages_of_other_gateways_are_understood_whole(document, ids, content):
    request = read_document(document)
    assert (request.notification_id, request.user_id, request.template_id) == ids
    assert (request.title, request.body, request.variables) == content


def test_a_template_may_have_an_id_and_a_code():
    request = read_document(LEAST | {"template_id": "7", "template_code": "welcome"})
    assert (request.template_id, request.template_code) == ("7", "welcome")
    request = read_document(LEAST | {"template_id": "7", "template": {"slug": "welcome"}})
    assert (request.template_id, request.template_code) == ("7", "welcome")


def test_the_first_spelling_wins():
    request = read_document(LEAST | {"request_id": "r1", "id": "x"})
    assert (request.notification_id, request.request_id) == ("n1", "r1")


def test_a_wrapped_message_is_unwrapped():
    assert read_document({"pattern": "notifications.push", "data": LEAST}).notification_id == "n1"


def test_amqp_properties_fill_what_the_body_leaves_out():
    body = json.dumps(without("notification_id")).encode()
    request = read(body, message_id="m1", correlation_id="c1", priority=9)
    assert (request.notification_id, request.correlation_id, request.priority) == ("m1", "c1", 9)
    request = read(json.dumps(LEAST | {"correlation_id": "c2"}).encode(), message_id="m1", correlation_id="c1")
    assert (request.notification_id, request.correlation_id) == ("n1", "c2")


def test_a_correlation_id_is_made_where_there_is_none():
    assert read_document(LEAST).correlation_id != read_document(LEAST).correlation_id


def test_every_fault_is_said_at_once():
    wrong = faults({"notification_id": "x" * 300, "user_id": "", "ttl": "soon", "title": 7.5, "priority": {}})
    assert {"notification_id", "user_id", "ttl"} <= wrong.keys()


def test_content_is_needed():
    assert "template_id" in " ".join(faults(without("title")).values())


@pytest.mark.parametrize("id", [7, "7", " 7 "])
def test_ids_are_text(id):
    assert read_document(LEAST | {"notification_id": id}).notification_id == "7"


@pytest.mark.parametrize("id", [True, [], {}, "", " ", "x" * 256, "a\nb", "a\x7fb", ".", "..", " .. "])
def test_what_is_not_an_id(id):
    with pytest.raises(InvalidMessage):
        read_document(LEAST | {"notification_id": id})


@pytest.mark.parametrize("field", ["notification_id", "user_id", "template_id", "request_id"])
@pytest.mark.parametrize("id", [".", ".."])
def test_an_id_never_changes_the_address_that_is_asked(field, id):
    assert "elsewhere" in faults(LEAST | {field: id})[field]
    assert getattr(read_document(LEAST | {field: "..."}), field) == "..."


@pytest.mark.parametrize("id", [".", " .. "])
def test_nobody_is_told_of_an_id_that_would_lead_elsewhere(id):
    with pytest.raises(InvalidMessage) as refused:
        read_document(LEAST | {"notification_id": id})
    assert refused.value.notification_id is None


OPTIONAL = (
    "badge", "sound", "channel_id", "collapse_key", "analytics_label", "data_only", "dry_run", "topic", "click_action",
    "template_id", "image", "link", "language", "expires_at", "priority", "guarantee", "ttl", "request_id",
    "variables", "metadata",
)  # fmt: skip


@pytest.mark.parametrize("blank", ["", "  "])
@pytest.mark.parametrize("field", OPTIONAL)
def test_a_blank_text_counts_as_absent(field, blank):
    request = read_document(LEAST | {"correlation_id": "c1", field: blank})
    assert request == read_document(LEAST | {"correlation_id": "c1"})
    assert field not in request.model_fields_set


@pytest.mark.parametrize("blank", ["", "  "])
def test_a_blank_correlation_id_is_replaced(blank):
    body = json.dumps(LEAST | {"correlation_id": blank}).encode()
    assert read(body, correlation_id="c1").correlation_id == "c1"
    assert len(read(body, correlation_id=blank).correlation_id) == 36


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_the_first_spelling_that_is_not_blank_wins(blank):
    request = read_document(
        {"notification_id": blank, "request_id": "r1", "user_id": blank, "user": {"id": "u2"}, "title": "Hi"}
    )
    assert (request.notification_id, request.user_id) == ("r1", "u2")
    request = read_document(LEAST | {"title": blank, "template": {"subject": "S"}, "body": "B"})
    assert (request.title, request.body) == ("S", "B")


def test_a_blank_property_is_no_id():
    with pytest.raises(InvalidMessage):
        read(json.dumps(without("notification_id")).encode(), message_id=" ")


def test_blank_texts_need_other_content_beside_them():
    assert read_document(LEAST | {"body": ""}).title == "Hi"
    assert read_document(LEAST | {"title": "", "body": "B"}).body == "B"
    assert read_document(LEAST | {"title": "", "body": "", "template_id": "t"}).template_id == "t"
    assert "template_id" in " ".join(faults(LEAST | {"title": "", "body": " "}).values())


def test_template_data_is_variables_unless_it_has_a_body():
    request = read_document(LEAST | {"title": None, "template_id": "t", "template_data": {"subject": "Maths", "n": 1}})
    assert (request.title, request.variables) == (None, {"subject": "Maths", "n": 1})
    request = read_document(without("title") | {"template_data": {"subject": "S", "body": "B"}})
    assert (request.title, request.body, request.variables) == ("S", "B", {})
    request = read_document(without("title") | {"template_code": "t", "template_data": {"subject": "S", "body": "B"}})
    assert (request.title, request.body) == ("S", "B")
    for named in ("template_id", "template_code", "template_name"):
        request = read_document(without("title") | {named: "t", "template_data": {"body": "B", "n": 1}})
        assert (request.template_id, request.body, request.variables) == ("t", None, {"body": "B", "n": 1})
    request = read_document(LEAST | {"variables": {"a": 1}, "template_data": {"b": 2}})
    assert request.variables == {"a": 1}


def test_a_readable_id_is_kept_with_the_refusal():
    with pytest.raises(InvalidMessage) as refused:
        read(b'{"notification_id": "n1"}')
    assert refused.value.notification_id == "n1"


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"x" * (MAX_BODY_BYTES + 1), f"limit is {MAX_BODY_BYTES}"),
        (b"{", "not JSON"),
        (b"[1]", "not an object"),
        (b'{"notification_id":"n","user_id":"u","title":"a\\u0000b"}', "NUL"),
        (b'{"notification_id":"n","user_id":"u","title":"t","variables":{"a\\u0000":1}}', "NUL"),
        (b'{"notification_id":"n","user_id":"u","title":"t","variables":' + b"[" * 40 + b"]" * 40 + b"}", "nested"),
    ],
)
def test_hostile_bodies_are_refused_with_a_reason(body, reason):
    with pytest.raises(InvalidMessage) as refused:
        read(body)
    assert reason in str(refused.value)


def test_an_escaped_backslash_before_u0000_is_no_nul():
    assert read(b'{"notification_id":"n","user_id":"u","title":"C:\\\\u0000"}').title == "C:\\u0000"


def test_wide_is_not_deep():
    request = read(json.dumps(LEAST | {"variables": {"list": [[1]] * 200}}).encode())
    assert len(request.variables["list"]) == 200


@pytest.mark.parametrize(
    ("priority", "high"),
    [(1, True), (5, False), (6, False), (7, True), (10, True), ("1", True), ("high", True), ("CRITICAL", True),
     ("low", False), (None, False), (0, False)],
)  # fmt: skip
def test_priorities(priority, high):
    said = read_document(LEAST | {"priority": priority}).priority
    assert SPEC.is_high(said) is ANCESTOR.is_high(said) is high
    assert DNS_CORE.is_high(said) is (high and said != 1)


def test_a_naive_expiry_is_refused_and_an_aware_one_is_kept():
    assert "expires_at" in faults(LEAST | {"expires_at": "2030-01-01T00:00:00"})
    aware = read_document(LEAST | {"expires_at": "2030-01-01T00:00:00Z"}).expires_at
    assert aware == datetime(2030, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    "moment",
    ["0001-01-01T00:00:00+14:00", "1999-12-31T23:59:59Z", "9999-01-01T00:00:00Z", "9999-12-31T23:59:59-12:00", -1],
)
def test_an_expiry_that_cannot_be_stored_is_refused(moment):
    assert "2000 to 9998" in faults(LEAST | {"expires_at": moment})["expires_at"]


@pytest.mark.parametrize("moment", ["2000-01-01T00:00:00+14:00", "9998-12-31T23:59:59-12:00"])
def test_an_expiry_at_the_edge_is_the_same_moment_in_every_zone(moment):
    expires_at = read_document(LEAST | {"expires_at": moment}).expires_at
    assert expires_at.astimezone(UTC) == expires_at


@pytest.mark.parametrize("zone", ["+15:59", "+16:00", "-23:59"])
def test_an_expiry_in_any_zone_is_kept_in_utc(zone):
    """PostgreSQL knows no zone that is 16 hours away."""
    request = read_document(LEAST | {"expires_at": f"2030-01-01T00:00:00{zone}"})
    assert request.expires_at == datetime.fromisoformat(f"2030-01-01T00:00:00{zone}")
    assert b"+00:00" in request.as_json()


@pytest.mark.parametrize(("given", "ttl"), [(5, 5), (5.0, 5), (5.5, None), ("5", None), (True, None), (-1, None)])
def test_a_time_to_live_is_a_whole_number_of_seconds(given, ttl):
    if ttl is None:
        assert "ttl" in faults(LEAST | {"ttl": given})
    else:
        assert read_document(LEAST | {"ttl": given}).ttl == ttl


@pytest.mark.parametrize("word", ["²", "٣", "--5", "123456789"])
def test_what_only_looks_like_a_number_is_a_word(word):
    assert read_document(LEAST | {"priority": word}).priority == word


@pytest.mark.parametrize("value", [2**64, -(2**63) - 1, "\ud800", {1: 2}, {1, 2}])
def test_what_could_not_be_stored_is_refused(value):
    assert "cannot be written as JSON" in faults(LEAST | {"variables": {"deep": [value]}})[""]


@pytest.mark.parametrize("number", ["1e30", "1" + "0" * 300, "-9223372036854775809", "18446744073709551615", "1e-400"])
def test_every_number_of_a_body_can_be_stored_and_reads_back(number):
    body = json.dumps(LEAST | {"correlation_id": "c"})[:-1] + f', "metadata": {{"n": {number}}}}}'
    request = read(body.encode())
    assert PushRequest.model_validate(orjson.loads(request.as_json())) == request


def test_what_the_ledger_keeps_reads_back_the_same():
    request = read_document(
        LEAST
        | {"expires_at": "2030-01-01T00:00:00Z", "variables": {"a": [1, {"b": None}]}, "guarantee": "at_most_once"}
    )
    assert PushRequest.model_validate(orjson.loads(request.as_json())) == request


SAID = {
    "click_action": "OPEN", "badge": 0, "sound": "bell", "channel_id": "orders", "collapse_key": "news",
    "analytics_label": "spring~1", "data_only": True, "dry_run": True,
}  # fmt: skip


def test_all_that_a_push_can_say_is_read_and_kept():
    request = read_document(LEAST | SAID)
    assert {field: getattr(request, field) for field in SAID} == SAID
    assert PushRequest.model_validate(orjson.loads(request.as_json())) == request
    assert not PushRequest.model_fields.keys() & SAID.keys() & read_document(LEAST).model_fields_set


@pytest.mark.parametrize(("said", "meant"), [("3", 3), ("0", 0), ("007", 7), (3.0, 3), ("9" * 9, 999_999_999)])
def test_a_badge_may_be_written_in_digits(said, meant):
    assert read_document(LEAST | {"badge": said}).badge == meant


@pytest.mark.parametrize("field", ["data_only", "dry_run"])
@pytest.mark.parametrize(("said", "meant"), [(0, False), (1, True), (1.0, True), ("true", True), ("false", False)])
def test_what_is_plainly_true_or_false_is_read_so(field, said, meant):
    assert getattr(read_document(LEAST | {field: said}), field) is meant


@pytest.mark.parametrize(
    ("field", "wrong", "reason"),
    [
        ("badge", -1, "greater than or equal to 0"),
        ("badge", 2**31, "less than or equal to 2147483647"),
        ("badge", 1.5, "whole number"),
        ("badge", "-1", "whole number"),
        ("badge", "1.5", "whole number"),
        ("badge", "²", "whole number"),
        ("badge", "9" * 5000, "whole number"),
        ("badge", True, "whole number"),
        ("sound", True, "text"),
        ("sound", {"critical": 1, "name": "bell", "volume": 0.5}, "text"),
        ("sound", "x" * 256, "at most 255"),
        ("channel_id", ["a"], "text"),
        ("collapse_key", {}, "text"),
        ("analytics_label", "a b", "1 to 50 characters"),
        ("analytics_label", "x" * 51, "1 to 50 characters"),
        ("analytics_label", 7, "should be a text"),
        ("data_only", "yes", "true or false"),
        ("data_only", 2, "true or false"),
        ("dry_run", [0], "true or false"),
        ("topic", "a b", "1 to 900 characters"),
        ("topic", "/topics/", "1 to 900 characters"),
        ("topic", "/topics/a/b", "1 to 900 characters"),
        ("topic", "news\n", "1 to 900 characters"),
        ("topic", "x" * 901, "1 to 900 characters"),
        ("click_action", ["OPEN"], "text"),
        ("link", [1], "text"),
        ("link", {"url": "https://x.test"}, "text"),
        ("click_action", "x" * 2049, "at most 2048"),
    ],
)
def test_what_a_push_says_is_checked_strictly_and_the_reason_is_clear(field, wrong, reason):
    found = faults(LEAST | {field: wrong})
    assert found.keys() == {field}
    assert reason in found[field]


def test_a_link_that_is_no_text_is_at_fault_itself_whatever_stands_beside_it():
    assert faults(LEAST | {"link": [1], "click_action": "https://x.test"}).keys() == {"link"}
    assert faults(LEAST | {"link": "OPEN", "click_action": [1]}).keys() == {"click_action"}


def test_a_link_and_an_action_beside_each_other_stay_where_they_are():
    request = read_document(LEAST | {"link": "https://x.test", "click_action": "OPEN"})
    assert (request.link, request.click_action) == ("https://x.test", "OPEN")
    request = read_document(LEAST | {"link": "https://x.test", "click_action": "https://x.test"})
    assert (request.link, request.click_action) == ("https://x.test", "https://x.test")


@pytest.mark.parametrize("spelling", ["metadata", "data"])
@pytest.mark.parametrize("key", ["from", "message_type", "gcm", "gcm.x", "google.c.a", "googler"])
def test_a_data_key_that_fcm_keeps_for_itself_is_refused_by_name(spelling, key):
    found = faults(LEAST | {"badge": -1, spelling: {"mine": 1, key: 2}})
    assert found.keys() == {"metadata", "badge"}
    assert repr(key) in found["metadata"] and "mine" not in found["metadata"]
    assert read_document(LEAST | {"variables": {key: 1}, "metadata": {"deep": {key: 1}}}).metadata == {"deep": {key: 1}}


def test_such_a_key_in_what_was_accepted_before_is_read_and_left_to_the_provider():
    stored = LEAST | {"correlation_id": "c", "metadata": {"from": "ada"}}
    assert PushRequest.model_validate(stored).metadata == {"from": "ada"}


@pytest.mark.parametrize(("said", "kept"), [("r1", "r1"), (7, None), (None, None)])
def test_of_a_stored_request_that_cannot_be_read_the_ids_are_kept(said, kept):
    ids = {"notification_id": "n1", "user_id": "u1", "correlation_id": "c"}
    request, wrong = _request(ids | {"request": {"ttl": "soon", "request_id": said}})
    assert (request.notification_id, request.user_id, request.request_id) == ("n1", "u1", kept)
    assert "ttl should be a whole number" in wrong


def test_a_push_for_the_app_alone_needs_no_text():
    request = read_document(without("title") | {"data_only": True})
    assert (request.title, request.body, request.template_id) == (None, None, None)
    assert "template_id" in " ".join(faults(without("title") | {"data_only": False}).values())


@pytest.mark.parametrize("topic", ["news", "/topics/news"])
def test_a_topic_needs_no_user(topic):
    request = read_document(without("user_id") | {"topic": topic})
    assert (request.topic, request.user_id) == ("news", "")
    assert PushRequest.model_validate(orjson.loads(request.as_json())) == request


@pytest.mark.parametrize(
    "user", [{"user_id": "u1"}, {"recipient_id": "u1"}, {"user": {"id": 7}}, {"metadata": {"user_id": "u1"}}]
)
def test_a_push_to_a_user_does_not_go_to_everybody_for_a_word_that_was_ignored_once(user):
    refused = faults(without("user_id") | {"topic": "orders"} | user)
    assert refused == {"": "it can go to one of them only: it has a topic and a user_id"}


def test_without_a_topic_a_user_is_needed_and_a_wrong_topic_is_the_only_fault():
    assert faults(without("user_id")) == {"user_id": "is needed"}
    assert faults(without("user_id") | {"topic": " "}) == {"user_id": "is needed"}
    assert faults(without("user_id") | {"topic": "a b"}).keys() == {"topic"}


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("brought", [{"device_tokens": [TOKEN]}, {"push_token": TOKEN}])
def test_a_topic_and_tokens_contradict_each_other_whether_or_not_tokens_are_trusted(trusted, brought):
    with pytest.raises(InvalidMessage, match="a topic and device_tokens"):
        read_document(without("user_id") | {"topic": "news"} | brought, trust_tokens=trusted)


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("addressed", [{"to": "/topics/news"}, {"recipient": "news"}, {"to": ["everybody"]}])
def test_whatever_else_a_push_to_a_topic_is_addressed_to_is_no_token(trusted, addressed):
    request = read_document(without("user_id") | {"topic": "news"} | addressed, trust_tokens=trusted)
    assert (request.topic, request.device_tokens) == ("news", [])


def test_a_trusted_installation_id_is_one_still_when_it_is_read_back():
    fid = "dFidOfFirebase-22_char"
    request = read_document(LEAST | {"device_tokens": [{"fid": fid, "token": TOKEN}]}, trust_tokens=True)
    assert [(device.token, device.target) for device in request.device_tokens] == [(fid, "fid")]
    assert PushRequest.model_validate(orjson.loads(request.as_json())) == request


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    [*LEAST, "variables", "metadata", "priority", "ttl", "expires_at", "data", "pattern", "user", "topic", *SAID]
)


@given(st.binary(max_size=200))
def test_no_bytes_do_worse_than_be_refused(body):
    _read_or_refuse(body)


@given(st.dictionaries(keys, json_values, max_size=8) | json_values)
def test_no_json_does_worse_than_be_refused(document):
    _read_or_refuse(json.dumps(document).encode())


def _read_or_refuse(body: bytes) -> None:
    with contextlib.suppress(InvalidMessage):
        assert b"\\u0000" not in read(body).as_json()


def test_a_request_is_the_same_bytes_after_the_ledger_however_that_orders_keys() -> None:
    metadata = {"zz": 1, "a": {"long_key": 1, "b": 2}, "bb": 3}
    document = {"notification_id": "n", "user_id": "u", "title": "T", "metadata": metadata, "badge": 1}
    request = read_document(document)
    stored = orjson.loads(request.as_json())
    shuffled = {key: stored[key] for key in sorted(stored, reverse=True)}
    shuffled["metadata"] = {key: metadata[key] for key in sorted(metadata)}
    assert PushRequest.model_validate(shuffled).as_json() == request.as_json()
