"""Terminals for commands: somebody who watches, and somebody who presses Ctrl-C."""

import io
import signal


class Terminal(io.StringIO):
    """Somebody watches."""

    def isatty(self) -> bool:
        return True


class Impatient(Terminal):
    """Presses Ctrl-C when a word is shown."""

    def __init__(self, word: str) -> None:
        super().__init__()
        self._word = word

    def write(self, text: str) -> int:
        if self._word in text:
            signal.raise_signal(signal.SIGINT)
        return super().write(text)
