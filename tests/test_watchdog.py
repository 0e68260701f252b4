"""The watchdog: whom it leaves alone. What it ends, and how, is in tests/chaos."""

import signal
import subprocess
import sys
import time

from tests.world import ROOT

WATCHED = """
import time
from types import SimpleNamespace
import django
django.setup()
from deliveries.watchdog import Watchdog
Watchdog(dict, SimpleNamespace(workers=[], consumers={}), 1.0).start()
print("watched", flush=True)
begun = time.monotonic()
while time.monotonic() < begun + 2:  # the watchdog is not the first to have the interpreter's lock
    pass
print("alive", flush=True)
time.sleep(60)
"""


def test_a_process_that_was_paused_goes_on():
    with subprocess.Popen([sys.executable, "-c", WATCHED], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "watched\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(3)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "alive\n"
        time.sleep(1.5)
        assert process.poll() is None
        process.kill()
