"""The pages on searches equal what the classes give, and their configurations can be read."""

from __future__ import annotations

import re

import pytest
import yaml

from bench.report.search_docs import FOLDER, names, page, pages, table
from bench.study.entries import entries_of
from tts.registry import SEARCHES


def test_the_pages_are_up_to_date() -> None:
    found = pages()
    assert set(FOLDER.iterdir()) == set(found)
    for path, text in found.items():
        assert path.read_text("utf-8") == text, "run: make reference"
    assert table() in (FOLDER / "index.md").read_text("utf-8")


@pytest.mark.parametrize("name", names())
def test_a_page_says_when_to_take_it_what_it_costs_and_what_can_be_set(name: str) -> None:
    text, search = page(name), SEARCHES.get(name)
    assert len(search.advice) > 40
    for setting, field in search.model_fields.items():
        assert f"| `{field.alias or setting}` |" in text
    assert "* **Forwards**: " in text
    assert ":class:" not in text
    assert "See `Search`" not in text
    [example] = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    [given] = yaml.safe_load(example)["searches"]
    assert entries_of(given)[0].name == name
