"""A search ranks its candidates by several rewards, like Ma et al., or says why it cannot."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError
from tts.noise import Noise
from tts.registry import SEARCHES
from tts.search.base import Problem, Run
from tts.search.best_of_n import BestOfN
from tts.search.rank_ensemble import RankEnsemble
from tts.search.segment import Evaluation, State, best, rank_sums, top
from tts.search.zero_order_initial import ZeroOrderInitial
from tts.settings import parse
from tts.testing.toy import EVERY, GAPPY, World


def scored(key: int, **rewards: float | None) -> Evaluation:
    return Evaluation(State(key, 0, 4, (Noise(key),)), rewards.get("a"), 1, rewards, tuple(sorted(rewards)))


def test_the_least_sum_of_ranks_wins_whatever_the_scales() -> None:
    found = [scored(0, a=0.9, b=100), scored(1, a=0.8, b=900), scored(2, a=0.1, b=800), scored(3, a=0.7, b=700)]
    assert rank_sums(found, ["a", "b"]) == [0 + 3, 1 + 0, 3 + 1, 2 + 2]
    assert best(found) is found[1]
    assert [each.state.key for each in top(found, 4)] == [1, 0, 2, 3]


def test_equal_values_share_their_ranks_and_the_first_of_equal_sums_wins() -> None:
    found = [scored(0, a=1, b=2), scored(1, a=1, b=2), scored(2, a=1, b=1)]
    assert rank_sums(found, ["a", "b"]) == [1.5, 1.5, 3.0]
    assert best(found) is found[0]


def test_what_could_not_be_scored_is_below_all_others() -> None:
    found = [scored(0, a=None, b=1), scored(1, a=-5, b=1)]
    assert best(found) is found[1]


def test_without_ranks_the_highest_reward_wins_as_ever() -> None:
    found = [replace(each, ranked=()) for each in (scored(0, a=0.2, b=9), scored(1, a=0.3, b=1))]
    assert best(found) is found[1]


def play(run: Run, values: dict[str, list[float]]) -> tuple[Evaluation, list[set[str]]]:
    """The choice of a search whose n-th candidate has these values, and its requests."""
    asked, number, answers = [], 0, None
    while True:
        try:
            segments = run.send(answers) if answers is not None else next(run)
        except StopIteration as stop:
            return stop.value, asked
        answers = []
        for segment in segments:
            asked.append(set(segment.rewards))
            scores = {name: column[number] for name, column in values.items()}
            answers.append(Evaluation.of(State(number, 0, segment.stop, segment.recipe), segment, scores, "a", 1))
            number += 1


def problem() -> Problem:
    return Problem(0, 3, GAPPY, "a", ("a", "b", "c"))


def test_all_rewards_of_the_run_rank_or_those_that_are_named() -> None:
    values = {"a": [3.0, 2, 1], "b": [1.0, 2, 3], "c": [1.0, 3, 2]}  # ranks sum to 4, 2 and 3; of a and c to 2, 1, 3
    chosen, asked = play(RankEnsemble(size=3).run(problem()), values)
    assert (chosen.state.key, asked) == (1, [{"a", "b", "c"}] * 3)
    chosen, asked = play(
        RankEnsemble(size=2, of=["a", "b"]).run(problem()), {"a": [2.0, 1], "b": [1.0, 2], "c": [0, 0]}
    )
    assert (chosen.state.key, asked) == (0, [{"a", "b"}] * 2)  # equal sums


def test_a_pivot_is_ranked_anew_among_its_neighbours() -> None:
    """With its rank from the round before, it would stay."""
    search = RankEnsemble(search={"name": "zero_order_initial", "N": 2}, size=1, of=["a", "b"])
    chosen, _ = play(search.run(problem()), {"a": [5.0, 6, 4], "b": [1.0, 2, 3]})
    assert chosen.state.key == 1


def test_of_one_reward_it_is_the_other_search() -> None:
    values = {"a": [0.3, 0.9, 0.1, 0.95, 0.2], "b": [0.0] * 5, "c": [0.0] * 5}
    inner = ZeroOrderInitial(N=2, K=2)
    wrapped = RankEnsemble(search={"name": "zero_order_initial", "N": 2}, size=2, of=["a"])
    assert play(wrapped.run(problem()), values)[0].state == play(inner.run(problem()), values)[0].state
    assert (wrapped.nfe(GAPPY), wrapped.depth(GAPPY)) == (inner.nfe(GAPPY), inner.depth(GAPPY))


@pytest.mark.parametrize("name", ["dsearch", "paths", "pruned"])
def test_of_one_reward_it_chooses_as_the_other_search_does(name: str) -> None:
    search = RankEnsemble(search=name, size=3)
    for seed in range(5):
        ranked, plain = World(EVERY).play(search, seed), World(EVERY).play(search.inner, seed)
        assert ranked.state.noises == plain.state.noises


def test_its_size_is_the_other_searchs_budget() -> None:
    assert RankEnsemble(size=7).inner == BestOfN(N=7)
    assert RankEnsemble(search={"name": "zero_order_initial", "N": 2}, size=5).inner == ZeroOrderInitial(N=2, K=5)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"search": "mcts"}, "search: mcts asks how much better a candidate is, which ranks do not tell"),
        ({"search": {"name": "random", "alpha": 0.1}}, "search: random asks how much better"),
        ({"search": "rank_ensemble"}, "search: rank_ensemble asks how much better"),
        ({"search": "best_of_m"}, "unknown search 'best_of_m'; did you mean 'best_of_n'"),
        ({"search": "naive"}, "search: naive has no setting that grows with size"),
        ({"search": {"name": "best_of_n", "N": 3}}, "search: its N is set by size; take it out of search"),
    ],
)
def test_what_cannot_be_ranked_is_refused(given: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        SEARCHES.make({"name": "rank_ensemble", **given})


def config(**changes: object) -> RunConfig:
    engines = {"backend": "local", "simulate": 0.0}
    return parse(RunConfig, {"model": "cifar10", "engines": engines, "output": "run", **changes}, "here")


def test_a_study_refuses_rewards_that_are_not_searched_on() -> None:
    searches = [{"name": "rank_ensemble", "of": ["brightness", "compressibility"], "budget": {"size": [2, 4]}}]
    study = Study(config(rewards=["brightness", "compressibility"], searches=searches))
    assert [entry.algorithm.nfe(study.plan) for entry in study.entries] == [2 * study.plan.nfe(), 4 * study.plan.nfe()]
    with pytest.raises(SettingError, match="of: compressibility is no reward of the run that is searched on"):
        Study(config(rewards=["brightness"], held_out=["compressibility"], searches=searches))
