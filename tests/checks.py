"""Comparisons with other code: the tables from which tests take their tolerances, and ``docs/checked.md``.

``python tests/checks.py`` writes the page anew after a table has changed; a test fails until that is done. To add a
row: put a :class:`Check` into the table of its kind, let the test that it names take what it compares with from
``TABLE["key"].near(expected)`` (or ``.abs``), and write the page.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "checked.md"


class Check(NamedTuple):
    """A comparison of a part of this project with other code or a published formula.

    Attributes:
        what: the part of this project.
        against: the code, formula or file with which it must agree.
        of: what is compared, with its unit or range.
        test: file below ``tests`` and function: ``tts/test_encoders.py::test_name``.
        abs: largest absolute difference that passes.
        rel: largest difference that passes as a share of the expected value. The larger tolerance counts; if both are
            0, values must be the same.
    """

    what: str
    against: str
    of: str
    test: str
    abs: float = 0.0
    rel: float = 0.0

    def near(self, expected: Any) -> Any:
        """An object that equals all values within the tolerance, like ``pytest.approx``."""
        return pytest.approx(expected, abs=self.abs, rel=self.rel)

    @property
    def tolerance(self) -> str:
        """The tolerance as the page prints it."""
        found = [f"{self.abs:g}"] * bool(self.abs) + [f"{self.rel * 100:g} %"] * bool(self.rel)
        return " or ".join(found) or "none: equal"


def tables() -> dict[str, dict[str, Check]]:
    """All tables, by the page's headings."""
    from checks_of_metrics import METRICS
    from checks_of_models import MODELS
    from checks_of_rewards import REWARDS

    return {"Models and samplers": MODELS, "Rewards": REWARDS, "Metrics of sets": METRICS}


INTRODUCTION = """\
# What was checked against what

Each row is a test: something of this project, and the code, formula or file of others that it must agree with. Weights
are random, and small where published ones are large: both sides compute with the same. The tolerance is the test's own,
the largest difference that passes; where two are given, the larger counts. `python tests/checks.py` writes this page
from the tables that the tests use.
"""

HEAD = ("what", "against", "compared", "tolerance", "test")


def page() -> str:
    """The whole page."""
    parts = [f"## {title}\n\n{_table(table)}\n" for title, table in tables().items() if table]
    return "\n".join([INTRODUCTION, *parts])


def _table(table: dict[str, Check]) -> str:
    rows = [(row.what, row.against, row.of, row.tolerance, f"`{row.test}`") for row in table.values()]
    lines = [HEAD, ("---",) * len(HEAD), *rows]
    return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
