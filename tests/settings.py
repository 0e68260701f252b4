"""The service's settings under test: nothing from a developer's `.env`, plain http, cheap passwords."""

import os

os.environ.setdefault("ENV_FILE", "")
os.environ.setdefault("SECRET_KEY", "only-for-tests-0123456789-abcdefghijklmnopqrstuvwxyz-!")
os.environ.setdefault("INSECURE_HTTP", "true")

from pushproject.settings import *  # noqa: F403

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
