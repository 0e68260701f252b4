"""docs/console.md: the tests that it names exist, for each of the ten columns of a console."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "docs" / "console.md").read_text()
COLUMNS = (
    *("charts", "find", "timeline", "payload and reply", "resend", "bulk redrive", "queue and workers"),
    *("provider health", "roles and audit", "live"),
)
NAMED = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("column", COLUMNS)
def test_each_column_has_tests_that_show_it(column):
    [row] = re.findall(rf"^\| {column} \| (.*) \|$", TEXT, re.MULTILINE)
    assert NAMED.search(row)


@pytest.mark.parametrize(("file", "test"), sorted(set(NAMED.findall(TEXT))))
def test_every_test_that_is_named_exists(file, test):
    assert re.search(rf"^def {test}\(", (ROOT / file).read_text(), re.MULTILINE)
