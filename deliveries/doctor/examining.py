"""Runs every examination, side by side and against the clock, so that one broken thing does not hide the others."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from threading import Thread

from deliveries.doctor import configuration, database, fcm, ledger, neighbours, rabbitmq, webpush
from deliveries.doctor.findings import Examination, Finding, failed

#: Seconds for everything. What has not ended by then is not waited for.
DEADLINE = 14.0

EXAMINATIONS: Mapping[str, Examination] = {
    "settings": configuration.examine,
    "database": database.examine,
    "ledger": ledger.examine,
    "RabbitMQ": rabbitmq.examine,
    "FCM": fcm.examine,
    "Web Push": webpush.examine,
    "user service": partial(neighbours.examine, "user service"),
    "template service": partial(neighbours.examine, "template service"),
    "gateway": partial(neighbours.examine, "gateway"),
}


class Running:
    """An examination in a thread of its own, which does not keep the process from ending."""

    def __init__(self, name: str, examination: Examination) -> None:
        self._name = name
        self._examination = examination
        self._found: list[Finding] = []
        self._thread = Thread(target=self._run, name=f"examine {name}", daemon=True)
        self._thread.start()

    def found_by(self, deadline: float) -> list[Finding]:
        """What it has found by then, by the monotonic clock."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        if self._thread.is_alive():
            late = "its examination did not end in time."
            return [
                *self._found,
                failed(self._name, late, "Something hangs: see what else is said of it, and try again."),
            ]
        return self._found

    def _run(self) -> None:
        try:
            for finding in self._examination():
                self._found.append(finding)
        except Exception as error:  # noqa: BLE001 - whatever it is, the other examinations go on
            frame = traceback.extract_tb(error.__traceback__)[-1]
            what = f"its examination broke off: {type(error).__name__} in {Path(frame.filename).name}:{frame.lineno}."
            self._found.append(failed(self._name, what, "This is a fault of the doctor's own: please report it."))


def examine() -> list[Finding]:
    """Everything that there is to say, within DEADLINE; raises nothing."""
    deadline = time.monotonic() + DEADLINE
    running = [Running(name, examination) for name, examination in EXAMINATIONS.items()]
    return [finding for one in running for finding in one.found_by(deadline)]
