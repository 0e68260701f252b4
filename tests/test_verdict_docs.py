"""docs/providers.md: equal to the tables of verdicts, and what it says of them by hand is so."""

import pytest

from providers import registry, verdict_docs
from providers.verdict_docs import Described, described
from providers.verdicts import LONGEST_WAIT, SHORTEST_WAIT


def test_the_page_is_what_the_tables_say():
    assert verdict_docs.PAGE.read_text() == verdict_docs.page()


def test_every_provider_and_every_row_of_its_table_is_on_the_page():
    lines = verdict_docs.PAGE.read_text().splitlines()
    assert {provider.name for provider in described()} == set(registry.names())
    for provider in described():
        start = lines.index(f"## `{provider.name}`")
        section = lines[start + 1 : next(n for n in range(start + 1, len(lines)) if lines[n].startswith("## "))]
        rows = [line for line in section if line.startswith("| `")]
        assert [row.split("`")[1] for row in rows] == [row.name for row in provider.table]
        assert {row.replace(r"\|", "").count("|") for row in rows} == {8}


@pytest.mark.parametrize("provider", described(), ids=lambda provider: provider.name)
def test_advice_says_what_happened_and_in_a_last_sentence_what_to_do(provider: Described):
    names = [row.name for row in provider.table]
    assert len(set(names)) == len(names)
    for row in provider.table:
        what, _, fix = row.advice.rpartition(". ")
        assert what, row.name
        assert fix[0].isupper(), row.name
        assert fix.endswith("."), row.name


@pytest.mark.parametrize("provider", described(), ids=lambda provider: provider.name)
def test_the_last_row_takes_whatever_the_others_leave(provider: Described):
    last = provider.table[-1]
    assert (last.http, last.code, last.only_if) == (0, None, None)


def test_what_the_page_says_of_retry_after_is_so():
    assert "believed between 10 s and an hour" in verdict_docs.HOW_TO_READ
    assert (SHORTEST_WAIT, LONGEST_WAIT) == (10, 3600)
