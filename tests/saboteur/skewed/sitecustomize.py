"""On a process's PYTHONPATH it sets the process's wall clock off by SKEW seconds; its monotonic clock goes right."""

import os
from datetime import UTC, datetime, timedelta

import time_machine

time_machine.travel(datetime.now(UTC) + timedelta(seconds=float(os.environ["SKEW"])), tick=True).start()
