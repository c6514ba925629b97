"""DDIM against its paper, its closed form and diffusers' scheduler."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from checks_of_models import MODELS as CHECKS
from tiny_schedules import SCHEDULE, ddim, to_clean
from torch import Tensor

from tts.errors import SettingError, WeightsError
from tts.models.schedule import prediction_type
from tts.noise import normal
from tts.samplers.base import Call, Position, drive, follow
from tts.samplers.ddim import DDIM

SHAPE = (2, 4, 4)
LINEAR = {"beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}


def drawn(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.from_numpy(normal(seed, shape)).double()


def wavy(x: Tensor, time: float) -> Tensor:
    """A denoiser that is not a mere shrinkage."""
    return 0.5 * torch.sin(2 * x + time / 300)


def sample(sampler: DDIM, noises: list[Tensor | None], start: Tensor) -> tuple[Tensor, list[Call]]:
    calls: list[Call] = []

    def answer(call: Call) -> Tensor:
        calls.append(call)
        return wavy(call.x, call.level)

    return drive(follow(sampler, start, noises), answer).x, calls


@pytest.mark.parametrize("eta", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("steps", [2, 7, 50])
def test_equals_equations_12_and_16(eta: float, steps: int) -> None:
    """The paper's equations in float64, with its alphas (our cumulative ones) from the linear schedule."""
    sampler = ddim({**LINEAR, "steps_offset": 0}, steps, eta, "leading")
    betas = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float32).double()
    alpha = torch.cumprod(1 - betas, 0)
    times = [k * (1000 // steps) for k in range(steps)][::-1]
    x, noises = drawn(0), [drawn(1 + k) for k in range(steps)]
    for k, t in enumerate(times):
        a, b = alpha[t], alpha[times[k + 1]] if k + 1 < steps else torch.tensor(1.0, dtype=torch.float64)
        epsilon = (x - a.sqrt() * wavy(x, t)) / (1 - a).sqrt()
        sigma = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
        predicted_x0 = (x - (1 - a).sqrt() * epsilon) / a.sqrt()
        x = b.sqrt() * predicted_x0 + (1 - b - sigma**2).sqrt() * epsilon + sigma * noises[k]
    found, calls = sample(sampler, [*noises], drawn(0))
    assert [call.level for call in calls] == times
    assert (found - x).abs().max() < 1e-5  # diffusers keeps its schedule in float32


@pytest.mark.slow
@pytest.mark.parametrize("spacing", ["leading", "trailing", "linspace"])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("one", [True, False])
def test_equals_diffusers_steps(spacing: Any, kind: Any, one: bool) -> None:
    from tiny_pipelines import scheduler

    theirs = scheduler(prediction_type=kind, timestep_spacing=spacing, set_alpha_to_one=one)
    theirs.set_timesteps(13)
    sampler = ddim(theirs.config, 13, 0.8, None)
    x, noises = drawn(0), [drawn(1 + k) for k in range(13)]
    alphas = theirs.alphas_cumprod.double()

    def answer(call: Call) -> Tensor:
        output = wavy(call.x, call.level)
        return to_clean(kind, call.x[None], output[None], alphas[[int(call.level)]])[0]

    found = drive(follow(sampler, x, [*noises]), answer).x
    for time, noise in zip(theirs.timesteps, noises, strict=True):
        x = theirs.step(wavy(x, float(time)), int(time), x, eta=0.8, variance_noise=noise).prev_sample
    assert float((found - x).abs().max() / x.abs().max()) == CHECKS["ddim"].near(0)


@pytest.mark.parametrize("steps", [61, 103, 121, 500, 985, 1000])
def test_trailing_steps_are_as_many_as_asked_for(steps: int) -> None:
    """diffusers has one more for some numbers of steps, at time -1, as its quotient 1000 / steps is rounded."""
    sampler = ddim(SCHEDULE, steps, 1.0, "trailing")
    expected = [round(1000 - k * 1000 / steps) - 1 for k in range(steps)]
    assert list(sampler.times) == expected
    assert min(expected) >= 0
    assert list(sampler.alphas) == sorted(sampler.alphas)
    assert sampler.plan.steps == steps


def ideal(s: float, sampler: DDIM) -> Any:
    """The exact denoiser of data N(0, s^2 I)."""
    alphas = dict(zip(sampler.times, sampler.alphas, strict=True))

    def answer(call: Call) -> Tensor:
        a = alphas[int(call.level)]
        return call.x * math.sqrt(a) * s**2 / (a * s**2 + 1 - a)

    return answer


def error_of(steps: int, s: float = 0.5) -> float:
    """How far the deterministic sampler ends from the exact solution of its differential equation."""
    sampler = ddim({**LINEAR, "steps_offset": 0}, steps, 0.0, "trailing")
    a, start = sampler.alphas[0], drawn(1)
    exact = start * s / math.sqrt(a * s**2 + 1 - a)
    found = drive(follow(sampler, start, [None] * steps), ideal(s, sampler)).x
    return float((found - exact).norm() / exact.norm())


def test_converges_to_the_closed_form() -> None:
    errors = [error_of(steps) for steps in (10, 100, 1000)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 5e-3


def test_ancestral_samples_have_the_datas_spread() -> None:
    sampler = ddim({**LINEAR, "steps_offset": 0}, 250, 1.0, "trailing")
    shape = (20_000,)
    noises: list[Tensor | None] = [drawn(1 + k, shape) for k in range(250)]
    found = drive(follow(sampler, drawn(0, shape), noises), ideal(0.5, sampler)).x
    assert float(found.std()) == pytest.approx(0.5, rel=0.03)


@pytest.mark.parametrize("one", [True, False])
def test_noise_matters_exactly_where_the_plan_says(one: bool) -> None:
    """In Stable Diffusion's schedule, even the last step injects a little noise."""
    sampler = ddim({**SCHEDULE, "set_alpha_to_one": one}, 6, 1.0, None)
    assert sampler.plan.injects == (True,) * 5 + (not one,)
    for index, injects in enumerate(sampler.plan.injects):
        at = Position(drawn(1), drawn(2))
        ends = [drive(sampler.step(at, index, drawn(seed)), lambda call: wavy(call.x, call.level)).x for seed in (3, 4)]
        assert torch.equal(*ends) is not injects


@pytest.mark.parametrize("index", range(6))
def test_a_step_without_noise_is_the_deterministic_one(index: int) -> None:
    at = Position(drawn(1), drawn(2))
    ends = [
        drive(ddim(SCHEDULE, 6, eta, None).step(at, index, None), lambda call: wavy(call.x, call.level)).x
        for eta in (0.0, 1.0)
    ]
    assert torch.equal(*ends)


def test_a_prediction_is_made_at_the_new_time_and_never_twice() -> None:
    """The study's code judges candidates at the old time, and pays for the winner's prediction again."""
    sampler = ddim(SCHEDULE, 9, 1.0, None)
    _, calls = sample(sampler, [drawn(k) for k in range(9)], drawn(10))
    assert [call.level for call in calls] == [float(time) for time in sampler.times]
    assert len(calls) == sampler.plan.nfe() == 9
    end = drive(sampler.step(Position(drawn(1), drawn(2)), 3, drawn(3)), lambda call: call.x * call.level)
    assert torch.equal(end.predicted, end.x * sampler.times[4])


def test_the_last_step_ends_on_its_state() -> None:
    sampler = ddim(SCHEDULE, 4, 1.0, None)
    end = drive(sampler.step(Position(drawn(1), drawn(2)), 3, drawn(3)), lambda _: pytest.fail("no call is needed"))
    assert torch.equal(end.x, end.predicted)


def test_without_eta_nothing_is_injected() -> None:
    assert ddim(SCHEDULE, 6, 0.0, None).plan.noisy_steps == ()


def test_clipping_is_the_checkpoints_choice() -> None:
    clipped = ddim({**LINEAR, "clip_sample": True, "clip_sample_range": 0.7}, 5, 0.0, None)
    assert (clipped.clip, ddim(LINEAR, 5, 0.0, None).clip) == (0.7, None)
    at = Position(drawn(1), 3 * torch.ones(SHAPE).double())
    end = drive(clipped.step(at, 4, None), lambda _: pytest.fail("no call is needed")).x
    assert torch.equal(end, 0.7 * torch.ones(SHAPE).double())


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_every_prediction_stands_for_its_clean_state(kind: Any) -> None:
    """The definitions of noise and velocity give the expected value."""
    clean, noise, a = drawn(1)[None], drawn(2)[None], torch.tensor([0.3]).double()
    x = a.sqrt() * clean + (1 - a).sqrt() * noise
    outputs = {"epsilon": noise, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * clean, "sample": clean}
    torch.testing.assert_close(to_clean(kind, x, outputs[kind], a), clean)


@pytest.mark.parametrize(
    ("config", "steps", "error", "message"),
    [
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler"},
            5,
            WeightsError,
            "FlowMatchEulerDiscreteScheduler has no betas",
        ),
        ({**LINEAR, "thresholding": True}, 5, WeightsError, "thresholds"),
        ({**LINEAR, "num_train_timesteps": 10}, 11, SettingError, "steps = 11: the checkpoint's schedule has only 10"),
        (
            SCHEDULE,
            1000,
            SettingError,
            "^steps = 1000: .* from 1000 on, .* ends at 999; set fewer, or spacing: trailing$",
        ),
    ],
)
def test_schedules_that_cannot_be_used_are_refused(
    config: dict[str, Any], steps: int, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        ddim(config, steps, 1.0, None)


def test_what_the_network_predicts_is_the_checkpoints_word() -> None:
    assert prediction_type({}, None) == "epsilon"
    assert prediction_type({"prediction_type": "v_prediction"}, "v_prediction") == "v_prediction"
    with pytest.raises(SettingError, match="prediction = epsilon: the checkpoint's scheduler says v_prediction"):
        prediction_type({"prediction_type": "v_prediction"}, "epsilon")
    with pytest.raises(WeightsError, match="its network predicts 'flow_prediction'; known: epsilon"):
        prediction_type({"prediction_type": "flow_prediction"}, None)
