"""What is wrong with somebody's JSON, in the words of those who wrote it: pydantic's are for those who write Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

#: The control characters, for a pattern's brackets. They would break addresses, headers and lines.
CONTROL = r"\x00-\x1f\x7f"
NO_CONTROL = rf"^[^{CONTROL}]+$"
NO_NUL = r"^[^\x00]*$"
#: What FCM takes as an analytics label and as a topic.
LABEL = r"^[a-zA-Z0-9\-_.~%]{1,50}$"
TOPIC = r"^(/topics/)?[a-zA-Z0-9\-_.~%]{1,900}$"

_PATTERNS = {
    NO_CONTROL: "should have no control characters",
    NO_NUL: "should not contain the NUL character, which cannot be stored",
    LABEL: "should have 1 to 50 characters, each a letter of a-z or A-Z, a digit or one of - _ . ~ %",
    TOPIC: "should have 1 to 900 characters, each a letter of a-z or A-Z, a digit or one of - _ . ~ %",
}
_SENTENCES = {
    "missing": "is needed",
    "extra_forbidden": "is not known here",
    "string_type": "should be a text",
    "int_type": "should be a whole number",
    "int_parsing": "should be a whole number",
    "int_from_float": "should be a whole number",
    "bool_type": "should be true or false",
    "dict_type": "should be an object",
    "model_type": "should be an object",
    "model_attributes_type": "should be an object",
}
_KINDS = {dict: "an object", list: "a list", str: "a text", bool: "a boolean", type(None): "null"}


def kind(value: object) -> str:
    """What kind of JSON it is."""
    return _KINDS.get(type(value), "a number")


def faults(error: ValidationError) -> list[tuple[str, str]]:
    """Each field at fault, with what is wrong with it; the whole document has an empty name."""
    found: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        # What stands behind the field names a member of a union, or a place in a value that is read as a whole.
        field, sentence = str((*one["loc"], "")[0]), _sentence(one)
        if sentence not in found.setdefault(field, []):
            found[field].append(sentence)
    return [(field, " or ".join(sentences).replace(" or should be ", " or ")) for field, sentences in found.items()]


def _sentence(error: Mapping[str, Any]) -> str:
    if error["type"] == "string_pattern_mismatch":
        return _PATTERNS.get(error["ctx"]["pattern"], "is not of the form that it should have")
    written: str = error["msg"]
    return _SENTENCES.get(error["type"]) or written.removeprefix("Value error, ").removeprefix("Input ").replace(
        "String should", "should"
    )
