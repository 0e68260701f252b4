"""Holding: what keeps a claimed send from beginning. A brake is on for it, or its token is remembered as dead."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson
from psycopg import Cursor
from psycopg.rows import dict_row

from deliveries.ledger.change import Hand, rows
from deliveries.models import Status
from deliveries.ramp import RAMP, places
from deliveries.work import Delivery

#: Seconds before its place at which a send may begin: less than anybody's clock or the way to FCM is exact.
EARLY = 0.02

#: How the reason begins of a delivery that nobody has tried.
NOT_TRIED = "Not tried:"

# In the order of their keys, so that two workers never deadlock; a brake is locked while its places are given away.
BRAKES = f"""
SELECT key, round, code, advice, pace, taken, extract(epoch FROM now() - until)::float8 AS since
FROM brakes
WHERE key IN (SELECT json_array_elements_text(%(keys)s::json))
  AND until + make_interval(secs => greatest(taken, {RAMP})) > now()
ORDER BY key FOR UPDATE
"""

TAKE_PLACES = """
UPDATE brakes b SET taken = i.taken FROM json_to_recordset(%(rows)s::json) AS i(key text, taken float8)
WHERE b.key = i.key
"""

DEAD = """
SELECT token_hash, error_code, died_at, coalesce(remembered_until > now(), false) AND held_at IS NULL AS in_force
FROM dead_tokens WHERE token_hash IN (SELECT json_array_elements_text(%(hashes)s::json))
"""

HOLD = """
UPDATE push_deliveries d
SET status = i.status, error_code = i.code, error_message = i.reason, brake_round = i.round, updated_at = now(),
    next_attempt_at = now() + make_interval(secs => i.wait)
FROM json_to_recordset(%(rows)s::json) AS i(
    send_token bigint, notification_id text, status text, code text, reason text, round bigint, wait float8)
WHERE d.notification_id = i.notification_id AND d.send_token = i.send_token AND d.status = 'sending'
"""


@dataclass(slots=True)
class Hold:
    """A send that does not begin: it waits for `wait` seconds, or is over (`wait` is None)."""

    send_token: int
    notification_id: str
    status: Status
    code: str
    reason: str
    round: int | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Death:
    """What is known of a device: once, a provider called it dead. `in_force`: that is remembered, and believed."""

    code: str
    died_at: datetime
    in_force: bool


def hold_back(
    cursor: Cursor[Any], deliveries: Sequence[Delivery], hand: Hand
) -> tuple[dict[int, Hold], frozenset[int]]:
    """Puts down those of the claimed sends that must not begin now.

    Returns their holds by send token, and the tokens of all sends to devices that were called dead before.
    """
    hashes = {delivery.send_token: token_hash(delivery.device_token) for delivery in deliveries}
    deaths = _deaths(cursor, hashes)
    held = {
        delivery.send_token: _not_tried(delivery, death)
        for delivery in deliveries
        if (death := deaths.get(delivery.send_token)) and _is_remembered(delivery, death)
    }
    held |= _braked(cursor, [d for d in deliveries if d.send_token not in held], hashes, hand)
    if held:
        cursor.execute(HOLD, rows(list(held.values())))
    return held, frozenset(deaths)


def token_hash(device_token: str) -> str:
    """By which tokens are looked for: SHA-256, in hexadecimal digits."""
    return hashlib.sha256(device_token.encode()).hexdigest()


def brake_keys(delivery: Delivery, token_hash: str, worker_id: UUID | None) -> dict[str, str]:
    """The keys of the brakes that hold for a delivery, by scope."""
    return {
        "project": delivery.provider,
        "process": f"{worker_id}/{delivery.provider}",
        "topic" if delivery.target == "topic" else "device": token_hash,
    }


def _deaths(cursor: Cursor[Any], hashes: dict[int, str]) -> dict[int, Death]:
    """What is known of the devices of these sends, by send token."""
    if not hashes:
        return {}
    cursor.execute(DEAD, {"hashes": _json(set(hashes.values()))})
    known = {token: Death(*found) for token, *found in cursor.fetchall()}
    return {send_token: known[digits] for send_token, digits in hashes.items() if digits in known}


def _is_remembered(delivery: Delivery, death: Death) -> bool:
    """Whether it is not tried. A row that was there before is: a resend is a person's wish to try."""
    is_newer = delivery.registered_at is not None and delivery.registered_at > death.died_at
    return death.in_force and delivery.id is None and not is_newer


def _not_tried(delivery: Delivery, death: Death) -> Hold:
    reason = f"{NOT_TRIED} the provider said {death.code} of this device on {death.died_at:%Y-%m-%d at %H:%M} UTC."
    return Hold(delivery.send_token, delivery.notification_id, Status.FAILED, death.code, reason)


def _braked(cursor: Cursor[Any], deliveries: list[Delivery], hashes: dict[int, str], hand: Hand) -> dict[int, Hold]:
    """Holds of those for which a brake is on and whose place on its ramp has not come; they are given one."""
    keys = {d.send_token: set(brake_keys(d, hashes[d.send_token], hand.worker_id).values()) for d in deliveries}
    brakes = _brakes(cursor, set().union(*keys.values())) if keys else []
    held: dict[int, Hold] = {}
    for brake in brakes:
        asking = [d for d in deliveries if brake["key"] in keys[d.send_token] and d.brake_round != brake["round"]]
        for hold in _given(brake, asking):
            if hold.send_token not in held or (hold.wait or 0) > (held[hold.send_token].wait or 0):
                held[hold.send_token] = hold
    if brakes:
        cursor.execute(TAKE_PLACES, rows([{"key": brake["key"], "taken": brake["taken"]} for brake in brakes]))
    return held


def _brakes(cursor: Cursor[Any], keys: set[str]) -> list[dict[str, Any]]:
    with cursor.connection.cursor(row_factory=dict_row) as reading:
        return reading.execute(BRAKES, {"keys": _json(keys)}).fetchall()


def _given(brake: dict[str, Any], deliveries: list[Delivery]) -> Iterator[Hold]:
    """Gives each a place, and yields the holds of those whose place is still to come."""
    times, brake["taken"] = places(max(brake["since"], brake["taken"], 0.0), len(deliveries), brake["pace"])
    for delivery, time in zip(deliveries, times, strict=True):
        wait = time - brake["since"]
        if brake["since"] < 0 or wait > EARLY:
            yield Hold(
                delivery.send_token,
                delivery.notification_id,
                Status.PENDING,
                brake["code"],
                brake["advice"],
                brake["round"],
                wait,
            )


def _json(texts: Any) -> str:
    return orjson.dumps(list(texts)).decode()
