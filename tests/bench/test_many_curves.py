"""Twenty curves in one chart: the best are in front, the others grey, and each group has a panel of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from bench.report.emphasis import CROWDED, IN_FRONT, in_front, is_crowded
from bench.report.html.charts import by_group, chart, curve_chart
from bench.report.multiples import NAMED, figure_groups
from bench.report.palette import LOOKS, curve_styles
from bench.report.plots import BEHIND, NFE, Axis, figure_curves
from tts.errors import SettingError


def curves(number: int, reward: str = "brightness") -> pd.DataFrame:
    """Curves of so many searches at 64, 128 and 256 NFE; later ones are better, and the next-to-last begins at 512."""
    costs = np.array([64.0, 128.0, 256.0])
    rows = [
        {
            "reward": reward, "search": search, "curve": search, "settings": "{}", "budget": "N", "derived": False,
            "budget_value": cost, "nfe": cost * (8 if place == number - 2 else 1), "n": 10, "effective_n": 10.0,
            "unscored": 0, "mean": mean, "low": mean - 0.01, "high": mean + 0.01,
        }
        for place, search in enumerate(list(LOOKS)[:number])
        for cost, mean in zip(costs, 0.3 + 0.02 * place + 0.01 * np.log(costs), strict=True)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_few_curves_are_all_in_front() -> None:
    few = curves(CROWDED - 1)
    assert in_front(few) == list(few["curve"].unique())
    assert not is_crowded(few)
    assert not is_crowded(pd.DataFrame())


def test_of_many_the_best_at_a_cost_that_half_of_them_reach() -> None:
    many = curves(20)
    names = list(many["curve"].unique())
    assert in_front(many) == [names[19], names[17], names[16]]  # search 18 costs too much
    assert is_crowded(many)
    assert len(in_front(many)) == IN_FRONT


def test_of_many_the_best_at_the_start_of_a_linear_axis() -> None:
    """Whole samples begin at step 0; one curve goes on to step 4."""
    many = curves(CROWDED).drop_duplicates("curve").assign(step=0)
    late = many.iloc[[0]].assign(step=4, mean=9.0)
    names = list(many["curve"])
    found = pd.concat([many, late])
    assert in_front(found, "step", log=False) == names[:-4:-1]
    figure_curves(found, Axis("step", "steps done before", "steps done", log=False))


def test_between_points_curves_are_read_as_their_axis_has_them() -> None:
    """At cost 10 a line from 1 to 100 is halfway up on a logarithmic axis, but not on a linear one."""
    others = [{"curve": f"curve {k}", "cost": 10.0, "mean": 0.3 - k / 100} for k in range(CROWDED - 1)]
    rising = [{"curve": "rising", "cost": cost, "mean": mean} for cost, mean in ((1.0, 0.0), (100.0, 1.0))]
    found = pd.DataFrame([*others, *rising])
    assert in_front(found, "cost")[0] == "rising"
    assert in_front(found, "cost", log=False)[0] == "curve 0"
    assert len(in_front(found.assign(cost=0.0), "cost")) == IN_FRONT


def test_curves_behind_are_grey_lines_without_a_band() -> None:
    many = curves(20)
    [panel] = figure_curves(many).axes
    names = {look.name: look for look in LOOKS.values()}
    front = {LOOKS[search].name for search in in_front(many)}
    for line in panel.lines:
        expected = names[str(line.get_label())].colour if line.get_label() in front else BEHIND
        assert to_hex(str(line.get_color())) == expected
    assert len(panel.lines) == 20
    assert len(panel.collections) == IN_FRONT


def test_each_group_has_a_panel_in_which_it_has_its_colours() -> None:
    figure = figure_groups(curves(len(LOOKS)))
    groups = list(dict.fromkeys(look.group for look in LOOKS.values()))
    assert [panel.get_title() for panel in figure.axes] == groups
    for panel, group in zip(figure.axes, groups, strict=True):
        coloured = {str(line.get_label()) for line in panel.lines if to_hex(str(line.get_color())) != BEHIND}
        assert coloured == {look.name for look in LOOKS.values() if look.group == group}
        assert sum(to_hex(str(line.get_color())) == BEHIND for line in panel.lines) == len(LOOKS)
    with pytest.raises(SettingError, match="no curve to plot"):
        figure_groups(curves(3).assign(mean=np.nan))


def test_the_page_has_the_same_curves_in_front() -> None:
    many = pd.concat([curves(20), curves(20, "contrast")])
    looks = curve_styles(list(zip(many["search"], many["curve"], strict=True)))
    data = curve_chart({"searched": many}, looks, {"{}": "none"}, [NFE])
    numbers = {label: number for number, label in enumerate(looks)}
    assert [panel["front"] for panel in data["panels"]] == 2 * [[numbers[label] for label in in_front(curves(20))]]
    groups = list(dict.fromkeys(look.group for look in looks.values()))
    panels = by_group(data, looks)["panels"]
    assert [panel["title"] for panel in panels[: len(groups)]] == [f"searched on brightness: {name}" for name in groups]
    assert sorted(number for panel in panels[: len(groups)] for number in panel["front"]) == list(range(20))
    assert len(panels) == 2 * len(groups)


def test_a_group_without_points_has_no_panel() -> None:
    looks = curve_styles([("naive", "naive"), ("fk", "fk")])
    panel = {"title": "searched on brightness", "points": [{"c": 0, "x": {}, "y": {}}], "front": [0]}
    [only] = by_group(chart([NFE], {}, looks, [panel]), looks)["panels"]
    assert only["title"] == "searched on brightness: whole samples"


def test_a_long_legend_covers_no_panel() -> None:
    """A sweep over a setting has as many curves as it has values."""
    sweep = pd.concat(
        curves(1).assign(search="eps_greedy", curve=f"eps_greedy lambda={place / 100}") for place in range(60)
    )
    figure = figure_curves(sweep)
    figure.draw_without_rendering()
    [panel], [legend] = figure.axes, figure.legends
    assert legend.get_window_extent().y1 < panel.get_tightbbox().y0
    assert panel.get_window_extent().height > 1.5 * figure.dpi
    [panel] = figure_groups(sweep).axes
    legend = panel.get_legend()
    assert legend is not None
    assert (len(legend.get_texts()), legend.get_title().get_text()) == (NAMED, f"and {60 - NAMED} more")
