"""Studies: every bad input is refused by its name, and the identity of a run holds everything that changes results."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from bench.study.config import RunConfig
from bench.study.entries import entries_of
from bench.study.study import Study
from tts.errors import RunMismatchError, SettingError, TTSError, UnknownNameError, WeightsError
from tts.files.weights_file import SHIPPED

Make = Callable[..., RunConfig]


def sampler(**settings: Any) -> dict[str, Any]:
    """The embedded model with four steps and other settings."""
    return {"name": "cifar10", "sampler": {"steps": 4, **settings}}


def search(name: str, **settings: Any) -> dict[str, Any]:
    """A configuration of one search."""
    return {"searches": [{"name": name, **settings}]}


def conditions(*values: Any) -> dict[str, Any]:
    """A configuration of some conditions."""
    return {"problems": {"conditions": list(values)}}


BAD: list[tuple[dict[str, Any], str]] = [
    ({"searches": ["beem"]}, "unknown search 'beem'; did you mean 'beam'?"),
    ({"searches": [{"name": "beem", "budget": {"N": [1]}}]}, "unknown search 'beem'; did you mean 'beam'?"),
    ({"searches": [{"N": 2}]}, "search: expected a name or '{name: ..., key: value}', got {'N': 2}"),
    ({"searches": [{"budget": {"N": [1]}}]}, "search: expected a name or '{name: ..., key: value}', got {}"),
    ({"rewards": ["brightnes"]}, "unknown reward 'brightnes'; did you mean 'brightness'?"),
    ({"rewards": ["brightness", {"name": "brightness"}]}, "rewards: brightness is named twice"),
    ({"rewards": [{"name": "compressibility", "qualty": 9}]}, "compressibility: unknown key 'qualty'; did you mean"),
    ({"rewards": [{"name": "compressibility", "quality": 96}]}, "reward compressibility: quality = 96: "),
    ({"model": "cifar"}, "unknown model 'cifar'; did you mean 'cifar10'?"),
    ({"model": {"name": "cifar10", "samplr": {}}}, "model cifar10: unknown key 'samplr'; did you mean 'sampler'?"),
    ({"model": sampler(stps=6)}, "model cifar10: sampler heun: unknown key 'stps'; did you mean 'steps'?"),
    ({"model": sampler(steps=1)}, "model cifar10: sampler heun: steps = 1: "),
    ({"model": sampler(sigma_min=100)}, "sigma_min must be below sigma_max"),
    (search("eps_greedy", epss=0.5), "search eps_greedy: unknown key 'epss'; did you mean 'eps'?"),
    (search("best_of_n", N=0), "search best_of_n: N = 0: Input should be greater than or equal to 1"),
    (search("zero_order", K=0), "search zero_order: K = 0: Input should be greater than or equal to 1"),
    (search("mcts", S=0), "search mcts: S = 0: Input should be greater than or equal to 1"),
    (search("beam", B=-1), "search beam: B = -1: Input should be greater than or equal to 1"),
    (search("beam", budget={"N": [2, 0]}), "search beam: N = 0: Input should be greater than or equal to 1"),
    (search("eps_greedy", eps=1.5), "search eps_greedy: eps = 1.5: Input should be less than or equal to 1"),
    (search("eps_greedy", eps=-0.1), "search eps_greedy: eps = -0.1: Input should be greater than or equal to 0"),
    (search("eps_greedy", **{"lambda": 0}), "search eps_greedy: lambda = 0: Input should be greater than 0"),
    (search("zero_order", **{"lambda": -1}), "search zero_order: lambda = -1: Input should be greater than 0"),
    (search("random", budget={"N": []}), "search random: budget N needs a list of at least one value"),
    (search("random", budget={"N": 4}), "search random: budget N needs a list of at least one value"),
    (search("zero_order", budget={"kk": [1]}), "budget 'kk' is not one of its settings; did you mean 'K'?"),
    (search("zero_order", budget={"lamda": [1]}), "budget 'lamda' is not one of its settings; did you mean 'lambda'?"),
    (search("naive", budget={"N": [1]}), "search naive: budget 'N' is not one of its settings"),
    (search("beam", budget={"N": [1], "B": [2]}), "search beam: budget names one setting that grows"),
    (search("beam", budget={}), "search beam: budget names one setting that grows"),
    (search("beam", budget="N"), "search beam: budget names one setting that grows"),
    (search("beam", N=2, budget={"N": [1]}), "search beam: 'N' is set both as a value and as the budget"),
    (search("zero_order", budget={"keep_best": [True, False]}), "zero_order: budget 'keep_best' is not a number"),
    (search("beam", budget={"N": [2, 2]}), 'searches: beam with the settings {"B":2,"N":2} appears twice'),
    ({"searches": ["naive", {"name": "naive"}]}, "searches: naive with the settings {} appears twice"),
    (
        {"searches": [{"name": "best_of_n", "N": 2}, {"name": "best_of_n", "budget": {"N": [1, 2]}}]},
        'searches: best_of_n with the settings {"N":2} appears twice',
    ),
    (conditions(12), "class 12 is out of range: this model has the classes 0 to 9"),
    (conditions("12"), "class 12 is out of range"),
    (conditions(-1), "class -1 is out of range"),
    (conditions("cta"), "unknown class 'cta'; did you mean 'cat'?"),
    ({"model": "own_flow:Gaussians", **conditions("red")}, "unknown class 'red': this model has no names of classes"),
    (conditions(), "problems.conditions: the list is empty"),
    (conditions(3, "cat"), "problems.conditions: cat is named twice"),
    ({"model": {"name": "cifar10", "weights": "/nowhere/w.safetensors"}}, "weights /nowhere/w.safetensors: no such"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[message for _, message in BAD])
def test_bad_input_is_refused_in_one_line_that_names_it(change: dict[str, Any], message: str, tiny: Make) -> None:
    with pytest.raises(TTSError) as caught:
        Study(tiny(**change))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert isinstance(caught.value, WeightsError if "weights" in message else SettingError)
    assert not isinstance(caught.value, RunMismatchError)


@pytest.mark.parametrize("change", [{"searches": ["beem"]}, {"rewards": ["x"]}, {"model": "x"}])
def test_unknown_names_have_an_error_of_their_own(change: dict[str, Any], tiny: Make) -> None:
    with pytest.raises(UnknownNameError):
        Study(tiny(**change))


def damage_header(data: bytes) -> bytes:
    """Set an impossible length of the header."""
    return b"\xff" * 8 + data[8:]


def damage_tensor(data: bytes) -> bytes:
    """Change one bit of one number."""
    return data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]


DAMAGES: list[Callable[[bytes], bytes]] = [damage_header, damage_tensor, lambda data: data[:-1], lambda data: b""]


@pytest.mark.parametrize("damage", DAMAGES, ids=["header", "one bit", "truncated", "empty"])
@pytest.mark.parametrize("of", ["denoiser", "classifier"])
def test_damaged_weights_are_refused(of: str, damage: Callable[[bytes], bytes], tiny: Make, tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    path.write_bytes(damage((SHIPPED / f"cifar10-{of}.safetensors").read_bytes()))
    change = {
        "denoiser": {"model": {"name": "cifar10", "weights": str(path)}},
        "classifier": {"rewards": ["brightness", {"name": "class_probability", "weights": str(path)}]},
    }
    with pytest.raises(WeightsError, match=rf"^weights {re.escape(str(path))}: damaged") as caught:
        Study(tiny(**change[of]))
    assert "\n" not in str(caught.value)


def test_a_sampler_without_noise_leaves_nothing_to_search(tiny: Make) -> None:
    with pytest.raises(SettingError, match=r"^model cifar10: its sampler injects no noise.*raise the sampler"):
        Study(tiny(model=sampler(S_churn=0)))
    assert Study(tiny(model=sampler(S_churn=0), searches=["naive"])).size == 2 * 3


def test_trials_are_every_combination_once(tiny: Make) -> None:
    study = Study(tiny(problems={"conditions": ["cat", 0], "seeds": 2}))
    trials = list(study.trials())
    assert study.problems == 4
    assert len(trials) == study.size == 4 * 9 * 3
    assert len({trial.key for trial in trials}) == len(trials)
    assert {(trial.condition, trial.seed) for trial in trials} == {(3, 0), (3, 1), (0, 0), (0, 1)}
    assert {trial.reward for trial in trials} == {"brightness", "compressibility", "class_probability"}
    points = {(trial.search, trial.budget, trial.budget_value) for trial in trials}
    assert points >= {("naive", None, None), ("best_of_n", "N", 3.0), ("random", None, None), ("mcts", "S", 1.0)}
    assert len(points) == 9


def test_problems_come_in_their_order_and_the_longest_trials_of_each_first(tiny: Make) -> None:
    study = Study(tiny(problems={"conditions": ["cat", 0], "seeds": 2}))
    problems = groupby(study.trials(), key=lambda trial: (trial.seed, trial.condition))
    found = {problem: list(trials) for problem, trials in problems}
    assert list(found) == [(0, 3), (0, 0), (1, 3), (1, 0)]
    for trials in found.values():
        assert len(trials) == study.size // study.problems
        assert all(trial.shares_with(trials[0]) for trial in trials)
        depths = [trial.algorithm.depth(study.plan) for trial in trials]
        assert depths == sorted(depths, reverse=True)
        assert depths[0] > depths[-1]


def test_shards_are_of_whole_problems_if_there_are_many(tiny: Make) -> None:
    for seeds, whole in [(8, True), (7, False)]:
        shards = [Study(tiny(problems={"conditions": [0, 1], "seeds": seeds}, shard=f"{k}/2")) for k in range(2)]
        problems = [{(trial.condition, trial.seed) for trial in shard.shard_trials()} for shard in shards]
        assert problems[0].isdisjoint(problems[1]) == whole
        found = [trial.key for shard in shards for trial in shard.shard_trials()]
        assert sorted(found) == sorted(trial.key for trial in shards[0].trials())
        assert [shard.shard_size for shard in shards] == [shards[0].size // 2] * 2


def test_a_problem_is_the_same_under_every_search_and_reward(tiny: Make) -> None:
    study = Study(tiny(problems={"conditions": "all", "seeds": 3}))
    seeds = {(trial.condition, trial.seed): trial.problem_seed for trial in study.trials()}
    assert all(seeds[trial.condition, trial.seed] == trial.problem_seed for trial in study.trials())
    assert len(set(seeds.values())) == len(seeds) == 30
    assert all(0 <= seed < 2**63 for seed in seeds.values())


def test_a_problem_does_not_depend_on_its_neighbours(tiny: Make) -> None:
    few = {trial.key for study in [Study(tiny(**conditions(5)))] for trial in study.trials()}
    many = Study(tiny(problems={"conditions": "all", "seeds": 2}))
    assert few < {trial.key for trial in many.trials()}


TRANSPORT: list[dict[str, Any]] = [
    {"engines": {"backend": "ray", "count": 7}},
    {"engines": {"backend": "ray"}},
    {"engines": {"address": "ray://head:10001"}},
    {"engines": {"oversupply": 9.0}},
    {"output": "elsewhere"},
    {"flush_seconds": 0.0},
    {"images": False},
    {"problems": {"conditions": ["airplane", 3], "seeds": 1}},  # the same conditions in another form
    {"model": {"name": "cifar10", "sampler": {"steps": 4}, "weights": str(SHIPPED / "cifar10-denoiser.safetensors")}},
]


@pytest.mark.parametrize("change", TRANSPORT, ids=[next(iter(change.items()))[0] for change in TRANSPORT])
def test_where_and_how_fast_is_no_part_of_the_identity(change: dict[str, Any], tiny: Make) -> None:
    plain, changed = Study(tiny(model=sampler())), Study(tiny(**{"model": sampler(), **change}))
    assert changed.config != plain.config
    assert changed.resolved() == plain.resolved()
    assert changed.digest() == plain.digest()
    keys = [{trial.key for trial in study.trials()} for study in (plain, changed)]
    assert keys[0] == keys[1]


IDENTITY: list[dict[str, Any]] = [
    {"engines": {"batch": 9}},
    {"engines": {"threads": 2}},
    {"engines": {"device": "cuda"}},
    {"seed": 1},
    {"problems": {"conditions": [0, "cat"], "seeds": 2}},
    {"problems": {"conditions": [0, "dog"], "seeds": 1}},
    {"searches": ["naive", {"name": "beam", "B": 3}]},
    {"searches": ["naive", {"name": "beam", "B": 2}]},
    {"searches": ["naive", {"name": "beam", "budget": {"B": [2]}}]},
    {"rewards": ["brightness"]},
    {"rewards": ["brightness", {"name": "compressibility", "quality": 70}, "class_probability"]},
    {"model": sampler(S_churn=30)},
]


def test_whatever_changes_the_results_changes_the_identity(tiny: Make) -> None:
    digests = [Study(tiny(**change)).digest() for change in [{}, *IDENTITY]]
    assert len(set(digests)) == len(digests)
    assert all(re.fullmatch(r"[0-9a-f]{32}", digest) for digest in digests)


def test_other_weights_change_the_identity(tiny: Make, tmp_path: Path) -> None:
    from safetensors import safe_open
    from safetensors.numpy import save_file

    with safe_open(SHIPPED / "cifar10-denoiser.safetensors", framework="numpy") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (no mapping)
    first = min(tensors)
    save_file({**tensors, first: tensors[first] + 1}, tmp_path / "other.safetensors")
    model = {**sampler(), "weights": str(tmp_path / "other.safetensors")}
    plain, other = Study(tiny(searches=["naive"])), Study(tiny(searches=["naive"], model=model))
    assert plain.digest() != other.digest()
    assert not {t.key for t in plain.trials()} & {t.key for t in other.trials()}


def test_the_resolved_run_is_plain_json_with_defaults_filled_in(tiny: Make) -> None:
    resolved = Study(tiny()).resolved()
    assert json.loads(json.dumps(resolved)) == resolved
    assert resolved["model"]["sampler"]["S_churn"] == 40.0
    assert resolved["conditions"] == [0, 3]
    assert ["eps_greedy", {"N": 2, "K": 2, "lambda": 0.15, "keep_best": True, "eps": 0.4}, "K"] in resolved["searches"]


def test_the_digest_is_the_same_in_another_process(tiny: Make, fresh_python: Callable[..., str]) -> None:
    code = (
        "from tiny_study import TINY; from bench.study.config import RunConfig; from bench.study.study import Study\n"
        "print(Study(RunConfig.model_validate({**TINY, 'output': 'x'})).digest())"
    )
    assert fresh_python(code, hash_seed=7) == Study(tiny()).digest()


def test_a_study_is_built_without_torch(fresh_python: Callable[..., str]) -> None:
    code = (
        "import sys; from bench.study.config import load; from bench.study.study import Study\n"
        "study = Study(load('quickstart')); study.digest(); [trial.key for trial in study.trials()]\n"
        "print(study.size, sorted({'torch', 'ray', 'diffusers', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    size, modules = fresh_python(code).split(maxsplit=1)
    assert int(size) > 100
    assert modules == "[]"


def test_a_budget_without_a_name_grows_the_searchs_own(tiny: Make) -> None:
    named = Study(tiny(searches=[{"name": "beam", "budget": {"N": [2, 4]}}]))
    assert Study(tiny(searches=[{"name": "beam", "budget": [2, 4]}])).entries == named.entries


def test_a_reward_refuses_a_model_that_it_cannot_judge(tiny: Make) -> None:
    with pytest.raises(SettingError, match="class_probability: its classifier knows CIFAR-10's classes"):
        Study(tiny(model="edm", rewards=["class_probability"], problems={"conditions": [0], "seeds": 1}))


def test_initial_noises_differ_even_where_none_is_injected(tiny: Make) -> None:
    idle = {"name": "cifar10", "sampler": {"steps": 4, "S_churn": 0}}
    assert Study(tiny(model=idle, searches=["naive", {"name": "best_of_n", "N": 2}])).plan.noisy_steps == ()


def test_a_budget_may_begin_at_a_settings_default() -> None:
    """A default that the record omits is still a point of the curve."""
    [first, second] = entries_of({"name": "random", "N": 2, "budget": {"alpha": [0.0, 0.1]}})
    assert [first.budget, second.budget] == ["alpha", "alpha"]


def test_another_way_to_make_noises_is_another_run(tiny: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Study(tiny()).digest()
    monkeypatch.setattr("bench.study.study.NOISE_VERSION", 2)
    assert Study(tiny()).digest() != before
