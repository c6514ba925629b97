"""The interpolant: exact marginals, published steps, and DDIM as one of its cases."""

from __future__ import annotations

import math
from typing import Any, get_args

import noise_table
import pytest
import torch
from checks_of_models import MODELS
from noise_table import DEVIATION, KINDS, MEAN, Shifted, sampler, spread
from tiny_schedules import SCHEDULE, ddim
from torch import Tensor

from tts.errors import SettingError
from tts.models.schedule import CheckpointSchedule
from tts.noise import normal
from tts.samplers.base import Call, Position, drive, follow
from tts.samplers.interpolant import Interpolant, InterpolantSettings
from tts.samplers.noises import Kind
from tts.samplers.schedules import FlowLevels, Sigmas

SHAPE = (2, 4, 4)


def drawn(seed: int, shape: tuple[int, ...] = SHAPE) -> Tensor:
    return torch.from_numpy(normal(seed, shape)).double()


def wavy(call: Call) -> Tensor:
    return 0.5 * torch.sin(2 * call.x + call.level)


def stepped(by: Interpolant, index: int, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """State, prediction and noise before a step, and the state after it."""
    x, D, z = drawn(seed), drawn(seed + 1), drawn(seed + 2)
    return x, D, z, drive(by.step(Position(x, D), index, z), wavy).x


def test_the_page_is_up_to_date() -> None:
    assert noise_table.PAGE.read_text(encoding="utf-8") == noise_table.page(), "run: python tests/noise_table.py"


def test_the_table_has_every_kind() -> None:
    assert {str(noise.get("kind", "ancestral")) for noise in KINDS.values()} == set(get_args(Kind))


@pytest.mark.parametrize("kind", KINDS)
def test_marginals_are_what_the_table_says(kind: str) -> None:
    """Many samples are drawn with the sampler itself and an exact denoiser."""
    by, shape = sampler(KINDS[kind], 10), (40_000,)

    def exact(call: Call) -> Tensor:
        a, s = 1 - call.level, call.level
        return MEAN + a * DEVIATION**2 / ((a * DEVIATION) ** 2 + s**2) * (call.x - a * MEAN)

    noises = [drawn(1 + k, shape) if injects else None for k, injects in enumerate(by.plan.injects)]
    start = drawn(0, shape)
    found, expected = drive(follow(by, start, noises), exact).x, spread(by)
    assert float(found.mean()) == pytest.approx(expected.mean, abs=0.01)
    assert float(found.std()) == pytest.approx(expected.deviation, rel=0.015)
    of_start = float((found * start).mean())  # the share of the initial noise
    assert of_start == pytest.approx(expected.initial, abs=0.01)


def test_the_ancestral_family_converges_and_others_do_not() -> None:
    def error(noise: dict[str, Any], steps: int) -> float:
        return abs(spread(sampler(noise, steps)).deviation / DEVIATION - 1)

    for share in (0.0, 0.5, 1.0):
        assert error({"share": share}, 400) < 0.02 < error({"share": share}, 28)
    for kind in ("cps", "renewal"):
        assert error({"kind": kind}, 400) > 0.15


@pytest.mark.parametrize("stochastic", [False, True])
def test_no_noise_and_renewal_are_diffusers_steps(stochastic: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    from diffusers import FlowMatchEulerDiscreteScheduler

    row = MODELS["interpolant-euler"]
    theirs = FlowMatchEulerDiscreteScheduler(shift=3.0, stochastic_sampling=stochastic)
    theirs.set_timesteps(sigmas=[1 - k / 9 for k in range(9)])
    levels = tuple(theirs.sigmas.double().tolist())

    class Given(FlowLevels):
        def levels(self, steps: int) -> tuple[float, ...]:
            return levels

    kind = {"kind": "renewal"} if stochastic else {"share": 0}
    by = InterpolantSettings.model_validate({"steps": 9, "noise": kind}).on(Given())
    x, noises = drawn(0), [drawn(1 + k) for k in range(9)]
    found = drive(follow(by, x, [*noises] if stochastic else [None] * 9), wavy).x
    for s, time, noise in zip(levels, theirs.timesteps, noises, strict=False):
        monkeypatch.setattr(f"{type(theirs).__module__}.randn_tensor", lambda *_, noise=noise, **__: noise)
        velocity = (x - wavy(Call(x, s))) / s
        x = theirs.step(velocity, time, x, return_dict=False)[0].double()
    assert found.flatten().tolist() == row.near(x.flatten().tolist())


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
def test_ddim_is_a_case_of_it(eta: float) -> None:
    config = {**SCHEDULE, "set_alpha_to_one": True}  # otherwise its last noise has a deviation below .02
    old = ddim(config, 9, eta, "trailing")
    new = InterpolantSettings.model_validate({"steps": 9, "noise": {"share": eta}, "spacing": "trailing"}).on(
        CheckpointSchedule(config)
    )
    noises = [drawn(1 + k) if injects else None for k, injects in enumerate(old.plan.injects)]
    ends = [drive(follow(by, drawn(0), noises), lambda call: 0.3 * torch.sin(call.x)).x for by in (old, new)]
    torch.testing.assert_close(*ends, rtol=0, atol=1e-12)
    assert (new.times, new.plan) == (old.times, old.plan)
    backs = [by.renoising(7, 2) for by in (old, new)]
    assert backs[0] == pytest.approx(backs[1], abs=1e-12)


@pytest.mark.parametrize("index", [0, 3, 9])
@pytest.mark.parametrize("kind", ["flow_grpo", "dance_grpo", "sit"])
def test_published_euler_maruyama_steps(kind: str, index: int) -> None:
    """The published code computes x - d v - d g^2/(2s) (x + (1-s) v) + g sqrt(d) z."""
    by = sampler({"kind": kind}, 10)
    levels = Shifted().levels(10)
    s, t = levels[index : index + 2]
    x, D, z, found = stepped(by, index, 5)
    v, d = (x - D) / s, s - t
    g = {"flow_grpo": 0.7 * math.sqrt(s / (1 - (s if s < 1 else t))), "dance_grpo": 0.3, "sit": math.sqrt(2 * s)}[kind]
    if kind == "sit" and index == 9:
        g = 0.0
    expected = x - d * v - d * g**2 / (2 * s) * (x + (1 - s) * v) + g * math.sqrt(d) * z
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("index", [0, 4])
def test_noises_with_the_prediction_held(index: int) -> None:
    levels = Shifted().levels(10)
    s, t = levels[index : index + 2]
    r = t / (1 - t) * (1 - s) / s
    expected = {
        "flow_grpo_held": t * math.sqrt(1 - r ** (0.7**2)),
        "dance_grpo_held": t * math.sqrt(1 - math.exp(-(0.3**2) * (1 / t - 1 / s))),
        "sit_held": t * math.sqrt(1 - (t / s) ** 2),
        "cps": t * math.sin(0.7 * math.pi / 2),
        "renewal": t,
        "ancestral": t * math.sqrt(1 - r**2),
    }
    for kind, w in expected.items():
        found = sampler({"kind": kind}, 10).weights(index, True)
        assert (found.fresh, found.kept) == pytest.approx((w, math.sqrt(max(0, t**2 - w**2))), abs=1e-12)
        x, D, z, end = stepped(sampler({"kind": kind}, 10), index, 3)
        e = (x - (1 - s) * D) / s
        torch.testing.assert_close(end, (1 - t) * D + math.sqrt(max(0, t**2 - w**2)) * e + w * z)


def test_invisible_noise_is_not_injected() -> None:
    """A grid that is shifted twice ends at a level of .0089, for example."""

    class Twice(FlowLevels):
        def levels(self, steps: int) -> tuple[float, ...]:
            return (1.0, 0.923, 0.819, 0.668, 0.432, 0.0089, 0.0)

    by = InterpolantSettings(steps=6).on(Twice())
    assert by.plan.noisy_steps == (0, 1, 2, 3)
    assert by.weights(4, True) == by.weights(4, False)


@pytest.mark.parametrize(("share", "forgets"), [(1.0, True), (0.5, False), (0.0, False)])
def test_all_of_the_noise_at_the_first_step_replaces_the_initial_one(share: float, forgets: bool) -> None:
    assert sampler({"share": share}, 10).plan.forgets_start is forgets
    assert sampler({"share": share}, 10).plan.noisy_steps == (tuple(range(9)) if share else ())
    assert not ddim(SCHEDULE, 9, share, None).plan.forgets_start


def test_shares_that_are_taken() -> None:
    found = {kind: InterpolantSettings.model_validate({"noise": {"kind": kind}}).noise.share for kind in get_args(Kind)}
    ones = dict.fromkeys(get_args(Kind), 1.0)
    held = {"flow_grpo_held": 0.7, "dance_grpo_held": 0.3}
    assert found == {**ones, "flow_grpo": 0.7, "dance_grpo": 0.3, "cps": 0.7, **held}


@pytest.mark.parametrize(
    ("values", "schedule", "message"),
    [
        (
            {},
            Sigmas(),
            "sampler interpolant: steps on noise levels of a flow or time steps of a schedule of betas, and",
        ),
        ({"spacing": "trailing"}, Shifted(), "spacing = trailing: a flow has no time steps; leave it out"),
        ({"noise": {"kind": "sit"}}, CheckpointSchedule(SCHEDULE), "noise.kind = sit: it is known for flows, and this"),
    ],
)
def test_what_cannot_be_stepped_on_is_named(values: dict[str, Any], schedule: Any, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        InterpolantSettings.model_validate(values).on(schedule)


def test_a_share_above_one_is_of_sdes_only() -> None:
    with pytest.raises(ValueError, match="of kind cps it is at most 1"):
        InterpolantSettings.model_validate({"noise": {"kind": "cps", "share": 1.5}})
    assert InterpolantSettings.model_validate({"noise": {"kind": "sit", "share": 1.5}}).noise.share == 1.5
