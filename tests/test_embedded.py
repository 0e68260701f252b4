"""The embedded PostgreSQL: started on demand, shared, healed, and stopped by the last who leaves."""

import os
import re
import signal
import subprocess
import sys
import time

import psycopg
import pytest
from django.db import connection
from django.db.utils import OperationalError

from deliveries.ledger.connection import conninfo
from pushproject import database
from pushproject.embedded import cluster as cluster_module
from pushproject.embedded.base import DatabaseWrapper
from pushproject.embedded.cluster import Cluster, ClusterError
from pushproject.embedded.sharing import SharedCluster
from pushproject.environment import BASE_DIR

# Takes hold of the cluster, says so, and lets go when its stdin ends.
HOLDER = """
import sys
from pathlib import Path
from pushproject.embedded.sharing import SharedCluster
SharedCluster.at(Path(sys.argv[1])).attach()
print("up", flush=True)
sys.stdin.read()
"""


@pytest.fixture(scope="module")
def cluster(passable):
    made = Cluster(passable / "postgres")
    yield made
    made.stop()


@pytest.fixture
def shared(cluster):
    hold = SharedCluster(cluster.data)
    hold.attach()
    yield hold
    hold.detach()


def holder(cluster: Cluster) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(cluster.data)],
        cwd=BASE_DIR,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout
    assert process.stdout.readline() == "up\n"
    return process


def leave(process: subprocess.Popen[str]) -> None:
    process.communicate()
    assert process.returncode == 0


def select_one(cluster: Cluster) -> object:
    with psycopg.connect(host=str(cluster.socket_dir), user="postgres") as link:
        return link.execute("SELECT 1").fetchone()


def server_pid(cluster: Cluster) -> int:
    return int((cluster.data / "postmaster.pid").read_text().split()[0])


def wait_for(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_first_starts_it_and_the_last_stops_it(cluster):
    first, second = holder(cluster), holder(cluster)
    leave(first)
    assert select_one(cluster) == (1,)
    leave(second)
    assert not cluster.is_up()


def test_a_short_command_does_not_stop_it_under_a_long_one(cluster, shared):
    pid = server_pid(cluster)
    leave(holder(cluster))
    assert server_pid(cluster) == pid
    assert select_one(cluster) == (1,)


def test_after_a_kill_of_its_user_the_next_finds_it_and_stops_it(cluster):
    killed = holder(cluster)
    pid = server_pid(cluster)
    killed.kill()
    killed.communicate()
    assert cluster.is_up()
    following = holder(cluster)
    assert server_pid(cluster) == pid
    leave(following)
    assert not cluster.is_up()


def test_after_a_kill_of_the_server_the_next_connection_starts_it_again(cluster, shared):
    pid = server_pid(cluster)
    os.kill(pid, signal.SIGKILL)
    wait_for(lambda: not cluster.is_up())
    shared.attach()
    assert server_pid(cluster) != pid
    assert select_one(cluster) == (1,)


def test_many_at_once_start_one_server(cluster):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER, str(cluster.data)],
            cwd=BASE_DIR,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    assert [process.stdout and process.stdout.readline() for process in processes] == ["up\n"] * 4
    for process in processes:
        leave(process)
    assert not cluster.is_up()


def test_a_forked_child_does_not_stop_what_its_parent_holds(cluster, shared):
    if (pid := os.fork()) == 0:
        shared.detach()
        os._exit(0)
    os.waitpid(pid, 0)
    assert cluster.is_up()


def test_only_the_server_may_enter_its_directory(cluster, shared):
    assert cluster.data.stat().st_mode & 0o077 == 0
    assert cluster.socket_dir == cluster.data


def test_a_data_directory_that_was_half_made_is_made_anew(passable):
    other = Cluster(passable / "other")
    (passable / "other.new").mkdir()
    (passable / "other.new" / "PG_VERSION").write_text("18")
    other.initialise()
    assert (other.data / "global" / "pg_control").exists()


def test_a_long_path_gets_its_socket_elsewhere(tmp_path):
    long = Cluster(tmp_path / ("x" * 100) / "postgres")
    assert len(str(long.socket_dir)) < cluster_module.LONGEST_SOCKET


def test_a_server_that_cannot_start_says_why_in_one_line(passable):
    broken = SharedCluster(passable / "broken")
    broken.cluster.initialise()
    (broken.cluster.data / "postgresql.conf").write_text("nonsense = 1\n")
    with pytest.raises(OperationalError, match=r"embedded PostgreSQL: .*nonsense") as caught:
        broken.attach()
    assert "\n" not in str(caught.value)


def test_without_any_postgresql_the_start_stops_with_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(database, "find_binaries", lambda: None)
    with pytest.raises(SystemExit) as ended:
        database.embedded(tmp_path)
    assert ended.value.code == 78
    assert re.fullmatch(r"DATABASE_URL: .*Fix: .*\n", capsys.readouterr().err)


def test_a_postgres_on_path_will_do_where_there_is_no_wheel(tmp_path, monkeypatch):
    program = tmp_path / "postgres"
    program.touch(mode=0o755)
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert cluster_module.find_binaries() == tmp_path
    program.unlink()
    assert cluster_module.find_binaries() is None
    with pytest.raises(ClusterError):
        _ = Cluster(tmp_path).binaries


@pytest.mark.usefixtures("shared")
def test_django_connects_and_tells_others_how(cluster, monkeypatch, django_db_blocker):
    settings = connection.settings_dict | database.embedded(cluster.data.parent)
    wrapper = DatabaseWrapper(settings, alias="default")
    try:
        with django_db_blocker.unblock(), wrapper.cursor() as cursor:
            cursor.execute("SHOW server_version")
        monkeypatch.setattr("deliveries.ledger.connection.connections", {"default": wrapper})
        with psycopg.connect(conninfo()) as link:
            assert link.info.dbname == "postgres"
    finally:
        wrapper.close()


@pytest.mark.django_db
def test_others_connect_to_the_test_database_in_tests():
    with psycopg.connect(conninfo()) as link:
        assert link.info.dbname == connection.settings_dict["NAME"]
        assert link.info.dbname.startswith("test_")
