"""Debian's Chromium: found, or installed. `python -m tests.browser.chromium` says where it is, or why it is not."""

import os
import shutil
import sys

from tests import packages
from tests.processes import ServiceError

NAMES = ("chromium", "chromium-browser", "google-chrome")
#: Whatever a page might ask for elsewhere has no address.
ALONE = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"


def find() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def install() -> str:
    """The browser's path, installed by apt-get if need be. Raises ServiceError with one line."""
    if not find():
        packages.install("chromium")
    if path := find():
        return path
    raise ServiceError("Chromium is not installed, nor can it be from here: install chromium.")


def options() -> list[str]:
    """Chromium's sandbox does not work under root."""
    return [ALONE, *(["--no-sandbox"] if os.geteuid() == 0 else [])]


def main() -> int:
    try:
        sys.stdout.write(f"{install()}\n")
    except ServiceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
