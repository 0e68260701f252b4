#!/usr/bin/env python
"""The command line: `manage.py help` lists the commands."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pushproject.settings")
    try:
        from django.core.management import execute_from_command_line  # noqa: PLC0415
    except ImportError:
        sys.exit("Django is not installed here: `make demo` or `pip install -r requirements.txt`.")
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
