"""Django's secret key: the given one or, where one machine does everything, one that is kept."""

import os
from pathlib import Path

from django.utils.crypto import get_random_string

from pushproject.environment import Environment, refuse


def secret_key(environment: Environment) -> str:
    """The key; ends the process when a generated one cannot be kept."""
    if environment.secret_key is not None:
        return environment.secret_key.get_secret_value()
    path = environment.var_dir / "secret_key"
    try:
        return _kept(path)
    except OSError as error:
        fix = "Fix: set SECRET_KEY or VAR_DIR."
        refuse(f"SECRET_KEY: {path} cannot be kept ({error.strerror}). {fix}")


def _kept(path: Path) -> str:
    """The first process to come decides: linking a finished file fails when there is one."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f"{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600)
        fresh.write_text(get_random_string(60))
        try:
            os.link(fresh, path)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()
