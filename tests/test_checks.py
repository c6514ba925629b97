"""``docs/checked.md`` equals the tables of the tests."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from checks import PAGE, Check, page, tables

TESTS = Path(__file__).parent
ROWS = {f"{title}: {key}": (key, row) for title, table in tables().items() for key, row in table.items()}


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "run: python tests/checks.py"


@pytest.mark.parametrize("row", ROWS)
def test_a_row_names_a_test_that_takes_its_tolerance_from_it(row: str) -> None:
    key, check = ROWS[row]
    file, _, name = check.test.partition("::")
    functions = [node for node in ast.parse((TESTS / file).read_text()).body if isinstance(node, ast.FunctionDef)]
    [test] = [function for function in functions if function.name == name]
    used = [node.slice.value for node in ast.walk(test) if isinstance(node, ast.Subscript) and _constant(node.slice)]
    assert key in used, f"{check.test} does not look at the row {key!r}"


def _constant(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def test_tolerances_as_the_page_shows_them() -> None:
    def shown(absolute: float, relative: float) -> str:
        return Check("", "", "", "", absolute, relative).tolerance

    assert [shown(0, 0), shown(1e-5, 0), shown(0, 0.05), shown(0.15, 0.05)] == [
        "none: equal",
        "1e-05",
        "5 %",
        "0.15 or 5 %",
    ]
    row = Check("", "", "", "", abs=0.5)
    assert row.near([1.0, 2.0]) == [1.4, 2.4]
    assert row.near(1.0) != 1.6
