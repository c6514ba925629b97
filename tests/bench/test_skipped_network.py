"""Engines that never call their network: everything else is done and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from operations import Counting
from torch import nn

from bench.benchmarks.host_path import SAMPLERS, cost
from bench.run.doctor.speed import _fresh
from bench.study.config import Engines, RunConfig
from bench.study.study import Study
from bench.workers.building import build_engine
from tts.engine.batching import Engine
from tts.engine.requests import EvalRequest
from tts.errors import SettingError
from tts.settings import parse

Make = Callable[..., RunConfig]


@pytest.fixture
def study(tiny: Make) -> Study:
    return Study(tiny(rewards=["brightness", "compressibility"], engines={"skip_network": True, "batch": 4}))


@pytest.fixture
def engine(study: Study) -> Iterator[Engine]:
    made: Any = build_engine(study)
    with closing(made):
        yield made


def asked(network: nn.Module) -> list[nn.Module]:
    """A list that grows whenever the network is called."""
    found: list[nn.Module] = []
    network.register_forward_pre_hook(lambda module, _: found.append(module))
    return found


def test_all_is_done_but_the_network(study: Study, engine: Engine) -> None:
    forwards = asked(engine.model.module)
    engine.submit(EvalRequest(k, _fresh(study, engine.model.sampler.plan, k)) for k in range(6))
    done = []
    while engine.busy:
        done += engine.advance()
    assert forwards == []
    assert {each.nfe for each in done} == {study.plan.nfe()}
    assert len({each.scores["brightness"] for each in done}) == 6  # each trial has its own noises
    assert all(each.decodes == 1 for each in done)


def test_a_pass_of_a_whole_engine_asks_for_few_operations(study: Study, engine: Engine) -> None:
    """Decoding and rewards are included; a batch of trajectories has one of each."""
    plan = engine.model.sampler.plan
    engine.submit(EvalRequest(k, _fresh(study, plan, k)) for k in range(4 * engine.batch))
    with Counting() as counting:
        while engine.busy:
            engine.advance()
    assert engine.load.rows == engine.load.batches * engine.batch
    assert counting.counts.total() / engine.load.batches <= 60


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_what_a_row_costs_the_host_is_measured(sampler: str) -> None:
    found = cost(sampler, "3x32x32", 2, rounds=1)
    assert 0 < found.microseconds < 1e6


def test_it_is_part_of_the_identity(tiny: Make) -> None:
    assert Study(tiny(engines={"skip_network": True})).digest() != Study(tiny()).digest()
    assert "skip_network" not in Engines().numerics()
    for other in ({"simulate": 0.1}, {"compile": True}):
        with pytest.raises(SettingError, match="skip_network: nothing is left of it"):
            parse(Engines, {"skip_network": True, **other}, "engines")
