"""What the fields of a push request may hold: ids that can travel in an address, seconds, counts, names for FCM."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from deliveries.faults import LABEL, NO_CONTROL, TOPIC

MAX_TTL = 28 * 24 * 3600
#: FCM counts in 32 bits.
MAX_COUNT = 2**31 - 1

#: Ids travel in addresses and headers, where a control character would break the request.
Id = Annotated[str, StringConstraints(min_length=1, max_length=255, strip_whitespace=True, pattern=NO_CONTROL)]


NOBODY = frozenset({".", ".."})


def _names_somebody(id: str) -> str:
    if id in NOBODY:
        raise ValueError("should not be . or .., which lead elsewhere in an address")
    return id


#: Those that become a segment of an address.
SegmentId = Annotated[Id, AfterValidator(_names_somebody)]


def whole(number: object) -> object:
    """JSON has one kind of number: 5.0 is 5."""
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _count(said: object) -> object:
    """Some write it as a text. Of more digits nothing is counted."""
    is_number = isinstance(said, str) and said.isascii() and said.isdigit() and len(said) < 10
    return int(str(said)) if is_number else whole(said)


#: What else is plainly true or false.
FLAGS = {0: False, 1: True, "false": False, "true": True}


def _flag(said: object) -> object:
    return FLAGS.get(said, said) if isinstance(said, str | int | float) else said


Seconds = Annotated[int, Field(strict=True, ge=0, le=MAX_TTL), BeforeValidator(whole)]
Count = Annotated[int, Field(strict=True, ge=0, le=MAX_COUNT), BeforeValidator(_count)]
Flag = Annotated[bool, Field(strict=True), BeforeValidator(_flag)]

#: The name of something that the app has: a sound, a channel.
Name = Annotated[str, Field(max_length=255)]

#: By which Google's statistics tell pushes apart.
Label = Annotated[str, StringConstraints(strict=True, pattern=LABEL)]


def _bare(topic: str) -> str:
    return topic.removeprefix("/topics/")


#: In FCM's HTTP v1 a topic goes by its bare name; the legacy API had a path before it.
Topic = Annotated[str, StringConstraints(strict=True, pattern=TOPIC), AfterValidator(_bare)]
