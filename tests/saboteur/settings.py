"""The settings under test, with the saboteur that the variable SABOTEUR names as one more app."""

import os

from tests.settings import *  # noqa: F403

INSTALLED_APPS = [*INSTALLED_APPS, os.environ["SABOTEUR"]]  # noqa: F405
