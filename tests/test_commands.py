"""The commands' common manners: documented, with exit codes, and a sentence where the database is away."""

import io
import re

import pytest
from django.core.management import CommandError, call_command, get_commands, load_command_class
from django.db import OperationalError, connection

from deliveries.management.operating import OperatorCommand, actor
from pushproject.environment import BASE_DIR
from tests.outages import database_away

DOCUMENT = (BASE_DIR / "docs" / "commands.md").read_text()
OURS = sorted(name for name, app in get_commands().items() if app in ("deliveries", "pushproject"))
OPERATORS = ("prune", "redrive", "resend", "verify")


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


def test_the_shell_has_a_name_even_where_the_user_has_none(monkeypatch):
    monkeypatch.setenv("LOGNAME", "ada")
    assert re.fullmatch(r"shell ada@\S+", actor())
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("os.getuid", lambda: 987_654)
    assert re.fullmatch(r"shell 987654@\S+", actor())
