"""The table: its words, what is bold, and its width."""

from __future__ import annotations

import io
import re

import pandas as pd
from rich.console import Console
from rich.text import Text
from synthetic_trials import naive, trial, trials

from bench.report.table import render, render_gains
from bench.statistics.comparisons import compare_to
from bench.statistics.curves import curves


def printed(frame: pd.DataFrame, width: int = 100, colour: bool = False) -> str:
    """The table as a terminal shows it."""
    out = io.StringIO()
    Console(file=out, width=width, force_terminal=colour, color_system="truecolor" if colour else None).print(
        render(frame)
    )
    return out.getvalue()


def cells(line: str) -> list[str]:
    return re.split(r"\s{2,}", line.strip())


def test_three_rewards_fit_a_hundred_columns_on_one_line_each() -> None:
    frame = curves(trials())
    text = printed(frame)
    assert max(map(len, text.splitlines())) <= 100
    assert "…" not in text
    header, _, *rows, _, caption = text.splitlines()[1:]
    assert cells(header) == ["search", "budget", "NFE", "brightness", "class_probability", "compressibility"]
    assert len(rows) == 25
    assert caption.strip() == "mean [95 % interval], best in bold; n = 12 problems"


def test_a_cell_gives_mean_and_interval() -> None:
    frame = curves(trials(rewards=("brightness",)))
    [row] = [cells(line) for line in printed(frame).splitlines() if "eps_greedy" in line and "K=20" in line]
    [expected] = frame[(frame["search"] == "eps_greedy") & (frame["budget_value"] == 20)].to_dict("records")
    interval = f"{expected['mean']:.3f} [{expected['low']:.3f}, {expected['high']:.3f}]"
    assert row == ["eps_greedy", "K=20", "2089", interval]


def test_rows_follow_the_curves_and_then_nfe() -> None:
    rows = [cells(line)[:3] for line in printed(curves(trials())).splitlines() if "[0." in line]
    assert [row[0] for row in rows] == sorted(row[0] for row in rows)
    assert [row[1] for row in rows if row[0] == "best_of_n"] == ["N=2", "N=4", "N=8", "N=16"]
    assert ["naive", "-", "35"] in rows


def test_the_best_mean_of_each_reward_alone_is_bold() -> None:
    frame = curves(trials())
    bold = re.findall(r"\x1b\[1m(0\.\d+)", printed(frame, colour=True))
    assert bold == [f"{value:.3f}" for value in frame.groupby("reward")["mean"].max()]


def test_a_reward_that_a_point_lacks_is_a_dash() -> None:
    run = pd.DataFrame(
        [trial(condition=k, value=0.1 * k, reward="brightness") for k in range(3)]
        + [trial(condition=k, value=0.1 * k, search="beam", reward="compressibility") for k in range(3)]
    )
    rows = [cells(line) for line in printed(curves(run)).splitlines()]
    [beam] = [row for row in rows if row[0] == "beam"]
    [naive] = [row for row in rows if row[0] == "naive"]
    assert beam[3] == "-"
    assert beam[4].startswith("0.100 [")
    assert naive[4] == "-"


def test_gains_over_a_baseline_are_those_of_the_comparison() -> None:
    compared = compare_to(trials(rewards=("brightness",)), "random")
    out = io.StringIO()
    Console(file=out, width=100).print(render_gains(compared, "random"))
    [row] = [cells(line) for line in out.getvalue().splitlines() if "eps_greedy" in line and "K=20" in line]
    [one] = compared[(compared["search"] == "eps_greedy") & (compared["budget_value"] == 20)].to_dict("records")
    assert row == ["eps_greedy", "K=20", "2089", f"{one['difference']:.3f} [{one['low']:.3f}, {one['high']:.3f}]"]
    assert "gain over random" in out.getvalue()
    assert not [line for line in out.getvalue().splitlines() if line.split()[:1] == ["random"]]


def test_unscored_trials_are_shown() -> None:
    values = [0.2, None, 0.4, None, 0.7]
    text = printed(curves(pd.DataFrame([trial(condition=k, value=v) for k, v in enumerate(values)])))
    assert "2 unscored" in text
    assert "n = 3 problems" in text


def test_nothing_scored_is_a_dash_and_one_value_has_no_interval() -> None:
    nothing = printed(curves(pd.DataFrame([trial(value=None)])))
    assert re.search(r"35 +-", nothing)
    assert "nan" not in nothing
    assert re.search(r"0\.500\s*$", printed(curves(pd.DataFrame([trial()]))), re.MULTILINE)


def test_brackets_are_text_not_markup() -> None:
    frame = curves(trials()).assign(curve="[red]mine[/red]")
    assert "[red]mine[/red]" in printed(frame)
    [column] = [column for column in render(frame).columns if column.header == "brightness"]
    assert all(isinstance(cell, Text) for cell in column.cells)


def test_numbers_are_right_aligned() -> None:
    assert [column.justify for column in render(curves(trials())).columns] == ["left", "left"] + ["right"] * 4


def test_points_that_were_not_run_have_an_asterisk_that_is_explained() -> None:
    run = naive([0.4, 0.7], search="best_of_n", settings={"N": 2}, budget="N", budget_value=2.0, nfe=70)
    text = printed(curves(run.assign(samples=[[0.2, 0.4], [0.7, 0.6]])))
    assert [cells(line)[1:3] for line in text.splitlines() if "N=" in line] == [["N=1*", "35"], ["N=2", "70"]]
    assert "* not run: from the samples of the largest N" in text
    assert "*" not in printed(curves(run))


def test_no_curves_make_an_empty_table() -> None:
    table = render(curves(trials().iloc[:0]))
    assert table.row_count == 0
