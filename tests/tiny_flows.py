"""Families of flow models: small random pipelines, and how each is asked for its latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from diffusers import (
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    SCMScheduler,
)
from tiny_flow_pipelines import auraflow, lumina2, pixart_sigma, qwen_image, sana, stable_diffusion_3, z_image
from tiny_flux import flux, flux2, flux2_klein
from torch import Tensor

from tts.models.packing import pack, unpack


class Family(NamedTuple):
    """A family, and how its own pipeline is asked.

    Args:
        name: of the model.
        make: its pipeline.
        settings: of our model, beside id, size and precision.
        asked: arguments of the pipeline that mean the same.
        shape: of a latent.
        pixels: height and width.
        packed, unpacked: latents as the pipeline has them, and back.
        scheduler: that takes the steps.
    """

    name: str
    make: Callable[[], Any]
    settings: dict[str, Any]
    asked: dict[str, Any]
    shape: tuple[int, int, int] = (16, 8, 8)
    pixels: int = 16
    packed: Callable[[Tensor], Tensor] = lambda x: x
    unpacked: Callable[[Tensor, tuple[int, ...]], Tensor] = lambda x, _: x
    scheduler: Callable[[Any], Any] = lambda config: FlowMatchEulerDiscreteScheduler.from_config(config)


FAMILIES: dict[str, Family] = {
    "stable-diffusion-3": Family(
        "stable-diffusion-3", stable_diffusion_3, {"guidance": 4}, {"guidance_scale": 4, "max_sequence_length": 256}
    ),
    "flux-dev": Family(
        "flux", flux, {"guidance": 3}, {"guidance_scale": 3, "max_sequence_length": 512}, packed=pack, unpacked=unpack
    ),
    "flux-schnell": Family("flux", lambda: flux(False), {}, {"max_sequence_length": 512}, packed=pack, unpacked=unpack),
    "sana": Family(
        "sana",
        sana,
        {"guidance": 3},
        {"guidance_scale": 3, "use_resolution_binning": False},
        (8, 16, 16),
        pixels=32,
        scheduler=lambda config: FlowMatchEulerDiscreteScheduler(shift=config["flow_shift"]),
    ),
    "sana-sprint": Family(
        "sana-sprint",
        lambda: sana(True),
        {"guidance": 3, "sampler": {"noise": {"kind": "renewal"}}},
        {"guidance_scale": 3, "use_resolution_binning": False, "intermediate_timesteps": None},
        (8, 16, 16),
        pixels=32,
        unpacked=lambda x, _: x / 0.5,
        scheduler=SCMScheduler.from_config,
    ),
    "lumina2": Family("lumina2", lumina2, {"guidance": 3}, {"guidance_scale": 3}),
    "qwen-image": Family(
        "qwen-image",
        qwen_image,
        {"guidance": 3},
        {"true_cfg_scale": 3, "negative_prompt": [" "] * 2, "max_sequence_length": 512},
        packed=pack,
        unpacked=unpack,
    ),
    "z-image": Family("z-image", z_image, {"guidance": 3}, {"guidance_scale": 2}),
    "z-image-turbo": Family("z-image", z_image, {}, {"guidance_scale": 0}),
    "flux2": Family(
        "flux2",
        flux2,
        {"guidance": 3},
        {"guidance_scale": 3},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "flux2-klein": Family(
        "flux2-klein",
        lambda: flux2_klein(True),
        {},
        {},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "flux2-klein-base": Family(
        "flux2-klein",
        flux2_klein,
        {"guidance": 3},
        {"guidance_scale": 3},
        (16, 4, 4),
        unpacked=lambda x, shape: x.transpose(1, 2).reshape(-1, *shape),
    ),
    "auraflow": Family("auraflow", auraflow, {"guidance": 3}, {"guidance_scale": 3}, (4, 8, 8)),
    "pixart-sigma": Family(
        "pixart-sigma",
        pixart_sigma,
        {"guidance": 3, "sampler": {"eta": 0}},
        {"guidance_scale": 3, "use_resolution_binning": False, "clean_caption": False},
        (4, 8, 8),
        scheduler=lambda config: DDIMScheduler.from_config(config, clip_sample=False),
    ),
}
