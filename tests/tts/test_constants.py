"""Numbers that networks and decoders need on their device are copied to it once, and not in each call.

No GPU is needed: on a CPU torch lifts a tensor that it makes of Python's numbers, and copies to the device ``meta`` are
operations as those to a GPU are.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import edm2_pickles
import pytest
import torch
from diffusers import DDIMScheduler, FlowMatchEulerDiscreteScheduler
from operations import Counting
from torch import Tensor

from tts.models.edm2 import LatentEDM, Standardised
from tts.models.pipeline_asking import one_step
from tts.models.stable_diffusion_xl import StableDiffusionXL
from tts.networks import autoencoder
from tts.networks.constants import Exact, constants
from tts.networks.edm2 import EDM2, Waves
from tts.networks.edm2_shape import EDM2Shape
from tts.networks.guidance_embedding import guidance_embedding

MADE, MOVED = "aten.lift_fresh.default", "aten._to_copy.default"
"""Operations that make a tensor of numbers, and that change its device or precision."""


def copies(call: Callable[[], Any], *kinds: str) -> int:
    """Operations of these kinds (default: both) in a second call."""
    call()
    with Counting() as counting:
        call()
    return sum(counting.counts[kind] for kind in kinds or (MADE, MOVED))


def waves() -> Waves:
    return Waves(torch.linspace(0, 60, 7).double(), torch.linspace(0, 1, 7).double())


def test_edm2s_frequencies_follow_the_network_and_are_never_rounded() -> None:
    found, levels = waves(), torch.tensor([0.3, -1.2])
    before = found(levels)
    assert torch.equal(found.bfloat16()(levels), before)
    assert not found.state_dict()
    moved = found.to("meta")
    assert {moved.freqs.device.type, moved.phases.device.type} == {"meta"}
    assert copies(lambda: moved(torch.empty(2, device="meta"))) == 0


def test_edm2s_weights_have_the_names_that_they_had() -> None:
    theirs = edm2_pickles.network()
    shape = EDM2Shape.model_validate({**theirs.unet._init_kwargs, "img_resolution": 8})
    found = EDM2(shape, {name: value.numpy() for name, value in theirs.unet.state_dict().items()})
    assert not [name for name in found.state_dict() if "fourier" in name]


def test_buffers_move_but_keep_their_precision() -> None:
    class Held(Exact):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("a", torch.tensor([1 / 3]))
            self.register_buffer("b", torch.tensor([1 / 7]), persistent=False)

    held = Held().half()
    assert [float(each) for each in (held.a, held.b)] == [float(torch.tensor(value)) for value in (1 / 3, 1 / 7)]
    assert list(held.state_dict()) == ["a"]
    assert held.to("meta").b.device.type == "meta"


def test_a_scale_is_embedded_without_numbers_from_the_host() -> None:
    scales = torch.tensor([1.0, 4.3], dtype=torch.float64)
    with Counting() as counting:
        guidance_embedding(scales, 24)
    assert counting.counts[MADE] == 0


def test_sizes_that_sdxl_is_told_are_copied_once() -> None:
    settings = StableDiffusionXL(size=(1024, 2056), precision="fp16")
    encoded = [{"tokens": torch.zeros(4, 8), "pooled": torch.zeros(8, dtype=torch.float16)}] * 3
    assert copies(lambda: settings.unet_arguments(encoded)) == 0
    told: Tensor = settings.unet_arguments(encoded)["added_cond_kwargs"]["time_ids"]
    assert told.tolist() == [[1024, 2056, 0, 0, 1024, 2056]] * 3
    assert told.dtype == torch.float32


class Still:
    """An autoencoder that returns its latents."""

    dtype = torch.float32

    def __init__(self, mean: list[float], std: list[float]) -> None:
        self.config: Any = Config(scaling_factor=0.5, latents_mean=mean, latents_std=std)

    def decode(self, z: Tensor) -> Any:
        return SimpleNamespace(sample=z)


class Config(SimpleNamespace):
    """Values by attribute and by name."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)


@pytest.mark.parametrize("make", [autoencoder.decoder, autoencoder.film_decoder])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_decoders_numbers_are_copied_once(make: Callable[[Any], Callable[[Tensor], Tensor]], device: str) -> None:
    decode = make(Still([0.1, 0.2, 0.3], [1.0, 2.0, 3.0]))
    x = torch.ones(2, 3, 4, 4, device=device)
    assert copies(lambda: decode(x)) == 0
    if device == "cpu":
        size = 2 if make is autoencoder.decoder else 1
        expected = size * torch.tensor([1.0, 2.0, 3.0]) + torch.tensor([0.1, 0.2, 0.3])
        assert torch.equal(decode(x)[1, :, 3, 2], expected)


def test_edm2s_latents_are_scaled_by_numbers_that_are_copied_once() -> None:
    on: Any = SimpleNamespace(
        denoiser=None, sampler=None, shape=(3, 4, 4), device="cpu", guidance=SimpleNamespace(passes=1)
    )
    model = LatentEDM(on, Standardised((2.0, 3.0, 4.0), (0.1, 0.2, 0.3), "a/b"), Still([], []), None)
    assert copies(lambda: model.decode(torch.zeros(1, 3, 4, 4)), MADE) == 0


def test_numbers_may_be_used_where_gradients_are_taken() -> None:
    with torch.inference_mode():
        constants((2.0, 5.0), torch.device("cpu"))
    x = torch.ones(2, requires_grad=True)
    (x * constants((2.0, 5.0), torch.device("cpu"))).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [2, 5]


def test_a_pipelines_one_step_takes_its_time_from_the_device() -> None:
    for kind, expected in ((FlowMatchEulerDiscreteScheduler, torch.float32), (DDIMScheduler, torch.int64)):
        scheduler = one_step(kind())
        scheduler.times = (750.0,)
        assert copies(lambda scheduler=scheduler: scheduler.set_timesteps(1, device="cpu"), MADE) == 0
        assert scheduler.timesteps.tolist() == [750]
        assert scheduler.timesteps.dtype == expected
        scheduler.timesteps += 1  # by a pipeline
        scheduler.set_timesteps(1)
        assert scheduler.timesteps.tolist() == [750]
