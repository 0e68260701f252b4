"""One line on a terminal that says what goes on; nothing where nobody watches."""

import sys


def show(text: str) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()


def clear() -> None:
    show("")
