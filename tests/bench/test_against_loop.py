"""The loop that engines are measured against: it takes the same steps, and costs as much as the study's own code."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
import tiny_study
import torch
from torch import Tensor

from bench.benchmarks import against_loop
from bench.benchmarks.against_loop import batch_for, compared, study_of
from bench.benchmarks.plain_loop import METHODS, PlainLoop
from bench.study.study import Study
from tts.plan import Condition
from tts.rewards.brightness import BrightnessReward
from tts.samplers.base import Position, drive
from tts.testing.toy_model import ToyModel

N, K = 3, 2


class Remembering(BrightnessReward):
    """Brightness that remembers the images it has seen."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def score(self, images: Tensor, conditions: Sequence[Condition]) -> list[float | None]:
        assert len(images) == len(conditions)
        found = super().score(images, conditions)
        self.seen += [each for each in found if each is not None]
        return found


@pytest.fixture
def loop() -> PlainLoop:
    torch.manual_seed(0)
    return PlainLoop(ToyModel(), Remembering(), N, K)


def test_its_steps_are_the_samplers(loop: PlainLoop) -> None:
    """Arithmetic is in float64; only the network gets float32 states."""
    for index in range(loop.sampler.steps):
        x, noise = torch.randn(2, 1, *loop.model.shape, dtype=torch.float64)
        x *= loop.sampler.levels[index]
        noisy = noise[0] if loop.sampler.plan.injects[index] else None

        def asked(call: object) -> Tensor:
            level = torch.tensor([call.level], dtype=torch.float64)  # type: ignore[attr-defined]
            return loop.model.denoise(call.x[None].float(), level, [3])[0].double()  # type: ignore[attr-defined]

        expected = drive(loop.sampler.step(Position(x[0], x[0]), index, noisy), asked).x
        assert loop._step(x, index, noise, [3])[0] == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("search", METHODS)
@pytest.mark.parametrize("together", [1, 3])
def test_it_pays_for_every_candidate_at_every_step(loop: PlainLoop, search: str, together: int) -> None:
    images = loop.images(search, [1, 2, 3], together)
    calls = 2 * loop.sampler.steps - 1
    trajectories = {"naive": 1, "best_of_n": N}.get(search, N * K + 1)  # the chosen one is computed once more
    assert images.shape == (3, *loop.model.shape)
    assert images.dtype == torch.uint8
    assert loop.nfe == 3 * calls * trajectories


def test_the_best_is_taken(loop: PlainLoop) -> None:
    """Candidates of the two problems alternate, and the best of each problem's candidates is its image."""
    loop.images("best_of_n", [1, 2], 2)
    assert isinstance(loop.reward, Remembering)
    *candidates, first, second = loop.reward.seen
    assert [first, second] == [max(candidates[0::2]), max(candidates[1::2])]


@pytest.mark.parametrize(
    ("search", "problems", "batch"),
    [("naive", 10, 10), ("naive", 100, 34), ("eps_greedy", 36, 48), ("best_of_n", 10, 40), ("zero_order", 10, 20)],
)
def test_batches_that_are_filled(search: str, problems: int, batch: int) -> None:
    assert batch_for(search, problems, 4) == batch


def test_both_do_the_same_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine does less: it searches only steps that inject noise, and computes no winner twice."""
    made = study_of("eps_greedy", 1, 1, steps=4)
    study = Study(made.config.model_copy(update={"model": tiny_study.small(steps=4)}))
    threads = torch.get_num_threads()
    found = compared(study, 1, 1)
    assert torch.get_num_threads() == threads
    steps = zip(study.plan.nfe_per_step, study.plan.injects, strict=True)
    expected = sum(calls * (4 if injects else 1) for calls, injects in steps)
    assert found.nfe == {"engine": expected, "grid": 7 * (4 + 1), "one": 7 * (4 + 1)}
    assert min(*found.engine, *found.grid, *found.one) > 0
    monkeypatch.setattr(against_loop, "compared", lambda *given: found)
    against_loop.against_loop(["eps_greedy"], "1", 1, 1, 4, None, tmp_path)
    assert json.loads((tmp_path / "loop.json").read_text())["records"][0]["engine"] == found.engine


def test_ratios_are_those_of_rounds() -> None:
    found = against_loop.Compared("naive", 10, 10, [1.0, 2.0, 4.0], [2.0, 2.0, 6.0], [4.0, 4.0, 8.0], {})
    assert found.ratio(found.grid) == 1.5
    assert found.ratio(found.one) == 2.0
    assert found.rate(found.engine) == 5.0
