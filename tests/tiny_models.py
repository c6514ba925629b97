"""Every model of the project on tiny random weights, saved as its users save it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import edm2_pickles
import edm_pickles
import sit_files
import tiny_cogview4
import tiny_flux
import tiny_pipelines
from diffusers import LCMScheduler
from song_pickles import VP
from song_pickles import network as song
from tiny_flows import FAMILIES, Family
from tiny_study import small


class TinyModel(NamedTuple):
    """A model, what saves it into a new folder and gives its settings, and the rows that an engine may have."""

    name: str
    save: Callable[[Path], dict[str, Any]]
    batch: int = 4

    def settings(self, folder: Path) -> dict[str, Any]:
        """Save it, and give its settings with its name."""
        return {"name": self.name, **self.save(folder)}


STEPS = 3
NOISY: dict[str, Any] = {"steps": STEPS, "noise": {"share": 1}}
FEW: dict[str, Any] = {"name": "interpolant", "steps": STEPS, "spacing": "trailing", "start": "level"}
LONG: dict[str, Any] = {"name": "ddim", "steps": STEPS, "eta": 1.0}
CHURNED: dict[str, Any] = {"steps": STEPS, "S_churn": 40, "S_max": 100}


def _flow(family: Family) -> TinyModel:
    """A family of flows, guided as its own tests ask, with noise at every step."""

    def make(folder: Path) -> dict[str, Any]:
        sampler = {"steps": STEPS, **family.settings.get("sampler", NOISY), "name": "interpolant"}
        if "eta" in sampler:
            sampler = LONG
        given = {**family.settings, "size": family.pixels, "precision": "fp32", "sampler": sampler}
        return {"id": str(tiny_pipelines.save(family.make(), folder)), **given}

    return TinyModel(family.name, make)


def _pipeline(name: str, pipeline: Callable[[], Any], **values: Any) -> TinyModel:
    def make(folder: Path) -> dict[str, Any]:
        return {"id": str(tiny_pipelines.save(pipeline(), folder)), "precision": "fp32", **values}

    return TinyModel(name, make)


def _in_latents(name: str, save: Callable[[Path], Path], **values: Any) -> TinyModel:
    """A file of weights, and the autoencoder beside it."""

    def make(folder: Path) -> dict[str, Any]:
        tiny_pipelines.vae().save_pretrained(folder / "vae")
        return {"checkpoint": str(save(folder / "it.pt")), "vae": str(folder / "vae"), **values}

    return TinyModel(name, make)


def _sit(variance: bool) -> Callable[[Path], Path]:
    return lambda path: sit_files.save(sit_files.published(sit_files.dit(variance=variance)), path)


def _edm(network: Callable[[], Any]) -> TinyModel:
    def make(folder: Path) -> dict[str, Any]:
        folder.mkdir()
        checkpoint = edm_pickles.save(network(), folder / "edm.pkl")
        return {"checkpoint": str(checkpoint), "classes": 4, "sampler": CHURNED}

    return TinyModel("edm", make)


def consistency() -> Any:
    """An LCM's parts, for ``stable-diffusion``: its UNet is told the scale."""
    pipeline = tiny_pipelines.stable_diffusion()
    pipeline.register_modules(
        unet=tiny_pipelines.unet(time_cond_proj_dim=16), scheduler=LCMScheduler(**tiny_pipelines.SCHEDULE)
    )
    return pipeline


SD, XL = tiny_pipelines.stable_diffusion, tiny_pipelines.stable_diffusion_xl
TINY_MODELS: dict[str, TinyModel] = {
    **{name: _flow(family) for name, family in FAMILIES.items()},
    "stable-diffusion": _pipeline("stable-diffusion", SD, guidance=3, sampler=LONG),
    "stable-diffusion-xl": _pipeline("stable-diffusion-xl", XL, guidance=3, sampler=LONG),
    "sd-turbo": _pipeline("stable-diffusion", SD, guidance=1, sampler=FEW),
    "lcm": _pipeline(
        "stable-diffusion",
        consistency,
        guidance=8.5,
        sampler={"name": "interpolant", "steps": STEPS, "spacing": "lcm", "noise": {"kind": "renewal"}},
    ),
    "dit": _pipeline("dit", tiny_pipelines.dit, guidance=3, sampler=LONG),
    "diffusers-flux": _pipeline("diffusers", tiny_flux.flux, size=16, cell=4, forwards=1, sampler=NOISY),
    "diffusers-sd": _pipeline("diffusers", SD, size=16, arguments={"guidance_scale": 3}, sampler=NOISY),
    "diffusers-cogview4": _pipeline(
        "diffusers",
        tiny_cogview4.cogview4,
        size=16,
        cell=4,
        arguments={"guidance_scale": 3, "negative_prompt": "dark"},
        sampler=NOISY,
    )._replace(batch=1),  # its prompts have encodings of different lengths
    "sit": _in_latents("sit", _sit(True), classes=5, guidance=2, sampler=NOISY),
    "repa": _in_latents("sit", _sit(False), classes=5, sampler=NOISY),
    "edm2": _in_latents(
        "edm2", lambda path: edm2_pickles.save(edm2_pickles.network(), path), classes=4, sampler=CHURNED
    ),
    "edm": _edm(lambda: edm_pickles.network(**edm_pickles.TINY)),
    "edm-song": _edm(lambda: song(**VP)),
    "cifar10": TinyModel("cifar10", lambda _: small(**CHURNED)),
}
"""Every model, by a name of ours; those of one family are forms of it that others do not have."""
