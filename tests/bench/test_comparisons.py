"""Comparisons: pairs of problems by hand, the baseline, and Holm's correction over all tests of a reward."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic_trials import naive, trials

from bench.statistics.comparisons import COLUMNS, compare_pairs, compare_to, paired_difference
from bench.statistics.intervals import estimate
from bench.statistics.observations import observations
from bench.statistics.significance import holm
from tts.errors import SettingError


def beam(values: list[float | None], **given: object) -> pd.DataFrame:
    return naive(values, search="beam", **given)


def test_one_comparison_by_hand() -> None:
    run = pd.concat([naive([0.5, 0.5, 0.5, 0.5, None, 0.1]), beam([0.75, 1.0, 0.5, 0.25, 0.9, None], nfe=122)])
    [row] = compare_to(run).to_dict("records")
    assert (row["search"], row["nfe"], row["baseline"], row["baseline_nfe"]) == ("beam", 122, "naive", 35)
    assert (row["n"], row["effective_n"]) == (4, 4)
    assert row["difference"] == 0.125  # the mean of 0.25, 0.5, 0, -0.25
    assert (row["low"], row["high"]) == estimate(np.array([0.25, 0.5, 0, -0.25]))[2:]
    assert row["effect"] == pytest.approx(0.125 / np.sqrt((0.125**2 + 0.375**2 + 0.125**2 + 0.375**2) / 3))
    # sums of +-1, +-2, +-1 quarters: 4, 2, 0, -2 and their opposites; 6 of 8 are 2 or more
    assert row["p"] == row["p_holm"] == 0.75
    assert (row["won"], row["tied"]) == (0.5, 0.25)


def test_holm_is_over_all_comparisons_of_one_reward() -> None:
    frame = compare_to(trials())
    assert list(frame.columns) == COLUMNS
    assert len(frame) == 3 * 24
    assert "naive" not in set(frame["search"])
    for _, part in frame.groupby("reward"):
        assert part["p_holm"].to_numpy() == pytest.approx(holm(part["p"].to_numpy(np.float64)))


def test_a_baseline_of_several_points_is_met_at_the_nearest_compute() -> None:
    run = pd.concat(
        [naive([0.3, 0.4])]
        + [
            naive([0.1, 0.2], search="random", settings={"N": n}, budget="N", budget_value=float(n), nfe=nfe)
            for n, nfe in ((2, 50), (4, 100), (8, 400))
        ]
        + [beam([0.5, 0.7], nfe=200)]
    )
    frame = compare_to(run, "random").set_index("search")
    assert frame["baseline_nfe"].to_dict() == {"naive": 50, "beam": 100}  # of two as near, the cheaper
    assert frame.loc["naive", "baseline_settings"] == '{"N": 2}'


def test_naive_is_compared_with_best_of_its_own_samples() -> None:
    run = naive([0.4, 0.7], search="best_of_n", settings={"N": 2}, budget="N", budget_value=2.0, nfe=70)
    run = run.assign(samples=[[0.2, 0.4], [0.7, 0.6]])
    frame = compare_to(pd.concat([naive([0.2, 0.7]), run]))
    assert list(frame["derived"]) == [True, False]
    assert list(frame["nfe"]) == [35, 70]
    assert list(frame["difference"]) == pytest.approx([(0.1 - 0.05) / 2, 0.1])
    assert list(frame["tied"]) == [0, 0.5]


def test_every_row_is_the_paired_difference_of_its_two_points_in_whatever_order_the_trials_are() -> None:
    run = trials(6, ("brightness",)).sample(frac=1, random_state=1)
    for row in compare_to(run).to_dict("records"):
        a, b = (row["search"], row["settings"]), (row["baseline"], row["baseline_settings"])
        found = (row["n"], row["difference"], row["low"], row["high"])
        assert found == pytest.approx(tuple(paired_difference(run, row["reward"], a, b)))


def test_a_baseline_that_is_not_there_is_named() -> None:
    with pytest.raises(SettingError, match="baseline 'niave': no such search in these trials; did you mean 'naive'"):
        compare_to(trials(3), "niave")
    assert compare_to(trials().iloc[:0]).empty


def test_a_reward_without_the_baseline_has_no_rows() -> None:
    run = pd.concat([naive([0.1, 0.2]), beam([0.2, 0.4]), beam([0.2, 0.4], reward="compressibility")])
    assert list(compare_to(run)["reward"]) == ["brightness"]


def test_an_interval_over_conditions_is_that_of_their_mean_differences() -> None:
    base, gains = np.arange(8) / 10, np.array([0.1, 0.2, 0.1, 0.2, 0.3, 0.5, 0.3, 0.4])
    seeds = {"condition": [0, 0, 1, 1, 2, 2, 3, 3], "seed": [0, 1] * 4}
    run = pd.concat([naive([*base]).assign(**seeds), beam([*(base + gains)]).assign(**seeds)])
    [row] = compare_to(run, over="conditions").to_dict("records")
    assert (row["low"], row["high"]) == pytest.approx(estimate(gains.reshape(4, 2).mean(1))[2:])
    assert row["n"] == 8
    assert row["effective_n"] < 8


def test_observations_may_be_given_in_place_of_trials() -> None:
    run = trials(5)
    pd.testing.assert_frame_equal(compare_to(observations(run)), compare_to(run))


def test_paired_difference_matches_problems_not_rows() -> None:
    base = np.array([0.1, 0.9, 0.4, 0.6, 0.2])
    gains = np.array([0.1, 0.12, 0.08, 0.1, 0.11])
    run = pd.concat([naive([*base, 0.7]), naive([*(base + gains), None], search="beam").iloc[::-1]], ignore_index=True)
    found = paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    assert found.n == 5  # the sixth problem is unscored on one side
    assert found == pytest.approx(estimate(gains))
    assert found.low > 0  # while the unpaired intervals overlap widely
    assert paired_difference(run, "brightness", ("naive", "{}"), ("beam", "{}")).mean == pytest.approx(-found.mean)


def test_paired_difference_without_common_problems_is_nan() -> None:
    run = pd.concat([naive([0.1, 0.2], seed=0), naive([0.1, 0.2], search="beam", seed=1)])
    n, *numbers = paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    assert n == 0
    assert np.isnan(numbers).all()


def test_paired_difference_refuses_what_it_cannot_pair() -> None:
    run = naive([0.1, 0.2])
    with pytest.raises(SettingError, match="no trials of search 'beam'"):
        paired_difference(run, "brightness", ("beam", "{}"), ("naive", "{}"))
    twice = pd.concat([run, run.assign(trial=["a", "b"])])
    with pytest.raises(SettingError, match="several trials of one problem"):
        paired_difference(twice, "brightness", ("naive", "{}"), ("naive", "{}"))


def test_a_point_with_two_trials_of_a_problem_is_refused() -> None:
    run = naive([0.1, 0.2])
    with pytest.raises(SettingError, match="several trials of one problem"):
        compare_to(pd.concat([run, run.assign(trial=["a", "b"])]))


def test_signs_of_whole_conditions_are_flipped_where_they_are_drawn() -> None:
    """A difference that each of four conditions has its own of, whatever the seed, says little of other conditions."""
    conditions = np.repeat(["a", "b", "c", "d"], 50)
    values = np.repeat([3.0, 2.0, 4.0, -1.0], 50)
    [alone] = compare_pairs([(values, np.zeros(200))], conditions)
    [drawn] = compare_pairs([(values, np.zeros(200))], conditions, "conditions")
    assert alone["p"] < 0.001
    assert drawn["p"] == pytest.approx(4 / 16)  # sums of 8 and 10 and their opposites are as far from 0 as 8
    assert drawn["low"] < 0.5 < alone["low"]
