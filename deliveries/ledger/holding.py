"""Holding: what keeps a claimed send from beginning. A brake is on for it, or its token is remembered as dead."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from psycopg import Cursor
from psycopg.rows import dict_row

from deliveries.ledger.change import Hand, rows
from deliveries.masking import token_hash
from deliveries.models import Status
from deliveries.ramp import RAMP, Ramp
from deliveries.work import Delivery

#: Seconds before its place at which a send may begin: less than anybody's clock or the way to FCM is exact.
EARLY = 0.02

#: How the reason begins of a delivery that nobody has tried.
NOT_TRIED = "Not tried:"

#: When the ramp of a brake `b` is climbed and nobody has a place on it any more; until then it is on.
LAST = f"b.until + make_interval(secs => greatest(b.taken, b.taken_urgent, {RAMP}))"
IS_ON = f"{LAST} > now()"

#: Seconds since its pause was over; negative before.
SINCE = "extract(epoch FROM now() - b.until)::float8"

#: Seconds after which a push is due again that this process may not send: another one takes it as soon as it can.
NOT_MINE = 1.0

# One lock for all brakes, until the transaction ends: there are hardly ever any, and of two workers that put some on
# and ask for others each would else wait for the other, in whatever order they are locked one by one.
LOCK = "SELECT pg_advisory_xact_lock(hashtext('brakes'))"

# Both at once, as hardly ever there is either. Arrays, which are looked up in the index whatever the tables' sizes were
# when the plan was made: from a set of rows PostgreSQL may well go the other way round, through all dead tokens.
LOOK = f"""
SELECT token_hash, error_code, died_at, coalesce(remembered_until > now(), false) AND held_at IS NULL
FROM dead_tokens WHERE token_hash = ANY(string_to_array(%(hashes)s, ','))
UNION ALL
SELECT '', key, NULL, NULL FROM brakes b WHERE key = ANY(string_to_array(%(keys)s, ',')) AND {IS_ON}
"""

# In the order in which they are asked: who is held by one asks no other yet.
BRAKES = f"""
SELECT key, scope, round, code, advice, pace, full_pace, taken, taken_urgent, {SINCE} AS since
FROM brakes b WHERE key = ANY(string_to_array(%(keys)s, ','))
ORDER BY array_position(ARRAY['operator', 'process', 'project'], scope::text)
"""

TAKE_PLACES = """
UPDATE brakes b SET taken = i.taken, taken_urgent = i.taken_urgent
FROM json_to_recordset(%(rows)s::json) AS i(key text, taken float8, taken_urgent float8)
WHERE b.key = i.key
"""

# As a notification does, nobody waits beyond the expiry: an operator's pause may last for years.
HOLD = """
UPDATE push_deliveries d
SET status = i.status, error_code = i.code, error_message = i.reason, brake_round = i.round, updated_at = now(),
    next_attempt_at = CASE WHEN i.wait IS NOT NULL THEN least(
        now() + make_interval(secs => i.wait),
        (SELECT expires_at FROM notifications n WHERE n.notification_id = d.notification_id)) END
FROM json_to_recordset(%(rows)s::json) AS i(
    send_token bigint, notification_id text, status text, code text, reason text, round bigint, wait float8)
WHERE d.notification_id = i.notification_id AND d.send_token = i.send_token AND d.status = 'sending'
"""

HELD_BEFORE = """
SELECT d.id, d.send_token, d.notification_id, d.status, d.error_code AS code, d.error_message AS reason,
       d.brake_round AS round, extract(epoch FROM d.next_attempt_at - now())::float8 AS wait
FROM json_to_recordset(%(rows)s::json) AS i(notification_id text, send_token bigint)
JOIN push_deliveries d ON d.notification_id = i.notification_id AND d.send_token = i.send_token
WHERE d.status <> 'sending'
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
    if not deliveries:
        return {}, frozenset()
    hashes = {delivery.send_token: token_hash(delivery.device_token) for delivery in deliveries}
    deaths, brakes = _looked_up(cursor, deliveries, hashes, hand)
    held = {
        delivery.send_token: _not_tried(delivery, death)
        for delivery in deliveries
        if (death := deaths.get(delivery.send_token)) and _is_remembered(delivery, death)
    }
    if brakes:
        held |= _braked(cursor, [d for d in deliveries if d.send_token not in held], hashes, brakes, hand)
    if held:
        cursor.execute(HOLD, rows(list(held.values())))
    return held, frozenset(deaths)


def held_before(cursor: Cursor[Any], deliveries: Sequence[Delivery]) -> tuple[dict[int, int], dict[int, Hold]]:
    """Of sends that this very claim has held back already, before its answer was lost: ids and holds by send token."""
    with cursor.connection.cursor(row_factory=dict_row) as reading:
        found = {row["send_token"]: row for row in reading.execute(HELD_BEFORE, rows(deliveries)).fetchall()}
    ids = {token: row.pop("id") for token, row in found.items()}
    return ids, {token: Hold(**row | {"status": Status(row["status"])}) for token, row in found.items()}


def brake_keys(delivery: Delivery, token_hash: str, worker_id: UUID | None) -> dict[str, str]:
    """The keys of the brakes that hold for a delivery, by scope."""
    return {
        "operator": pause_key(delivery.provider),
        "project": delivery.provider,
        "process": process_key(worker_id, delivery.provider),
        "topic" if delivery.target == "topic" else "device": token_hash,
    }


def process_key(worker_id: UUID | None, provider: str) -> str:
    """The key of the brake for all that one process sends through one provider."""
    return f"{worker_id}/{provider}"


def pause_key(provider: str) -> str:
    """The key of the brake by which operators pause a provider, whatever brakes it puts on by itself."""
    return f"operator/{provider}"


def _looked_up(
    cursor: Cursor[Any], deliveries: Sequence[Delivery], hashes: dict[int, str], hand: Hand
) -> tuple[dict[int, Death], list[str]]:
    """What is known of the devices of these sends, by send token, and the keys of the brakes that are on for any."""
    digits = ",".join(hashes.values())
    names = {delivery.provider for delivery in deliveries}
    wide = [key for name in names for key in (name, process_key(hand.worker_id, name), pause_key(name))]
    cursor.execute(LOOK, {"hashes": digits, "keys": ",".join([digits, *wide])})
    found = cursor.fetchall()
    known = {hashed: Death(*death) for hashed, *death in found if hashed}
    deaths = {send_token: known[hashed] for send_token, hashed in hashes.items() if hashed in known} if known else {}
    return deaths, [key for hashed, key, *_ in found if not hashed]


def _is_remembered(delivery: Delivery, death: Death) -> bool:
    """Whether it is not tried (again): its token has died since it was known, or wished, to be alive."""
    return death.in_force and (delivery.alive_at is None or delivery.alive_at <= death.died_at)


def _not_tried(delivery: Delivery, death: Death) -> Hold:
    begins = "Not tried again:" if delivery.attempts else NOT_TRIED
    reason = f"{begins} the provider said {death.code} of this device on {death.died_at:%Y-%m-%d at %H:%M} UTC."
    return Hold(delivery.send_token, delivery.notification_id, Status.FAILED, death.code, reason)


def _braked(
    cursor: Cursor[Any], deliveries: list[Delivery], hashes: dict[int, str], brakes: list[str], hand: Hand
) -> dict[int, Hold]:
    """Holds of those for which a brake is on and whose place on its ramp has not come; they are given one."""
    held: dict[int, Hold] = {}
    asked = []
    for brake in _locked(cursor, brakes):
        asking = [
            d
            for d in deliveries
            if d.send_token not in held
            and d.brake_round != brake["round"]
            and brake["key"] in brake_keys(d, hashes[d.send_token], hand.worker_id).values()
        ]
        for lane, urgent in (("taken", False), ("taken_urgent", True)):
            if on_lane := [d for d in asking if d.urgent == urgent]:
                held |= {hold.send_token: hold for hold in _given(brake, lane, on_lane)}
                asked.append(brake)
    if asked:
        cursor.execute(TAKE_PLACES, rows(asked))
    return held


def _locked(cursor: Cursor[Any], keys: list[str]) -> list[dict[str, Any]]:
    cursor.execute(LOCK)
    with cursor.connection.cursor(row_factory=dict_row) as reading:
        return reading.execute(BRAKES, {"keys": ",".join(keys)}).fetchall()


def _given(brake: dict[str, Any], lane: str, deliveries: list[Delivery]) -> Iterator[Hold]:
    """Gives each a place, and yields the holds of those whose place is still to come.

    A process that is not let in keeps no place for anybody: what it does not try now is anybody's in a moment.
    """
    ramp, since = Ramp(brake["pace"], brake["full_pace"]), brake["since"]
    first = max(since, brake[lane], 0.0)
    times, brake[lane] = ramp.places(first, len(deliveries))
    late = [place for place, time in enumerate(times) if since < 0 or time - since > EARLY]
    of_process = brake["scope"] == "process"
    if of_process:
        _, brake[lane] = ramp.places(first, len(times) - len(late))
    for place in late:
        delivery = deliveries[place]
        yield Hold(
            delivery.send_token,
            delivery.notification_id,
            Status.PENDING,
            brake["code"],
            brake["advice"],
            delivery.brake_round if of_process else brake["round"],
            NOT_MINE if of_process else times[place] - since,
        )
