"""The stochastic Heun sampler against EDM's Algorithm 2 and against a closed form."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from checks_of_models import MODELS as CHECKS
from pydantic import ValidationError
from torch import Tensor

from tts.noise import normal
from tts.samplers.base import Call, Position, drive, follow
from tts.samplers.heun import StochasticHeun

SHAPE = (3, 4, 4)
Denoiser = Callable[[Tensor, float], Tensor]


def wavy(x: Tensor, sigma: float) -> Tensor:
    """A nonlinear toy denoiser."""
    return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) * sigma / (1 + sigma)


def drawn(seed: int) -> Tensor:
    return torch.from_numpy(normal(seed, SHAPE)).double()


def sample(
    sampler: StochasticHeun, denoiser: Denoiser, x: Tensor, noises: list[Tensor | None]
) -> tuple[Tensor, list[Call]]:
    """Run all steps; the final state and every call."""
    calls: list[Call] = []

    def answer(call: Call) -> Tensor:
        calls.append(call)
        return denoiser(call.x, call.level)

    return drive(follow(sampler, at(x), noises), answer).x, calls


def at(x: Tensor) -> Position:
    """A position whose prediction is not used."""
    return Position(x, x)


def start(sampler: StochasticHeun, noise: Tensor) -> Tensor:
    """The first state, which costs no call."""
    return drive(sampler.initial(noise), lambda _: pytest.fail("no call is needed")).x


def algorithm_2(denoiser: Denoiser, noise: Tensor, noises: list[Tensor]) -> list[Tensor]:
    """The paper's pseudo-code with the study's settings: the state after each step."""
    N, s_min, s_max, rho, S_churn, S_tmin, S_tmax, S_noise = 18, 0.002, 80.0, 7.0, 40.0, 0.05, 50.0, 1.003
    i = torch.arange(N, dtype=torch.float64)
    t = (s_max ** (1 / rho) + i / (N - 1) * (s_min ** (1 / rho) - s_max ** (1 / rho))) ** rho
    t = torch.cat([t, torch.zeros(1)])
    x, states = noise * t[0], []
    for i in range(N):
        gamma = min(S_churn / N, math.sqrt(2) - 1) if S_tmin <= t[i] <= S_tmax else 0
        t_hat = t[i] + gamma * t[i]
        x_hat = x + (t_hat**2 - t[i] ** 2).sqrt() * S_noise * noises[i]
        d = (x_hat - denoiser(x_hat, float(t_hat))) / t_hat
        x = x_hat + (t[i + 1] - t_hat) * d
        if t[i + 1] != 0:
            d_prime = (x - denoiser(x, float(t[i + 1]))) / t[i + 1]
            x = x_hat + (t[i + 1] - t_hat) * (0.5 * d + 0.5 * d_prime)
        states.append(x)
    return states


@pytest.mark.parametrize("stop", range(1, 19))
def test_equals_algorithm_2(stop: int) -> None:
    sampler, noises = StochasticHeun(), [drawn(k) for k in range(18)]
    x, _ = sample(sampler, wavy, start(sampler, drawn(99)), list(noises[:stop]))
    near = CHECKS["heun"]
    torch.testing.assert_close(x, algorithm_2(wavy, drawn(99), noises)[stop - 1], rtol=near.rel, atol=near.abs)


def gaussian(s: float) -> Denoiser:
    """The ideal denoiser of data N(0, s^2 I)."""
    return lambda x, sigma: x * s**2 / (s**2 + sigma**2)


def error_of(steps: int, s: float = 0.5) -> float:
    """How far the deterministic sampler ends from the exact solution of its differential equation."""
    sampler = StochasticHeun(steps=steps)
    first = start(sampler, drawn(1))
    exact = first * s / math.sqrt(s**2 + sampler.levels[0] ** 2)
    x, _ = sample(sampler, gaussian(s), first, [None] * steps)
    return float((x - exact).norm() / exact.norm())


def test_converges_to_the_closed_form() -> None:
    errors = [error_of(steps) for steps in (18, 36, 72, 144)]
    assert errors == sorted(errors, reverse=True)
    assert errors[0] < 0.06
    assert errors[-1] < 1e-3


def test_converges_at_second_order() -> None:
    assert error_of(64) / error_of(128) == pytest.approx(4, rel=0.25)


def test_churned_samples_have_the_datas_spread() -> None:
    """For Gaussian data, the stochastic sampler with small steps also ends near N(0, s^2 I)."""
    sampler = StochasticHeun(S_noise=1.0, steps=72)
    shape = (20_000,)
    noises = [torch.from_numpy(normal(k, shape)).double() for k in range(73)]
    injected = [noise if injects else None for noise, injects in zip(noises, sampler.plan.injects, strict=False)]
    x, _ = sample(sampler, gaussian(0.5), start(sampler, noises[72]), injected)
    assert float(x.std()) == pytest.approx(0.5, rel=0.03)


def test_actions_of_the_studys_settings() -> None:
    """Steps 0, 1, 15, 16 and 17 lie outside [S_min, S_max]."""
    assert StochasticHeun().plan.noisy_steps == tuple(range(2, 15))


def test_cost_of_the_studys_settings() -> None:
    plan = StochasticHeun().plan
    assert (plan.steps, plan.nfe(), plan.nfe_per_step[-1]) == (18, 35, 1)


def test_levels_run_from_sigma_max_over_sigma_min_to_0() -> None:
    levels = StochasticHeun().levels
    assert levels[0] == pytest.approx(80)
    assert levels[17] == pytest.approx(0.002)
    assert levels[18] == 0
    assert list(levels) == sorted(levels, reverse=True)


@pytest.mark.parametrize("index", range(18))
def test_a_step_without_noise_tells_the_denoiser_the_true_level(index: int) -> None:
    """Neither the state nor its level is raised: gamma = 0."""
    sampler, x = StochasticHeun(), drawn(1)
    call = next(sampler.step(at(x), index, None))
    assert call.level == sampler.levels[index]
    assert torch.equal(call.x, x)


def test_a_step_with_noise_raises_level_and_variance_alike() -> None:
    sampler, noise = StochasticHeun(), drawn(2)
    call = next(sampler.step(at(torch.zeros(SHAPE, dtype=torch.float64)), 7, noise))
    t = sampler.levels[7]
    assert call.level == pytest.approx(t * math.sqrt(2))  # S_churn/N > sqrt(2) - 1
    torch.testing.assert_close(call.x, t * 1.003 * noise)


def test_prediction_is_the_last_calls_answer() -> None:
    sampler, answers = StochasticHeun(), [drawn(10), drawn(11)]
    step = sampler.step(at(drawn(1)), 5, drawn(2))
    next(step)
    step.send(answers[0])
    with pytest.raises(StopIteration) as end:
        step.send(answers[1])
    assert torch.equal(end.value.value.predicted, answers[1])


def test_last_step_ends_on_its_prediction() -> None:
    step, answer = StochasticHeun().step(at(drawn(1)), 17, None), drawn(10)
    next(step)
    with pytest.raises(StopIteration) as end:
        step.send(answer)
    assert torch.equal(end.value.value.x, answer)


def test_no_churn_means_no_actions() -> None:
    assert StochasticHeun(S_churn=0).plan.noisy_steps == ()


@pytest.mark.parametrize("wrong", [{"steps": 1}, {"sigma_min": 90}, {"S_noise": 0}, {"S_churn": -1}, {"rho": math.inf}])
def test_refuses_settings_without_meaning(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        StochasticHeun(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"rho": 0.001},
        {"rho": 0.2},
        {"rho": 1e300},
        {"rho": 5e-324},
        {"rho": 1, "sigma_min": 1e-20},
        {"sigma_max": 1e200},
        {"sigma_max": 9e153},
    ],
)
def test_refuses_levels_that_do_not_fall_to_one_above_0(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError, match="give no falling noise levels above 0; set rho nearer to 7"):
        StochasticHeun(**wrong)


@pytest.mark.parametrize("right", [{"rho": 0.5}, {"rho": 1}, {"rho": 100}, {"sigma_min": 1e-20}, {"sigma_max": 1e100}])
def test_levels_may_be_spaced_oddly(right: dict[str, float]) -> None:
    levels = StochasticHeun(**right, steps=10_000).levels
    assert all(high > low for high, low in pairwise(levels))
