"""Names out of a foreign run in a terminal's tables: what looks like markup is printed as it stands."""

from __future__ import annotations

import io

import pandas as pd
import pytest
from rich.console import Console
from rich.table import Table
from synthetic_trials import naive

from bench.report import metric_table, table
from bench.report.forecast_table import points_table, problems_table
from bench.report.html.figures import csv
from bench.run.forecast import Forecast, PointCost
from bench.statistics.comparisons import compare_to
from bench.statistics.curves import curves
from bench.statistics.power import needed

FOUL = "[/x]"
"""Markup that ends what never began."""


@pytest.fixture
def trials() -> pd.DataFrame:
    """A baseline, and a search whose name and budget are markup."""
    other = naive([0.5, 0.8, 0.6], search=FOUL, settings={FOUL: 2}, budget=FOUL, budget_value=2.0, nfe=70)
    return pd.concat([naive([0.4, 0.7, 0.3]), other], ignore_index=True)


def printed(shown: Table) -> str:
    out = io.StringIO()
    Console(file=out, width=200).print(shown)
    return out.getvalue()


def test_curves_and_gains(trials: pd.DataFrame) -> None:
    for shown in (table.render(curves(trials)), table.render_gains(compare_to(trials), "naive")):
        [line] = [line for line in printed(shown).splitlines() if FOUL in line]
        assert line.split()[:2] == [FOUL, f"{FOUL}=2"]


def test_metrics(trials: pd.DataFrame) -> None:
    values = curves(trials).assign(metric=FOUL, value=0.5, warning=None)
    lines = printed(metric_table.render(values, {FOUL: None})).splitlines()  # type: ignore[dict-item]
    assert any(f"{FOUL} {FOUL}=2" in line for line in lines)
    assert sum(FOUL in line for line in lines) == 2  # the header, and the point


def test_problems_that_are_needed(trials: pd.DataFrame) -> None:
    [line] = [line for line in printed(problems_table(needed(trials, 0.1), 0.1)).splitlines() if FOUL in line]
    assert f"{FOUL} = 2" in line


def test_points_of_a_plan() -> None:
    point = PointCost(
        search=FOUL, settings='{"x": "[/x]"}', trials=1, exact=True, nfe=2, decodes=1, reward_calls=1, depth=2
    )
    plan = Forecast(1, (point,), 2, False, 1, 1, 100, 8)
    [line] = [line for line in printed(points_table(plan)).splitlines() if FOUL in line]
    assert f"x = {FOUL}" in line


def test_a_spreadsheet_computes_nothing_of_a_reports_tables() -> None:
    frame = pd.DataFrame({"error": ["=cmd|' /C calc'!A0", "-1+1", "a cat", None], "gain": [-0.5, 1.0, 2.0, None]})
    expected = "error,gain\n'=cmd|' /C calc'!A0,-0.5\n'-1+1,1.0\na cat,2.0\n,\n"
    assert csv(frame).decode() == expected
