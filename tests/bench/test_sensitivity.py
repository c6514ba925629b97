"""Reward against one setting at one cost: which points of which searches make a line, and how they are drawn."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from bench.report.sensitivity_plot import figure_sensitivity
from bench.statistics.sensitivity import sensitivity

REWARDS = ("brightness", "compressibility")


def curves(*points: tuple[str, dict[str, Any], float, float]) -> pd.DataFrame:
    """Points from (search, settings, cost, mean); the same for both rewards."""
    rows = [
        {
            "reward": reward, "search": search, "settings": json.dumps(settings), "derived": False, "nfe": nfe,
            "n": 9, "mean": mean, "low": mean - 0.1, "high": mean + 0.1,
        }
        for reward in REWARDS
        for search, settings, nfe, mean in points
    ]  # fmt: skip
    return pd.DataFrame(rows)


TRUSTED = [("slope", {"N": 10, "trust": trust, "m": 2}, 269.0, trust) for trust in (0.7, 0.0, 0.4)]


def line(found: pd.DataFrame, search: str) -> list[tuple[str, str, int]]:
    """Setting, value and position of a search's points."""
    mine = found[(found["search"] == search) & (found["reward"] == REWARDS[0])]
    return list(mine[["setting", "value", "place"]].itertuples(index=False, name=None))


def test_points_that_differ_in_one_setting_make_a_line_in_its_order() -> None:
    found = sensitivity(curves(*TRUSTED))
    assert line(found, "slope") == [("trust", "0.0", 0), ("trust", "0.4", 1), ("trust", "0.7", 2)]
    assert list(found[found["reward"] == REWARDS[1]]["mean"]) == [0.0, 0.4, 0.7]
    assert sensitivity(pd.concat([curves(*TRUSTED), curves(*TRUSTED)])).equals(found)  # points of two curves


def test_points_of_other_costs_are_no_part_of_it() -> None:
    """More budget is not a sensitivity to a setting."""
    grows = [("random", {"N": n}, 26.0 * n + 9, 0.5) for n in (2, 4, 8, 16)]
    dear = ("slope", {"N": 10, "trust": 0.9, "m": 2}, 600.0, 0.9)
    found = sensitivity(curves(*TRUSTED, *grows, dear))
    assert len(line(found, "slope")) == 3
    assert line(found, "random") == []


def test_a_second_setting_may_keep_the_cost() -> None:
    beams = [("beam", {"B": b, "N": n}, cost, 0.5) for b, n, cost in ((2, 5, 278.0), (3, 3, 261.0), (4, 2, 244.0))]
    assert line(sensitivity(curves(*beams)), "beam") == [
        ("B and N", "2, 5", 0), ("B and N", "3, 3", 1), ("B and N", "4, 2", 2),
    ]  # fmt: skip


def test_what_is_left_out_comes_first_and_words_last() -> None:
    taus = [("demon", {"K": 9, "tau": tau}, 269.0, 0.5) for tau in (0.1, None, "none", 0.02)]
    assert [value for _, value, _ in line(sensitivity(curves(*taus)), "demon")] == ["left out", "0.02", "0.1", "none"]


def test_the_best_searches_come_first() -> None:
    good = [("demon", {"tau": tau}, 269.0, 0.9) for tau in (1, 2, 3)]
    found = sensitivity(curves(*TRUSTED, *good))
    assert list(dict.fromkeys(found["search"])) == ["demon", "slope"]


def test_nothing_is_found_where_nothing_varies() -> None:
    assert sensitivity(curves(("naive", {}, 35.0, 0.5))).empty


def test_a_panel_for_each_search_and_reward() -> None:
    good = [("demon", {"tau": tau}, 269.0, 0.9) for tau in (1, 2, 3)]
    figure = figure_sensitivity(sensitivity(curves(*TRUSTED, *good)))
    assert len(figure.axes) == 4
    assert [tick.get_text() for tick in figure.axes[-1].get_xticklabels()] == ["0.0", "0.4", "0.7"]
    assert [panel.get_title() for panel in figure.axes[:2]] == ["Demon", "slope"]
