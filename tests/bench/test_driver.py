"""The driver with engines that answer late, in any order, and forget all that they may forget."""

from __future__ import annotations

import random
from copy import deepcopy
from typing import Any

import pytest
from fake_pool import TICK, FakePool, Rows, play, score, study
from hypothesis import given
from hypothesis import strategies as st
from mortal_pools import MortalPool

from bench.run.driver import Driver, RunProgress
from bench.store.completed import CompletedTrials
from bench.study.trial import Trial
from tts.errors import EngineError
from tts.noise import from_record
from tts.plan import Plan
from tts.search.base import Problem, Run
from tts.search.naive import Naive


@pytest.fixture(scope="module")
def reference() -> dict[str, dict[str, Any]]:
    """All rows of the study, made by one engine."""
    return play(study())[0]


@given(
    engines=st.integers(1, 5),
    seed=st.integers(0, 2**32),
    order=st.integers(0, 2**32),
    oversupply=st.sampled_from([1.0, 3.0, 50.0]),
)
def test_rows_depend_on_nothing_but_the_trial(
    reference: dict[str, dict[str, Any]], engines: int, seed: int, order: int, oversupply: float
) -> None:
    """They do not depend on the number of engines, their interleaving, the order of trials or the oversupply."""
    of = study(oversupply)
    trials = random.Random(order).sample(list(of.trials()), of.size)
    rows, _, pool = play(of, engines, seed, trials=iter(trials))
    assert rows == reference
    assert not any(pool.jobs)
    assert pool.states == [{}] * engines


def test_every_trial_has_its_row(reference: dict[str, dict[str, Any]]) -> None:
    of = study()
    assert set(reference) == {trial.key for trial in of.trials()}
    for trial in of.trials():
        row = reference[trial.key]
        assert (row["search"], row["settings"], row["reward"]) == (trial.search, trial.settings, trial.reward)
        assert (row["label"], row["seed"]) == ({0: "airplane", 3: "cat"}[trial.condition], trial.seed)
        assert row["value"] == row[f"score_{trial.reward}"]


def test_a_row_holds_the_recipe_of_its_image_and_scores(reference: dict[str, dict[str, Any]]) -> None:
    for row in reference.values():
        recipe = tuple(from_record(record) for record in row["noises"])
        assert len(recipe) == 1 + 6
        assert row["image"] == repr(recipe).encode()
        assert {name: row[f"score_{name}"] for name in ("brightness", "compressibility")} == {
            name: score(name, recipe) for name in ("brightness", "compressibility")
        }


def exact(trial: Trial) -> bool:
    """Whether a search's cost formula is exact."""
    settings = trial.algorithm.record()
    return trial.search != "mcts" or settings["S"] <= settings["N"]


def test_a_row_costs_what_the_search_promises(reference: dict[str, dict[str, Any]]) -> None:
    of = study()
    assert sum(exact(trial) for trial in of.trials()) == of.size * 8 // 9
    for trial in of.trials():
        row, promised = reference[trial.key], trial.algorithm.nfe(of.plan)
        assert row["nfe"] == promised if exact(trial) else 0 < row["nfe"] <= promised
        assert row["device_seconds"] == TICK * row["nfe"]
        assert row["reward_calls"] == row["decodes"] + 1  # the last image is scored by both rewards


def test_a_prediction_before_the_first_step_is_charged_as_well() -> None:
    """This holds for a sampler whose states hold predictions, and a search that begins with a noisy step."""
    of = study()
    of.plan = Plan((1,) * 5 + (0,), (True,) * 6, initial_nfe=1, back=1, leaps=(1,) * 5 + (0,))
    rows, counts, pool = play(of, engines=2)
    for trial in filter(exact, of.trials()):
        assert rows[trial.key]["nfe"] == trial.algorithm.nfe(of.plan), trial.search
    assert counts.nfe == sum(outcome.nfe for outcome in pool.outcomes)


def test_costs_are_summed_over_all_jobs() -> None:
    rows, counts, pool = play(study(share=False), engines=3)
    for column, name in [("nfe", "nfe"), ("decodes", "decodes"), ("reward_calls", "reward_calls")]:
        assert sum(row[column] for row in rows.values()) == sum(getattr(outcome, name) for outcome in pool.outcomes)
    assert sum(row["device_seconds"] for row in rows.values()) == sum(outcome.seconds for outcome in pool.outcomes)
    assert counts.nfe == sum(outcome.nfe for outcome in pool.outcomes)


@pytest.mark.slow
@given(engines=st.integers(1, 4), seed=st.integers(0, 2**32), shuffled=st.booleans(), share=st.booleans())
def test_what_is_computed_is_what_trials_cost_less_what_they_share(
    reference: dict[str, dict[str, Any]], engines: int, seed: int, shuffled: bool, share: bool
) -> None:
    of, coins, rows = study(share=share), random.Random(seed), Rows()
    pool, trials = FakePool(engines, of, coins), list(of.trials())
    if shuffled:
        coins.shuffle(trials)
    counts = Driver(of, pool, rows, trials=trials).run()
    assert rows.rows == reference
    assert counts.nfe == sum(outcome.nfe for outcome in pool.outcomes)
    assert counts.nfe == counts.planned == sum(row["nfe"] for row in rows.rows.values()) - rows.shared_nfe
    assert bool(rows.shared_nfe) == share
    assert pool.states == [{}] * engines


def test_small_budgets_are_inside_large_ones() -> None:
    """Naive sampling and every N of best-of-N, on two rewards, compute the trajectories of the largest N once."""
    of = study(searches=["naive", {"name": "best_of_n", "budget": {"N": [1, 2, 3, 4]}}])
    rows, counts, pool = play(of)
    one = of.plan.nfe()
    assert sum(row["nfe"] for row in rows.values()) == of.problems * 2 * (1 + 1 + 2 + 3 + 4) * one
    assert counts.nfe == of.problems * 4 * one
    scored = [outcome for outcome in pool.outcomes if outcome.nfe]
    assert [outcome.decodes for outcome in scored] == [1] * len(scored)  # one image is decoded for both rewards
    assert [outcome.reward_calls for outcome in scored] == [2] * len(scored)


def test_independent_samples_are_kept() -> None:
    of = study(searches=[{"name": "best_of_n", "N": 6}, {"name": "random", "N": 2}])
    rows, _, _ = play(of)
    for row in rows.values():
        if row["search"] == "random":
            assert row["samples"] is None
            continue
        assert len(row["samples"]) == 6
        assert max(value for value in row["samples"] if value is not None) == row["value"]


@pytest.mark.parametrize("engines", [1, 3])
def test_the_tally_ends_with_everything_done(engines: int) -> None:
    seen: list[RunProgress] = []
    of = study()
    _, counts, _ = play(of, engines, progress=lambda counts: seen.append(deepcopy(counts)))
    assert (counts.done, counts.trials) == (of.size, of.size)
    assert counts.planned == counts.nfe
    assert [status.device for status in counts.engines] == ["fake"] * engines
    assert (seen[0].done, seen[0].nfe) == (0, 0)
    assert seen[0].planned == sum(trial.algorithm.nfe(of.plan) for trial in of.trials())
    assert [counts.done for counts in seen] == sorted(counts.done for counts in seen)
    assert all(counts.nfe <= counts.planned for counts in seen)
    assert seen[-1] == counts


@given(st.integers(0, 2**32), st.floats(0, 1))
def test_trials_that_are_done_are_left_out(reference: dict[str, dict[str, Any]], seed: int, share: float) -> None:
    coins = random.Random(seed)
    done = {key for key in reference if coins.random() < share}
    rows, counts, pool = play(study(), 2, seed, done=CompletedTrials(done | {"of another run"}))
    assert rows == {key: row for key, row in reference.items() if key not in done}
    assert (counts.done, counts.trials) == (len(reference), len(reference))
    assert counts.planned == counts.nfe <= sum(row["nfe"] for row in rows.values())
    assert sum(outcome.image is not None for outcome in pool.outcomes) <= len(rows)  # one last image each, or shared


def test_nothing_left_to_do_asks_no_engine(reference: dict[str, dict[str, Any]]) -> None:
    rows, counts, pool = play(study(), done=CompletedTrials(reference))
    assert (rows, pool.outcomes) == ({}, [])
    assert (counts.done, counts.planned) == (len(reference), 0)


@pytest.mark.parametrize("engines", [1, 3])
@pytest.mark.parametrize("oversupply", [1.0, 2.0])
def test_engines_never_starve(engines: int, oversupply: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before each wait, enough segments are under way, or no trial is left to open."""
    of, opened, waits = study(oversupply), 0, 0

    def opening(self: Trial, plan: Plan, rewards: tuple[str, ...]) -> Problem:
        nonlocal opened
        opened += 1
        return problem(self, plan, rewards)

    def before_wait(under_way: int) -> None:
        nonlocal waits
        waits += 1
        assert under_way >= oversupply * 4 * engines or opened == of.size

    problem = Trial.problem
    monkeypatch.setattr(Trial, "problem", opening)
    rows = Rows()
    Driver(of, FakePool(engines, of, random.Random(1), before_wait), rows).run()
    assert len(rows.rows) == opened == of.size
    assert waits == rows.ticks > 10


def test_trials_are_opened_no_earlier_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine's segments exceed its target by at most one trial's list; else memory would grow with the study."""
    of = study(1.0, searches=[{"name": "best_of_n", "N": 5}], problems={"conditions": "all", "seeds": 4})
    most = 0

    def before_wait(under_way: int) -> None:
        nonlocal most
        most = max(most, under_way)

    Driver(of, FakePool(2, of, random.Random(1), before_wait), Rows()).run()
    assert 2 * 4 <= most < 2 * (4 + 5)


def test_no_trial_is_begun_while_the_store_is_full() -> None:
    of, rows = study(searches=["naive"]), Rows()
    rows.full = True
    driver = Driver(of, FakePool(2, of, random.Random(0)), rows)
    driver.schedule()
    assert not driver.work.open
    rows.full = False
    driver.schedule()
    assert driver.work.open


def test_new_trajectories_go_to_the_engine_with_the_least_to_do() -> None:
    of = study(1.0, searches=[{"name": "best_of_n", "N": 8}], problems={"conditions": "all"})
    pool = FakePool(4, of, random.Random(0))
    driver = Driver(of, pool, Rows())
    driver.schedule()
    driver.work.dispatch()
    assert [len(jobs) for jobs in pool.jobs] == [4, 4, 4, 4]
    driver.update(pool.reply(2, 4))
    driver.schedule()
    driver.work.dispatch()
    assert [len(jobs) for jobs in pool.jobs] == [5, 5, 5, 5]


def test_images_are_left_out_if_asked() -> None:
    rows, _, _ = play(study(images=False, searches=["naive"]))
    assert {row["image"] for row in rows.values()} == {None}


class Hasty(Naive):
    """A faulty search that ends before its trajectory does."""

    def run(self, problem: Problem) -> Run:
        """Take one step and return, before the trajectory ends."""
        [first] = yield [problem.start()]
        [second] = yield [problem.step(first.state, problem.noise(first.state.step))]
        return second


def test_a_search_that_fails_is_a_row_with_the_reason_and_the_others_go_on(
    reference: dict[str, dict[str, Any]],
) -> None:
    of = study()
    hasty = Trial("hasty", Hasty(), None, "brightness", 0, 0, 1, of.context)
    rows, counts, pool = play(of, trials=[hasty, *of.trials()])
    failed = rows.pop(hasty.key)
    assert rows == reference
    assert failed["error"] == (
        "search hasty: ended at step 1 of 6; a search must return an evaluation of a finished trajectory"
    )
    assert {failed[name] for name in ("value", "nfe", "image", "image_sha256", "recipe_hash")} == {None}
    assert (counts.done, counts.failed) == (of.size + 1, 1)
    assert pool.states == [{}]


def test_a_run_stops_when_too_many_trials_fail() -> None:
    of = study(max_errors=2)
    hasty = [Trial("hasty", Hasty(), None, "brightness", 0, 0, seed, of.context) for seed in range(9)]
    with pytest.raises(
        EngineError, match=r"^6 trials failed, more than max_errors = 2; the last: search hasty: .*--retry"
    ):
        play(of, trials=hasty)


def test_a_run_of_trials_that_fail_at_once_does_not_begin_them_all() -> None:
    """Such a trial leaves its engine without work, so that the next one would begin, and so on to the last."""

    class Broken(Hasty):
        def run(self, problem: Problem) -> Run:
            raise ValueError("no luck")
            yield

    of = study(max_errors=2)
    broken = [Trial("broken", Broken(), None, "brightness", 0, 0, seed, of.context) for seed in range(99)]
    with pytest.raises(EngineError, match=r"^3 trials failed, more than max_errors = 2; the last: search broken: V"):
        Driver(of, MortalPool(1, of, random.Random(0), 0.0), Rows(), trials=broken).run()


def test_an_engine_that_fails_ends_the_run() -> None:
    def fail(under_way: int) -> None:
        raise EngineError("engine 0 died")

    of, rows = study(), Rows()
    with pytest.raises(EngineError, match="engine 0 died"):
        Driver(of, FakePool(1, of, random.Random(0), fail), rows).run()
    assert rows.rows == {}
