"""What operators do to notifications, dead letters, tokens and brakes, once for every door (API, console, commands)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import dramatiq
from django.conf import settings

from deliveries.ledger import Lift, Pause, Resume, direct
from deliveries.ledger.audit import Audited
from deliveries.ledger.cancelling import Cancel
from deliveries.ledger.judging import Believe, Forget
from deliveries.ledger.redriving import Discard, Redrive
from deliveries.ledger.resending import Resend
from deliveries.models import Brake, DeadLetter
from deliveries.redriving import NotReadable, redrive_of

#: Who does it and why; both are kept. `actor` is `user ada`, `key gateway` or `shell root@host`.
Who = Audited

DONE = frozenset(
    {
        "resent",
        "cancelling",
        "redriven",
        "known",
        "discarded",
        "believed",
        "forgotten",
        "lifted",
        "paused",
        "resumed",
        "revoked",
    }
)

SENTENCES = {
    "resent": "It is being sent again.",
    "unknown_notification": "There is no such notification.",
    "unknown_delivery": "The notification has no such delivery.",
    "under_way": "A worker has it in hand, or it waits for its next attempt: let that end first.",
    "changed": "It has been sent again since you looked.",
    "just_resent": "It was sent again a moment ago: this counts as the same request.",
    "sample": "It is sample history of the demo: there is nobody to send it to.",
    "already_sent": "It was accepted before. Only by force is it sent again.",
    "cancelling": "It ends before its next send.",
    "ended": "It has already ended.",
    "redriven": "It is accepted now.",
    "known": "A notification with its id is there already; the dead letter is closed.",
    "not_open": "It is not open: it was redriven or discarded before, or it does not exist.",
    "discarded": "It is closed for good.",
    "believed": "It counts as dead.",
    "not_held": "It is not held: somebody has decided before, or it is not there any more.",
    "forgotten": "It counts as living.",
    "unknown_token": "It is not there any more.",
    "revoked": "Calls with it answer 401 from now on.",
    "lifted": "Sends climb back to their full pace.",
    "over": "It was over already.",
    "paused": "Nothing is sent through it until somebody resumes.",
    "paused_before": "It is paused already.",
    "awaits_resume": "An operator has paused it: resume it on the page of providers.",
    "resumed": "What waited is sent, and sends climb back to their full pace within a minute.",
    "not_paused": "It is not paused.",
    "not_valid": "It is not valid any more.",
}

MAY_REPEAT = "The outcome of an earlier send is unknown: it may arrive twice."


@dataclass(frozen=True, slots=True)
class Target:
    """What to resend: a notification, or only the deliveries named.

    `seen` is the notification's count of resends as the asker saw it: another one now means that somebody was faster.
    """

    notification_id: str
    delivery_ids: tuple[int, ...] | None = None
    seen: int | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it for one subject (id of a notification or dead letter, a key's name): a code and a sentence."""

    subject: str
    code: str
    sentence: str
    warning: str = ""

    @classmethod
    def of(cls, subject: object, code: str, warning: str = "") -> Outcome:
        return cls(str(subject), code, SENTENCES[code], warning)

    @property
    def done(self) -> bool:
        return self.code in DONE


def resend(targets: Sequence[Target], who: Who, *, force: bool = False) -> list[Outcome]:
    """Makes ended notifications due again, at once, with a fresh lookup; one outcome for each target, in order.

    What was accepted before is sent again only with `force`. Raises django.db.Error.
    """
    wishes = {wish.notification_id: wish for wish in _one_for_each(targets, who, force)}
    results = dict(zip(wishes, direct.write(list(wishes.values())), strict=True))
    _wake([id for id, result in results.items() if result.code == "resent"])
    return [
        Outcome.of(target.notification_id, result.code, MAY_REPEAT if result.unknown else "")
        for target in targets
        for result in (results[target.notification_id],)
    ]


def cancel(notification_ids: Sequence[str], who: Who) -> list[Outcome]:
    """Ends them before their next send; one outcome for each, in order. Raises django.db.Error."""
    codes = [code for id in notification_ids for code in direct.write([Cancel(id, who)])]
    _wake([id for id, code in zip(notification_ids, codes, strict=True) if code == "cancelling"])
    return [Outcome.of(id, code) for id, code in zip(notification_ids, codes, strict=True)]


def redrive(letter_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Puts dead letters back: reads a message again, resends what was given up. One outcome for each, in order.

    Raises django.db.Error.
    """
    letters = DeadLetter.objects.in_bulk(list(letter_ids))
    open_ = {id: letter for id, letter in letters.items() if letter.state == DeadLetter.State.OPEN}
    outcomes = {id: Outcome.of(id, "not_open") for id in letter_ids}
    outcomes |= _resent(open_, who)
    outcomes |= _accepted(open_, who)
    return [outcomes[id] for id in letter_ids]


def discard(letter_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Closes dead letters for good. Raises ValueError without a reason, django.db.Error."""
    if not who.reason:
        raise ValueError("A dead letter is discarded for a reason: say which.")
    codes = direct.write([Discard(id, who) for id in letter_ids])
    return [Outcome.of(id, code) for id, code in zip(letter_ids, codes, strict=True)]


def believe(token_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Lets held tokens count as dead; one outcome for each, in order. Raises django.db.Error."""
    tells = settings.PUSH.user_service_dead_token_path is not None
    codes = direct.write([Believe(id, who, tells) for id in token_ids])
    return [Outcome.of(id, code) for id, code in zip(token_ids, codes, strict=True)]


def forget(token_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Lets dead tokens, held or not, count as living; one outcome for each, in order. Raises django.db.Error."""
    codes = direct.write([Forget(id, who) for id in token_ids])
    return [Outcome.of(id, code) for id, code in zip(token_ids, codes, strict=True)]


def lift(brake_ids: Sequence[int], who: Who) -> list[Outcome]:
    """Ends pauses: the workers make due what waits for them. One outcome for each, in order. Raises django.db.Error."""
    brakes = Brake.objects.in_bulk(list(brake_ids))
    return [Outcome.of(id, _lifted(brakes[id], who) if id in brakes else "over") for id in brake_ids]


def pause(provider: str, who: Who) -> Outcome:
    """Holds up all that a provider sends, until it is resumed. Raises ValueError without a reason, django.db.Error."""
    if not who.reason:
        raise ValueError("A provider is paused for a reason: say which.")
    [paused] = direct.write([Pause(provider, settings.PUSH.fcm_quota / 60, who)])
    return Outcome.of(provider, "paused" if paused else "paused_before")


def resume(provider: str, who: Who) -> Outcome:
    """Ends that pause: the workers make due what waits for it. Raises django.db.Error."""
    [resumed] = direct.write([Resume(provider, who)])
    return Outcome.of(provider, "resumed" if resumed else "not_paused")


def _lifted(brake: Brake, who: Who) -> str:
    if brake.awaits_a_person:
        return "awaits_resume"
    return "lifted" if direct.write([Lift(brake.key, by=who)]) == [True] else "over"


def _one_for_each(targets: Sequence[Target], who: Who, force: bool) -> Iterator[Resend]:
    """One resend for each notification, of all the deliveries that were named."""
    by_id: dict[str, list[Target]] = {}
    for target in targets:
        by_id.setdefault(target.notification_id, []).append(target)
    for id, same in by_id.items():
        named = [delivery for target in same for delivery in target.delivery_ids or ()]
        everything = any(target.delivery_ids is None for target in same)
        yield Resend(id, who, None if everything else tuple(named), same[0].seen, force)


def _resent(letters: Mapping[int, DeadLetter], who: Who) -> dict[int, Outcome]:
    """Letters of notifications whose attempts were used up: those get new ones."""
    given_up = {id: letter.notification_id or "" for id, letter in letters.items() if letter.code == "exhausted"}
    outcomes = resend([Target(notification_id) for notification_id in given_up.values()], who)
    return {
        id: Outcome(str(id), outcome.code, outcome.sentence, outcome.warning)
        for id, outcome in zip(given_up, outcomes, strict=True)
    }


def _accepted(letters: Mapping[int, DeadLetter], who: Who) -> dict[int, Outcome]:
    """Letters of messages that could not be read: what can be read by now is accepted."""
    outcomes: dict[int, Outcome] = {}
    wishes: list[Redrive] = []
    for id, letter in letters.items():
        if letter.code == "exhausted":
            continue
        try:
            wishes.append(redrive_of(letter, who))
        except NotReadable as unreadable:
            outcomes[id] = Outcome(str(id), unreadable.code, str(unreadable))
    codes = direct.write(wishes)
    _wake([wish.accept.request.notification_id for wish, code in zip(wishes, codes, strict=True) if code == "redriven"])
    return outcomes | {w.letter_id: Outcome.of(w.letter_id, code) for w, code in zip(wishes, codes, strict=True)}


def _wake(ids: list[str]) -> None:
    """Lets a worker have them at once; a wake-up that is lost costs a second."""
    if ids:
        dramatiq.get_broker().wake(ids)  # type: ignore[attr-defined]
