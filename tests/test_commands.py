"""The commands' common manners: documented, with exit codes, and a sentence where the database is away."""

import io
import os
import re
import signal
import subprocess
import sys

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import OperationalError, connection

from deliveries.management.operating import OperatorCommand, actor
from pushproject.environment import BASE_DIR
from tests.outages import database_away

DOCUMENT = (BASE_DIR / "docs" / "commands.md").read_text()
OURS = sorted(name for name, app in get_commands().items() if app in ("deliveries", "pushproject"))
OPERATORS = ("apikey", "prune", "redrive", "resend", "verify")


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_documented_with_its_exit_codes(name):
    assert re.search(rf"^\| `{name}` \| .+ \| (.*\d .*|the same) \|$", DOCUMENT, re.MULTILINE)


@pytest.mark.parametrize("name", OPERATORS)
def test_the_help_of_those_for_operators_tells_the_exit_codes_line_by_line(name):
    command = load_command_class("deliveries", name)
    assert isinstance(command, OperatorCommand)
    words = command.create_parser("manage.py", name).format_help()
    codes = re.findall(r"^  (\d+) +\S", words.split("exit codes:\n")[1], re.MULTILINE)
    row = next(line for line in DOCUMENT.splitlines() if line.startswith(f"| `{name}` |"))
    if not row.endswith("the same |"):
        assert codes == re.findall(r"\b\d+\b", row.split("|")[3])


@pytest.mark.parametrize("arguments", [("prune",), ("redrive", "1"), ("resend", "x"), ("verify",)])
@pytest.mark.django_db(transaction=True)
def test_without_a_database_they_say_so_and_end_with_2(arguments):
    with database_away(), pytest.raises(CommandError, match="the database does not answer") as ended:
        call_command(*arguments, stdout=io.StringIO())
    assert ended.value.returncode == 2


@pytest.mark.django_db(transaction=True)
def test_a_database_that_goes_away_in_the_middle_is_a_sentence_too():
    class Cut(OperatorCommand):
        def handle(self, *_args, **_options):
            connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")

    with pytest.raises(CommandError, match="the database ended it: terminating connection") as ended:
        call_command(Cut())
    assert ended.value.returncode == 2
    assert isinstance(ended.value.__cause__, OperationalError)
    connection.close()


@pytest.mark.django_db
def test_ctrl_c_is_a_line_and_130():
    class Stopped(OperatorCommand):
        def handle(self, *_args, **_options):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(CommandError, match="stopped by Ctrl-C") as ended:
        call_command(Stopped())
    assert ended.value.returncode == 130


def test_who_reads_no_more_of_the_result_is_let_go():
    """As `manage.py verify | true`."""
    program = (
        "from deliveries.management.operating import OperatorCommand\n"
        "for _ in range(3): OperatorCommand().tell({}, ['line'] * 50_000, as_json=False)"
    )
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BASE_DIR, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("name", ["resend", "redrive"])
@pytest.mark.django_db(transaction=True)
def test_a_time_that_ends_before_it_begins_is_refused(name):
    with pytest.raises(CommandError, match="--since has to be before --until"):
        call_command(name, "--since", "1h", "--until", "2h")


def test_the_shell_has_a_name_even_where_the_user_has_none(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    assert re.fullmatch(r"shell ada@\S+", actor())
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    assert re.fullmatch(r"shell 987654@\S+", actor())
