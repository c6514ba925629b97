"""Guidance and parameterisations equal their formulas, and bit for bit what models computed before the split."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tts.engine.batching import Engine
from tts.errors import EngineError
from tts.models.guidance import Autoguidance, ClassifierFree, Embedded, Guidance, Unguided, classifier_free
from tts.models.parameterisation import PARAMETERISATIONS
from tts.models.pixel_edm import PixelEDM
from tts.noise import Noise
from tts.plan import Condition
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.samplers.heun import StochasticHeun
from tts.search.segment import ALL, Segment

X, LEVELS, CONDITIONS = torch.randn(3, 2, 4, 4), torch.tensor([0.5, 1.0, 2.0]), [1, 2, 3]


class Net:
    """A network whose answer depends on all its inputs, and that counts its forwards."""

    def __init__(self, gain: float = 1.0) -> None:
        self.gain, self.forwards = gain, 0.0

    def __call__(
        self, x: Tensor, levels: Tensor, conditions: Sequence[Condition | None], scale: Tensor | None = None
    ) -> Tensor:
        self.forwards += len(x) / len(X)
        shift = torch.tensor([-1.0 if c is None else float(c) for c in conditions])
        more = 0 if scale is None else scale.view(-1, 1, 1, 1)
        return self.gain * torch.sin(x * levels.view(-1, 1, 1, 1) + shift.view(-1, 1, 1, 1)) + more


NONE: list[Any] = [None] * 3
RESULTS: dict[str, tuple[Guidance, Tensor]] = {
    "none": (Unguided(), Net()(X, LEVELS, CONDITIONS)),
    "classifier-free": (
        ClassifierFree(4.0),
        Net()(X, LEVELS, NONE) + 4.0 * (Net()(X, LEVELS, CONDITIONS) - Net()(X, LEVELS, NONE)),
    ),
    "embedded": (Embedded(3.5), Net()(X, LEVELS, CONDITIONS) + 3.5),
    "autoguidance": (
        Autoguidance(2.0, Net(0.3)),
        Net(0.3)(X, LEVELS, CONDITIONS) + 2.0 * (Net()(X, LEVELS, CONDITIONS) - Net(0.3)(X, LEVELS, CONDITIONS)),
    ),
}


@pytest.mark.parametrize("name", RESULTS)
def test_the_formula_bit_for_bit_and_its_forwards(name: str) -> None:
    guidance, expected = RESULTS[name]
    network = Net()
    assert torch.equal(guidance(network, X, LEVELS, CONDITIONS), expected)
    weaker = guidance.weaker.forwards if isinstance(guidance, Autoguidance) else 0
    assert network.forwards + weaker == guidance.passes


@pytest.mark.parametrize("name", RESULTS)
def test_rows_are_guided_alone(name: str) -> None:
    guidance, whole = RESULTS[name]
    rows = [guidance(Net(), X[k : k + 1], LEVELS[k : k + 1], CONDITIONS[k : k + 1]) for k in range(3)]
    assert torch.equal(torch.cat(rows), whole)


def test_a_scale_of_one_is_no_guidance() -> None:
    assert (classifier_free(1.0), classifier_free(1.5)) == (Unguided(), ClassifierFree(1.5))
    torch.testing.assert_close(ClassifierFree(1.0)(Net(), X, LEVELS, CONDITIONS), RESULTS["none"][1])


def test_an_edm_network_is_guided_by_a_weaker_one() -> None:
    """The engine counts both forwards, and an identical weaker network changes nothing."""
    plain: Any = MODELS.make({"name": "cifar10", "sampler": {"steps": 3}})[1].load()
    segment, sampler = Segment(Noise(1), (None,) * 3, 3, ALL), StochasticHeun(steps=3)
    images = []
    for gain in (None, 1.0, 0.5):
        guidance = Unguided() if gain is None else Autoguidance(2.0, Weaker(plain, gain))
        engine = Engine(PixelEDM(plain.denoiser, sampler, (3, 32, 32), "cpu", guidance), {"b": Brightness().load()}, 1)
        from toy_engine import Player

        [outcome] = Player(engine).ask(segment)
        assert outcome.nfe == 5 * guidance.passes
        images.append(outcome.image)
        engine.close()
    assert images[0] == images[1] != images[2]


class Weaker:
    """A model whose prediction is a fraction of another model's."""

    def __init__(self, model: PixelEDM, gain: float) -> None:
        self.model, self.gain = model, gain

    def __call__(self, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        return self.gain * self.model.predict(x, levels, conditions)


@pytest.mark.parametrize("name", PARAMETERISATIONS)
def test_every_output_stands_for_its_clean_state(name: str) -> None:
    clean, noise, s = torch.randn(2, 5).double(), torch.randn(2, 5).double(), torch.tensor([0.3, 0.8]).double()
    a = 1 - s if name == "flow_velocity" else (1 - s**2).sqrt()
    A, S = a[:, None], s[:, None]
    outputs = {
        "epsilon": noise,
        "v_prediction": A * noise - S * clean,
        "sample": clean,
        "flow_velocity": noise - clean,
    }
    torch.testing.assert_close(PARAMETERISATIONS[name].clean(A * clean + S * noise, outputs[name], a, s), clean)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_clean_states_are_those_of_before_bit_for_bit(kind: str) -> None:
    x, output, alpha = torch.randn(4, 2, 3, 3), torch.randn(4, 2, 3, 3), torch.rand(4).double() * 0.9 + 0.05
    root, rest = alpha.sqrt().float().view(-1, 1, 1, 1), (1 - alpha).sqrt().float().view(-1, 1, 1, 1)
    old = {"epsilon": (x - rest * output) / root, "v_prediction": root * x - rest * output, "sample": output}
    assert torch.equal(PARAMETERISATIONS[kind].clean(x, output, alpha.sqrt(), (1 - alpha).sqrt()), old[kind])


@pytest.mark.parametrize("decoded", [torch.zeros(2, 3, 4, 4), torch.zeros(2, 1, 4, 4, dtype=torch.uint8)])
def test_a_model_that_decodes_to_something_else_is_told(decoded: Tensor) -> None:
    from tts import media

    with pytest.raises(EngineError, match=r"the model decodes to \[2, .*must give images, \[B, 3, H, W\] uint8"):
        media.check(decoded)
