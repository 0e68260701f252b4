"""Google's JSON parser in front of FCM: names, types, enums, durations, and its complaints.

Source: the JSON mapping of protocol buffers, https://protobuf.dev/programming-guides/json/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import orjson

_FCM = "type.googleapis.com/google.firebase.fcm.v1."
_WELL_KNOWN = "type.googleapis.com/google.protobuf."
_DURATION = re.compile(r"-?\d{1,12}(\.\d{1,9})?s")
_TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


class Violations(list[tuple[str, str]]):
    """(path, description) of everything wrong with a body, in Google's words.

    Both methods answer None, so that a check can end with `return found.wrong(…)`.
    """

    def unknown(self, parent: str, name: str, why: str = "Cannot find field.") -> Any:
        at = f" at '{parent}'" if parent else ""
        text = f"Invalid JSON payload received. Unknown name {_shown(name)}{at}: {why}"
        self.append((parent, text))

    def wrong(self, path: str, kind: str, value: Any, why: str = "") -> Any:
        if isinstance(value, list):
            parent, _, name = path.rpartition(".")
            return self.unknown(parent, name, "Proto field is not repeating, cannot start list.")
        if isinstance(value, dict):
            why = "Starting an object on a scalar field"
        self.append((path, f"Invalid value at '{path}' ({kind}), {why or _shown(value)}"))
        return None


Check = Callable[[Any, str, Violations], Any]
"""Takes (value, path, violations); answers the value as FCM understands it, None when it cannot."""


def message(type_name: str, **fields: Check) -> Check:
    """An object with these fields (snake_case here; camelCase is accepted too) and no others."""
    names = {spelling: name for name in fields for spelling in (name, _camel(name))}

    def check(value: Any, path: str, found: Violations) -> Any:
        if not isinstance(value, dict):
            return found.wrong(path, _FCM + type_name, value)
        taken = {}
        for key, inner in value.items():
            if (name := names.get(key)) is None:
                found.unknown(path, key)
            elif inner is not None:  # null is "not set"
                taken[name] = fields[name](inner, f"{path}.{name}" if path else name, found)
        return taken

    return check


def repeated(item: Check) -> Check:
    def check(value: Any, path: str, found: Violations) -> Any:
        if not isinstance(value, list):
            parent, _, name = path.rpartition(".")
            return found.unknown(parent, name, "Proto field is repeating, expected a list.")
        return [item(inner, f"{path}[{i}]", found) for i, inner in enumerate(value)]

    return check


def enum(type_name: str, values: str) -> Check:
    """One of the space-separated values by name, in any case as SDKs send it, or by number."""
    names = values.split()

    def check(value: Any, path: str, found: Violations) -> Any:
        if isinstance(value, str) and value.upper() in names:
            return value.upper()
        if type(value) is int and 0 <= value < len(names):
            return names[value]
        return found.wrong(path, _FCM + type_name, value)

    return check


def string(value: Any, path: str, found: Violations) -> Any:
    return value if isinstance(value, str) else found.wrong(path, "TYPE_STRING", value)


def boolean(value: Any, path: str, found: Violations) -> Any:
    return value if isinstance(value, bool) else found.wrong(path, "TYPE_BOOL", value)


def int32(value: Any, path: str, found: Violations) -> Any:
    number = _number(value)
    if number is None or number != int(number) or not -(2**31) <= number < 2**31:
        return found.wrong(path, "TYPE_INT32", value)
    return int(number)


def float32(value: Any, path: str, found: Violations) -> Any:
    number = _number(value)
    return found.wrong(path, "TYPE_FLOAT", value) if number is None else number


def duration(value: Any, path: str, found: Violations) -> Any:
    """Seconds; on the wire a decimal text that ends with `s`."""
    if isinstance(value, str) and _DURATION.fullmatch(value):
        return float(value[:-1])
    why = "Illegal duration format; duration must end with 's'"
    return found.wrong(path, _WELL_KNOWN + "Duration", value, why)


def timestamp(value: Any, path: str, found: Violations) -> Any:
    if isinstance(value, str) and _TIMESTAMP.fullmatch(value):
        return value
    why = "Illegal timestamp format; timestamps must end with 'Z' or have a valid timezone offset"
    return found.wrong(path, _WELL_KNOWN + "Timestamp", value, why)


def struct(value: Any, path: str, found: Violations) -> Any:
    return value if isinstance(value, dict) else found.wrong(path, _WELL_KNOWN + "Struct", value)


def strings(value: Any, path: str, found: Violations) -> Any:
    """A map of strings to strings."""
    if not isinstance(value, dict):
        return found.wrong(path, "TYPE_MESSAGE", value)
    for i, inner in enumerate(value.values()):
        string(inner, f"{path}[{i}].value", found)
    return value


def _number(value: Any) -> float | None:
    if isinstance(value, bool):
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < 1e39 else None  # NaN and infinities as well


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def _shown(value: Any) -> str:
    return orjson.dumps(value).decode()
