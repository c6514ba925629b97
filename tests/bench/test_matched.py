"""Equal compute: interpolation by hand, the winner with its lead and gain, and all pairs."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_trials import naive, trials

from bench.statistics.intervals import estimate
from bench.statistics.matched import COLUMNS, PAIR_COLUMNS, matched, matched_pairs
from bench.statistics.significance import holm
from tts.errors import SettingError

PLAIN = [0.1, 0.3, 0.2, 0.4]
GAINS = np.array([0.2, 0.1, 0.3, 0.2])


def curve(search: str, points: dict[float, list[float]], **given: object) -> pd.DataFrame:
    """A curve over N, with values by problem at each NFE."""
    return pd.concat(
        naive(values, search=search, settings={"N": n}, budget="N", budget_value=float(n), nfe=nfe, **given)
        for n, (nfe, values) in enumerate(points.items(), 1)
    )


def run() -> pd.DataFrame:
    """Naive; a curve that rises by GAINS from NFE 64 to 256; one that stays 0.1 above naive from 64 to 128."""
    plain = np.array(PLAIN)
    return pd.concat(
        [
            naive([*PLAIN]),
            curve("random", {64: [*plain], 256: [*(plain + GAINS)]}),
            curve("beam", {64: [*(plain + 0.1)], 128: [*(plain + 0.1)]}),
        ]
    )


def test_between_two_points_values_are_linear_in_the_logarithm_of_the_cost() -> None:
    frame = matched_pairs(run().query("search != 'naive'"), at=[64, 128])
    assert list(frame.columns) == PAIR_COLUMNS
    assert frame[["a", "b"]].to_numpy().tolist() == [["beam", "random"]] * 2
    assert list(frame["interpolated"]) == [False, True]
    assert list(frame["a_mean"]) == pytest.approx([0.35, 0.35])
    assert list(frame["b_mean"]) == pytest.approx([0.25, 0.35])  # 128 is half way from 64 to 256: half the gain, 0.1
    assert list(frame["difference"]) == pytest.approx([0.1, 0])
    low, high = estimate(0.1 - GAINS / 2)[2:]
    assert frame.loc[1, ["low", "high"]].tolist() == pytest.approx([low, high])
    assert list(frame["won"]) == [1, 0.25]
    assert frame["p_holm"].to_numpy() == pytest.approx(holm(frame["p"].to_numpy(np.float64)))


def test_the_winner_leads_the_runner_up_and_gains_on_naive() -> None:
    frame = matched(run(), at=[64, 200, 1000])
    assert list(frame.columns) == COLUMNS
    assert list(frame["at"]) == [64, 200, 1000]
    first, second, third = frame.to_dict("records")
    assert (first["winner"], first["runner_up"], first["curves"], first["carried"]) == ("beam", "random", 3, 1)
    assert (first["mean"], first["runner_up_mean"]) == pytest.approx((0.35, 0.25))
    assert (first["lead"], first["gain"]) == pytest.approx((0.1, 0.1))
    assert (first["lead_n"], first["gain_n"], first["n"]) == (4, 4, 4)
    assert (first["lead_p"], first["gain_p"]) == (0.125, 0.125)  # 2 of the 16 assignments of signs
    assert first["lead_p_holm"] == 0.75  # six tests: 6 times 0.125
    assert not first["interpolated"]
    assert (second["winner"], second["curves"], second["carried"]) == ("random", 3, 2)
    assert (second["winner_spent"], second["runner_up"], second["runner_up_spent"]) == (200, "beam", 128)
    share = np.log(200 / 64) / np.log(4)
    assert second["gain"] == pytest.approx(0.2 * share)
    assert (second["gain_low"], second["gain_high"]) == pytest.approx(estimate(GAINS * share)[2:])
    assert second["lead"] == pytest.approx(0.2 * share - 0.1)
    assert second["lead_n"] == 4
    assert second["interpolated"]
    assert (third["winner"], third["winner_spent"], third["carried"]) == ("random", 256, 3)
    assert third["gain"] == pytest.approx(0.2)


def test_a_search_that_ends_below_a_cost_keeps_what_it_has_reached() -> None:
    """Best-of-N does not win at 256, as per-step random already has more at 217."""
    plain = np.array(PLAIN)
    table = pd.concat(
        [
            naive([*PLAIN]),
            curve("random", {113: [*(plain + 0.2)], 217: [*(plain + 0.3)]}),
            curve("best_of_n", {140: [*(plain + 0.05)], 280: [*(plain + 0.1)]}),
        ]
    )
    [row] = matched(table, at=[256]).to_dict("records")
    assert (row["winner"], row["winner_spent"], row["mean"]) == ("random", 217, pytest.approx(0.55))
    assert (row["runner_up"], row["runner_up_spent"]) == ("best_of_n", 256)
    assert (row["curves"], row["carried"]) == (3, 2)
    assert row["gain"] == pytest.approx(0.3)
    share = np.log(256 / 140) / np.log(2)
    assert row["lead"] == pytest.approx(0.3 - (0.05 + 0.05 * share))
    pair = matched_pairs(table, at=[256]).set_index(["a", "b"]).loc[("best_of_n", "random")]
    assert (pair["a_spent"], pair["b_spent"]) == (256, 217)
    assert pair["difference"] == pytest.approx(-row["lead"])


def test_naive_wins_over_a_search_that_makes_images_worse() -> None:
    worse = pd.concat([naive([*PLAIN]), curve("beam", {64: [*(np.array(PLAIN) - 0.1)]})])
    [row] = matched(worse).to_dict("records")
    assert (row["winner"], row["winner_spent"], row["runner_up"]) == ("naive", 35, "beam")


def test_another_baseline_is_met_at_the_same_cost() -> None:
    frame = matched(run(), at=[35, 64, 128, 256], baseline="random").set_index("at")
    assert frame["gain"].isna().tolist() == [True, False, False, True]  # True: the curve has not begun, or it wins
    assert frame.loc[64, "gain"] == pytest.approx(0.1)
    assert frame.loc[128, "gain"] == pytest.approx(0, abs=1e-12)


def test_intervals_over_conditions_are_others() -> None:
    table = pd.concat([run().assign(seed=seed, value=lambda frame: frame["value"] + 0.01) for seed in (0, 1)])
    table = table.assign(trial=[str(place) for place in range(len(table))])
    by_problem, by_condition = matched(table, at=[128]), matched(table, at=[128], over="conditions")
    assert by_problem["mean"].to_list() == pytest.approx(by_condition["mean"].to_list())
    assert (by_condition["high"] - by_condition["low"]).iloc[0] > (by_problem["high"] - by_problem["low"]).iloc[0]


def test_the_costs_are_powers_of_two_at_which_two_curves_are_and_one_goes_on() -> None:
    assert list(matched(run())["at"]) == [64, 128, 256]
    everything = matched(trials())
    assert list(everything[everything["reward"] == "brightness"]["at"]) == [64, 128, 256, 512, 1024, 2048]
    assert list(matched(run().query("search == 'beam'"))["at"]) == []


@pytest.mark.parametrize(("costs", "at"), [((140, 140), [140]), ((140, 140 + 1e-9), [140]), ((140, 150), [140, 150])])
def test_searches_of_one_budget_are_compared_at_its_cost(costs: tuple[float, float], at: list[float]) -> None:
    """There is no power of two from 140 to 150."""
    searches = [curve(name, {cost: [*PLAIN]}) for name, cost in zip(("beam", "random"), costs, strict=True)]
    assert list(matched(pd.concat([naive([*PLAIN]), *searches]))["at"]) == at


def test_each_pair_stands_once_after_both_have_ended() -> None:
    found = matched_pairs(run(), at=[64, 128, 256, 257])
    pairs = [f"{row['at']:g} {row['a']} {row['b']}" for row in found.to_dict("records")]
    assert pairs == [
        *("64 beam naive", "64 beam random", "64 naive random"),
        *("128 beam naive", "128 beam random", "128 naive random"),
        *("256 beam random", "256 naive random"),
    ]


def test_nothing_is_there_before_its_first_point() -> None:
    assert matched_pairs(run(), at=[35, 63]).empty
    assert list(matched(run(), at=[20, 35, 256])["winner"]) == ["naive", "random"]


def test_naive_as_the_winner_gains_nothing_on_itself() -> None:
    [row] = matched(run(), at=[35]).to_dict("records")
    assert np.isnan([row["gain"], row["gain_p"], row["lead"]]).all()


def test_without_naive_there_is_no_gain() -> None:
    frame = matched(run().query("search != 'naive'"))
    assert frame["gain"].isna().all()
    assert frame["lead"].notna().all()


def test_other_axes() -> None:
    table = run().assign(device_seconds=lambda frame: frame["nfe"] / 100)
    table = table[table["search"] != "naive"]
    by_seconds = matched_pairs(table, axis="device_seconds")
    assert list(by_seconds["at"]) == [1, 2]
    by_flops = matched_pairs(table, axis="flops", flops=2.0)
    assert list(by_flops["at"]) == [128, 256, 512]
    assert list(by_flops["difference"]) == pytest.approx([0.1, 0, -0.1])
    assert matched(table, axis="flops").empty  # FLOPs are unknown
    with pytest.raises(SettingError, match="axis 'nef': no such cost; did you mean 'nfe'"):
        matched(table, axis="nef")


def test_problems_that_one_side_lacks_are_in_no_pair() -> None:
    table = run()
    table.loc[(table["search"] == "beam") & (table["condition"] == "3"), "value"] = None
    first = matched_pairs(table.query("search != 'naive'"), at=[64]).to_dict("records")[0]
    assert (first["n"], first["a_mean"], first["b_mean"]) == (3, pytest.approx(0.3), pytest.approx(0.25))
    assert first["difference"] == pytest.approx(0.1)


def test_equal_costs_and_searches_without_a_value_are_no_trouble() -> None:
    table = pd.concat([run(), curve("mcts", {64: [None] * 4, 128: [None] * 4})])
    double = pd.concat(
        [table, naive([0.2] * 4, search="beam", settings={"N": 9}, budget="N", budget_value=9.0, nfe=64)]
    )
    assert list(matched(double)["at"]) == [64, 128, 256]
    assert "mcts" not in set(matched(double)["runner_up"])


def test_nothing_to_compare_is_an_empty_table() -> None:
    assert matched(trials().iloc[:0]).empty
    assert list(matched_pairs(naive([0.1, 0.2])).columns) == PAIR_COLUMNS
