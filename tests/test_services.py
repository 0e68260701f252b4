"""`python -m tests.services`: gives a command its servers, and leaves nothing behind, killed or not."""

import os
import signal
import subprocess
import sys
from pathlib import Path

from pushproject.environment import BASE_DIR
from pushproject.processes import command_line, is_alive
from tests.processes import wait_until
from tests.services import RECORDS

SERVICES = [sys.executable, "-m", "tests.services", sys.executable, "-c"]
# Says where its servers are, then waits to be ended.
TELL = """
import os, time
from tests.rabbit import RabbitNode
print(os.getpid(), RabbitNode.from_env().directory.parent, flush=True)
time.sleep(600)
"""


def pids(directory: Path) -> list[int]:
    return [int(file.read_text().split()[0]) for file in directory.glob("*/*.pid")]


def test_what_a_killed_run_left_is_gone_when_the_next_one_begins(tmp_path):
    out = tmp_path / "out"
    with out.open("w") as file:
        killed = subprocess.Popen([*SERVICES, TELL], cwd=BASE_DIR, stdout=file)
    wait_until(lambda: "\n" in out.read_text(), killed, out)
    command, _, place = out.read_text().strip().partition(" ")
    directory = Path(place)
    servers = pids(directory)
    assert len(servers) >= 3
    assert all(map(is_alive, servers))
    killed.kill()
    killed.wait()
    os.kill(int(command), signal.SIGKILL)

    following = subprocess.run([*SERVICES, "raise SystemExit(3)"], cwd=BASE_DIR, check=False)
    assert following.returncode == 3
    assert not directory.exists()
    assert not [pid for pid in servers if str(directory) in command_line(pid)]
    assert not (RECORDS / f"{directory.name}.run").exists()


def test_a_record_that_names_nothing_yet_costs_nobody_anything(tmp_path):
    (tmp_path / "kept").touch()
    RECORDS.mkdir(parents=True, exist_ok=True)
    empty = RECORDS / "empty.run"
    empty.touch()
    variables = os.environ | {"PYTHONPATH": str(BASE_DIR)}
    done = subprocess.run([*SERVICES, "raise SystemExit(3)"], cwd=tmp_path, env=variables, check=False)
    assert done.returncode == 3
    assert (tmp_path / "kept").exists()
    assert not empty.exists()


def test_without_a_command_it_says_how_to_use_it():
    done = subprocess.run(
        [sys.executable, "-m", "tests.services"],
        cwd=BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("usage: ")
