"""`python -m sandbox` starts the stand-in world."""

from __future__ import annotations

import sys

from sandbox.book import BookError
from sandbox.options import Options, parse
from sandbox.server import serve

try:
    from uvloop import run
except ImportError:  # no wheel for this platform: slower, and otherwise the same
    from asyncio import run  # type: ignore[assignment]


def main(options: Options) -> None:
    """Serve; ends the process with code 1 and a sentence when it cannot start."""
    try:
        run(serve(options))
    except BookError as wrong:
        sys.exit(f"sandbox: {wrong}")
    except OSError as wrong:
        sys.exit(f"sandbox: cannot start on {options.host}:{options.port}: {wrong}")


if __name__ == "__main__":
    main(parse())
