"""A trial's identity: pinned, the same from plan and row, and changed by everything that changes the result."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
import torch

from bench.store.row import identity_columns
from bench.study.config import Engines
from bench.study.trial import Context, Trial, identity
from bench.workers.numerics import set_numerics
from tts.search.eps_greedy import EpsGreedy
from tts.search.naive import Naive
from tts.settings import canonical

CONTEXT = Context(model={"name": "m", "weights": "w"}, rewards={"r": {}}, numerics={"batch": 8})
TRIAL = Trial("eps_greedy", EpsGreedy(K=2), "K", "r", 3, 0, 12345, CONTEXT)


def test_identity_is_pinned() -> None:
    """Changing this value orphans every stored row: raise IDENTITY_VERSION on purpose, never by accident."""
    assert TRIAL.key == "d0517f30943fadbf8ce45df76dde6678"


def test_identity_of_a_row_is_that_of_the_plan() -> None:
    row = json.loads(json.dumps(identity_columns(TRIAL, "cat")))
    again = identity(CONTEXT, row["search"], row["settings"], row["reward"], row["condition"], row["problem_seed"])
    assert again == row["trial"]


@pytest.mark.parametrize(
    "other",
    [
        replace(TRIAL, algorithm=EpsGreedy(K=3)),
        replace(TRIAL, algorithm=EpsGreedy(K=2, eps=0.5)),
        replace(TRIAL, search="naive", algorithm=Naive()),
        replace(TRIAL, reward="s"),
        replace(TRIAL, condition=4),
        replace(TRIAL, condition="3"),
        replace(TRIAL, problem_seed=12346),
    ],
)
def test_whatever_changes_the_result_changes_the_identity(other: Trial) -> None:
    assert other.key != TRIAL.key


@pytest.mark.parametrize("part", ["model", "rewards", "numerics"])
def test_context_is_part_of_the_identity(part: str) -> None:
    changed = replace(CONTEXT, **{part: {**getattr(CONTEXT, part), "name": "other"}})
    assert replace(TRIAL, context=changed).key != TRIAL.key


def test_label_of_the_budget_and_place_of_work_are_no_part_of_the_identity() -> None:
    assert replace(TRIAL, budget="N").key == replace(TRIAL, alone=True).key == TRIAL.key


def test_canonical_json_ignores_the_order_of_keys() -> None:
    assert canonical({"b": 1, "a": [1, 2]}) == canonical({"a": [1, 2], "b": 1}) == '{"a":[1,2],"b":1}'


@pytest.mark.parametrize(
    "given", [{"tf32": "none"}, {"tf32": "all"}, {"compile": True}, {"tf32": "all", "compile": True}]
)
def test_what_changes_the_last_bits_is_part_of_the_identity_and_defaults_are_not(given: dict[str, Any]) -> None:
    assert Engines().numerics() == {"batch": 32, "threads": 1, "device": "cpu"}  # as in the first version
    on_gpu = Engines(device="cuda").numerics()
    assert on_gpu == {"batch": 32, "threads": 1, "device": "cuda"}
    changed = Engines.model_validate({"device": "cuda", **given}).numerics()
    assert changed == {**on_gpu, **given}
    one, other = (replace(TRIAL, context=replace(CONTEXT, numerics=each)) for each in (changed, on_gpu))
    assert one.key != other.key


def test_cpus_have_no_tf32() -> None:
    with pytest.raises(ValueError, match="tf32: CPUs have none; it needs device: cuda"):
        Engines(tf32="all")


FLAGS = {"convolutions": (False, True), "none": (False, False), "all": (True, True)}


@pytest.mark.parametrize("tf32", FLAGS)
def test_engines_compute_as_they_are_told(tf32: Any) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    before = matmul.allow_tf32, cudnn.allow_tf32
    try:
        set_numerics(Engines(device="cuda", tf32=tf32, threads=torch.get_num_threads()))
        assert (matmul.allow_tf32, cudnn.allow_tf32) == FLAGS[tf32]
    finally:
        matmul.allow_tf32, cudnn.allow_tf32 = before
