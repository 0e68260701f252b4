"""The catalogue of faults: the list, its explanation and the tests say the same."""

import re
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.world import ROOT

MARK = re.compile(r'@pytest\.mark\.fault\(\s*"([^"]+)"')
HERE = Path(__file__).resolve().parent


def test_every_fault_has_a_test_and_every_test_a_fault():
    tested = {name for file in HERE.glob("test_*.py") for name in MARK.findall(file.read_text())}
    assert tested == set(FAULTS)


def test_every_fault_is_explained():
    rows = [line.split("|")[1].strip() for line in (ROOT / "docs" / "chaos.md").read_text().splitlines() if "|" in line]
    assert [name for name in rows if name in FAULTS] == list(FAULTS)
