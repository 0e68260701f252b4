"""The rooms and who may enter which; the size of files and functions; the picture of the states."""

import ast
import re
import statistics
from pathlib import Path

import pytest

from deliveries.models import ENDS, TRANSITIONS, Status

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("pushproject", "deliveries", "providers", "sandbox", "bench", "tests")
MAY_IMPORT = {
    "pushproject": {"deliveries", "providers"},
    "deliveries": {"providers"},
    "providers": set(),
    "sandbox": set(),
}
#: Libraries that a room must do without.
BANNED = {"providers": {"django", "psycopg", "dramatiq"}, "sandbox": {"django", "psycopg", "dramatiq"}}
FORBIDDEN_NAMES = {"utils", "helpers", "common", "services", "core"}


def sources(*rooms: str) -> list[Path]:
    return [path for room in rooms for path in sorted((ROOT / room).rglob("*.py")) if "migrations" not in path.parts]


def imports(path: Path):
    """Each imported top-level name, with the line that imports it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield name.name.split(".")[0], node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0], node.lineno


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_rooms_import_only_what_they_may(room):
    banned = (set(ROOMS) - {room} - MAY_IMPORT[room]) | BANNED.get(room, set())
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in sources(room)
        for name, line in imports(path)
        if name in banned
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_ledger_writes_status():
    writes = re.compile(r"\bSET\b[^;\"]*\bstatus\s*=|\bstatus\s*=[^=].*\.save\(|update\([^)]*status=", re.IGNORECASE)
    wrong = [
        str(path.relative_to(ROOT))
        for path in sources("deliveries", "pushproject")
        if "ledger" not in path.parts and writes.search(path.read_text())
    ]
    assert not wrong


def test_names_tell_the_story():
    wrong = [
        path for path in sources("pushproject", "deliveries", "providers", "sandbox") if path.stem in FORBIDDEN_NAMES
    ]
    assert not wrong


def functions():
    for path in sources("pushproject", "deliveries", "providers", "sandbox", "bench"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                docstring = ast.get_docstring(node, clean=False)
                lines = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
                yield lines, f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_functions_are_short():
    found = list(functions())
    assert not [name for lines, name in found if lines > 40]
    assert statistics.median(lines for lines, _ in found) <= 8


def test_files_are_short():
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources("pushproject", "deliveries", "providers", "sandbox", "bench")
        if (lines := path.read_text().count("\n")) > 250
    }
    assert not long


def test_the_picture_of_the_states_is_the_table():
    picture = (ROOT / "docs" / "state-machine.md").read_text()
    drawn = {(a, b) for a, b in re.findall(r"^\s*(\w+) --> (\w+)", picture, re.MULTILINE)}
    table = {(str(status.value), str(exit.value)) for status, exits in TRANSITIONS.items() for exit in exits}
    assert drawn == table
    assert {Status.SENT, Status.FAILED, Status.SKIPPED, Status.EXPIRED, Status.CANCELLED} == ENDS
