"""Analysis of traces: small ones by hand, and a random one against plain loops."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from synthetic_trials import trial

from bench.statistics.trace_analysis import all_wins, gain_by_step, reward_so_far, wins


def trials(*seeds: int, **given: Any) -> pd.DataFrame:
    """Trials with these seeds, which are also their names."""
    rows = [
        {**trial(search="eps_greedy", settings={"K": 2}, seed=seed, **given), "trial": f"t{seed}"} for seed in seeds
    ]
    return pd.DataFrame(rows)


def trace(name: str, *evaluations: tuple[int, str, float | None, bool]) -> pd.DataFrame:
    """Evaluations of one trial, two denoiser calls each: (step, kind, reward, chosen)."""
    rewards = np.array([np.nan if reward is None else reward for _, _, reward, _ in evaluations])
    rows = [
        {"trial": name, "round": place, "candidate": 0, "first": step, "kind": kind, "reward": rewards[place]}
        | {"chosen": chosen, "nfe_so_far": 2 * (place + 1)}
        for place, (step, kind, _, chosen) in enumerate(evaluations)
    ]
    return pd.DataFrame(rows).assign(best=np.fmax.accumulate(rewards))


FIRST = trace(
    "t0", (0, "global", 0.2, False), (0, "local", 0.5, True), (1, "global", 0.4, False), (1, "local", 0.9, True)
)
SECOND = trace("t1", (0, "global", 0.3, True), (0, "local", 0.1, False), (1, "global", 0.7, True))
BOTH = pd.concat([FIRST, SECOND], ignore_index=True)


def test_reward_so_far_is_the_mean_of_staircases_and_a_finished_trial_keeps_its_best() -> None:
    found = reward_so_far(BOTH, trials(0, 1))
    assert found["nfe"].tolist() == [2, 4, 6, 8]
    assert found["mean"].tolist() == pytest.approx([(0.2 + 0.3) / 2, (0.5 + 0.3) / 2, (0.5 + 0.7) / 2, (0.9 + 0.7) / 2])
    assert set(found["n"]) == {2}
    assert (found["low"] < found["mean"]).all()
    assert set(found["search"]) == {"eps_greedy"}


def test_reward_so_far_begins_where_all_trials_have_a_reward() -> None:
    late = trace("t1", (0, "none", None, True), (1, "global", 0.6, True))
    found = reward_so_far(pd.concat([FIRST, late]), trials(0, 1))
    assert found["nfe"].tolist() == [4, 6, 8]
    assert found["mean"].iloc[0] == pytest.approx((0.5 + 0.6) / 2)


def test_one_trial_has_no_interval() -> None:
    found = reward_so_far(FIRST, trials(0))
    assert found[["low", "high"]].isna().all(axis=None)


def test_the_rises_of_all_steps_add_up() -> None:
    found = gain_by_step(BOTH, trials(0, 1)).set_index("step")
    assert found["mean"].tolist() == pytest.approx([(0.3 + 0.0) / 2, (0.4 + 0.4) / 2])
    assert found["share"].tolist() == pytest.approx([0.3 / 1.1, 0.8 / 1.1])
    assert found["selection"].tolist() == pytest.approx([((0.5 - 0.35) + (0.3 - 0.2)) / 2, ((0.9 - 0.65) + 0.0) / 2])


def test_wins_of_fresh_and_moved_noises() -> None:
    by_step = wins(BOTH, trials(0, 1))
    counts = by_step.set_index(["step", "kind"])
    assert counts.loc[(0, "global"), ["candidates", "wins", "rate", "share"]].tolist() == [2, 1, 0.5, 0.5]
    assert counts.loc[(1, "local"), ["candidates", "wins", "rate", "share"]].tolist() == [1, 1, 1.0, 0.5]
    everything = all_wins(by_step).set_index("kind")
    assert everything["candidates"].tolist() == [4, 3]
    assert everything["wins"].tolist() == [2, 2]
    assert everything["share"].tolist() == [0.5, 0.5]


def test_steps_without_noise_and_candidates_without_reward_win_nothing() -> None:
    found = wins(trace("t0", (0, "none", 0.5, True), (1, "global", None, True), (1, "local", 0.2, False)), trials(0))
    assert found[["kind", "candidates", "wins"]].to_numpy().tolist() == [["local", 1, 0]]
    assert found["share"].isna().all()


def test_evaluations_of_other_trials_are_left_out_and_the_order_of_rows_changes_nothing() -> None:
    shuffled = BOTH.sample(frac=1, random_state=0)
    for analysis in (reward_so_far, gain_by_step, wins):
        pd.testing.assert_frame_equal(analysis(shuffled, trials(0, 1)), analysis(BOTH, trials(0, 1)))
        pd.testing.assert_frame_equal(analysis(BOTH, trials(0)), analysis(FIRST, trials(0)))


def test_no_evaluations_leave_empty_tables_with_their_columns() -> None:
    empty = BOTH.head(0)
    assert reward_so_far(empty, trials(0)).columns.tolist()[:4] == ["reward", "search", "settings", "nfe"]
    assert "selection" in gain_by_step(empty, trials(0))
    assert all_wins(wins(empty, trials(0))).empty


def test_a_long_trace_against_plain_loops() -> None:
    own = np.random.default_rng(0)
    made = [
        trace(
            f"t{seed}",
            *[(step, "global", own.uniform(), False) for step in sorted(own.integers(0, 9, own.integers(50, 90)))],
        )
        for seed in range(7)
    ]
    found = reward_so_far(pd.concat(made), trials(*range(7)), points=20)
    assert len(found) <= 20
    for row in found.to_dict("records"):
        bests = [each.loc[each["nfe_so_far"] <= row["nfe"], "reward"].max() for each in made]
        assert row["mean"] == pytest.approx(np.mean(bests))
