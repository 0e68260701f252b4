"""What is shown of device tokens and other secrets: enough to tell two apart, too little to use one."""

from __future__ import annotations

import hashlib
import re
from typing import Any

HIDDEN = "…"

#: Digits of a hash that are enough to find the device again.
FINGERPRINT = 8

#: Shorter than this, even its ends would give a token away.
SHORTEST_WITH_ENDS = 24

#: Names under which producers put tokens and secrets, wherever they stand in a message.
TELLING_NAME = re.compile(
    r"token|secret|password|authorization|api_?key|^(recipient|to|fid|installation_id|endpoint|p256dh|auth)$",
    re.IGNORECASE,
)

#: The same in text that is no JSON, or was cut: a name in quotes, and all that stands behind it.
TELLING_PAIR = re.compile(
    r'("(?:[^"]{0,40}?(?:token|secret|password|authorization|api_?key)[^"]{0,40}|endpoint|p256dh|auth)"\s*:\s*)'
    r'("(?:[^"\\]|\\.)*"?|\[[^\]]*\]?)',
    re.IGNORECASE,
)

#: And where nothing is in quotes: `api_key=…`, `Authorization: Bearer …`. A short word after a colon is a sentence.
PAIR = re.compile(r"(?<![\w-])([\w-]{1,80})(\s?[=:]\s?)(?:bearer\s|key=)?[^\s,;\"'{}]{8,}", re.IGNORECASE)

#: A run as long as this is no word of any language: registrations have 140 characters and more.
TOKEN_LIKE = re.compile(r"[\w:.-]{80,}", re.ASCII)


def mask(token: str) -> str:
    """`abcd…wxyz`; of a short one nothing, nor of a browser's subscription, whose ends are those of any JSON."""
    has_ends = len(token) >= SHORTEST_WITH_ENDS and not token.startswith("{")
    return f"{token[:4]}{HIDDEN}{token[-4:]}" if has_ends else HIDDEN


def token_hash(token: str) -> str:
    """The SHA-256 in hexadecimal digits, by which tokens are looked for."""
    return hashlib.sha256(token.encode()).hexdigest()


def fingerprint(token: str) -> str:
    """The first 8 hexadecimal digits of the SHA-256: the same for the same token, everywhere."""
    return token_hash(token)[:FINGERPRINT]


def conceal(document: Any) -> Any:
    """A JSON document with everything masked that is, or by its name may be, a token or a secret."""
    if isinstance(document, dict):
        return {
            conceal_text(name): _all_masked(value) if TELLING_NAME.search(name) else conceal(value)
            for name, value in document.items()
        }
    if isinstance(document, list):
        return [conceal(item) for item in document]
    return conceal_text(document) if isinstance(document, str) else document


def conceal_text(text: str) -> str:
    """Text with whatever looks like a device token, or is called a secret, masked."""
    text = TELLING_PAIR.sub(rf'\1"{HIDDEN}"', text)
    text = PAIR.sub(lambda pair: f"{pair[1]}{pair[2]}{HIDDEN}" if TELLING_NAME.search(pair[1]) else pair[0], text)
    return TOKEN_LIKE.sub(lambda found: mask(found.group()), text)


def _all_masked(value: Any) -> Any:
    """Under a telling name every text is masked; lists and objects keep their shape."""
    if isinstance(value, dict):
        return {conceal_text(name): _all_masked(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_all_masked(item) for item in value]
    return mask(value) if isinstance(value, str) else value
