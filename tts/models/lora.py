"""LoRAs (Hu et al. 2021, arXiv 2106.09685), fused into the weights of a pipeline's networks."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import Field

from tts.errors import SettingError, WeightsError, first_line
from tts.files.digests import sha256
from tts.files.locate import locate
from tts.quiet import quiet
from tts.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor, nn

NAME = "fused"
TEXT = re.compile(r"text_encoder|lora_te\d?_")
"""Prefixes of tensors for text encoders, in all published forms of LoRA files."""
LAYER = re.compile(r"(lora_A|lora_down|lora\.down)(\.\w+)?\.weight$")
"""End of the name of the first of a layer's two matrices."""
OF = {"unet": re.compile(r"(lora_)?transformer"), "transformer": re.compile(r"(lora_)?unet")}
"""By kind of network: names of tensors that show that a file is for the other kind."""


class Lora(Settings):
    """A LoRA to fuse."""

    weights: str = Field(description="path or https address of a safetensors file")
    scale: float = Field(1.0, description="factor of what it adds to the weights")

    @property
    def file(self) -> Path:
        """The LoRA's file, downloaded if needed."""
        return locate(self.weights, "loras.weights")

    def check(self, network: str) -> None:
        """Find errors of the file before any network is loaded.

        Args:
            network: name of the denoiser's part, ``unet`` or ``transformer``.

        Raises:
            SettingError: peft is missing.
            WeightsError: the file is missing or damaged, is no LoRA, or is for another kind of network.
        """
        from safetensors import safe_open

        from tts.models.checkpoint import check_safetensors

        if find_spec("peft") is None:
            raise SettingError("loras: peft is needed; install it with pip install 'diffusion-tts-bench[adapters]'")
        check_safetensors(self.file, "loras.weights")
        with safe_open(self.file, framework="numpy") as opened:
            names = list(opened.keys())
        if not any(LAYER.search(name) for name in names):
            raise WeightsError(f"loras.weights {self.weights}: holds no LoRA")
        if any(OF[network].match(name) for name in names):
            raise WeightsError(f"loras.weights {self.weights}: is not for a {network}; set one for this model")

    def identity(self) -> dict[str, Any]:
        """The weights' digest and the scale."""
        return {"weights": sha256(self.file, "loras.weights"), "scale": self.scale}


def fuse(pipeline: Any, loras: Sequence[Lora], network: str, parts: Collection[str]) -> None:
    """Add LoRAs, one after the other, to the weights of the loaded parts of a pipeline.

    Args:
        pipeline: the pipeline, in host memory.
        loras: the LoRAs to add.
        network: name of the denoiser's part.
        parts: names of the pipeline's loaded parts.

    Raises:
        SettingError: LoRAs cannot be added to this kind of pipeline.
        WeightsError: a LoRA is for another network, or has layers that this network lacks.
    """
    if loras and not hasattr(pipeline, "load_lora_weights"):
        raise SettingError(f"loras: none can be added to a {type(pipeline).__name__}; leave them out")
    for lora in loras:
        try:
            with quiet(), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                _fuse(pipeline, lora, network, parts)
        except WeightsError as error:
            raise WeightsError(f"loras.weights {lora.weights}: {error}") from None
        except (ValueError, RuntimeError, KeyError, TypeError, AttributeError, IndexError, ImportError) as error:
            raise WeightsError(
                f"loras.weights {lora.weights}: is of another network ({first_line(error)[:200]})"
            ) from None


def _fuse(pipeline: Any, lora: Lora, network: str, parts: Collection[str]) -> None:
    from safetensors.torch import load_file

    tensors = load_file(lora.file)
    of_text = {name: tensor for name, tensor in tensors.items() if TEXT.match(name)}
    others = {name: tensor for name, tensor in tensors.items() if name not in of_text}
    encoders = [part for part in parts if part.startswith("text_encoder")]
    if network in parts and others:
        pipeline.load_lora_weights(dict(others), adapter_name=NAME)
        _check_whole(others, [getattr(pipeline, network)], network)
    if encoders and of_text:
        _load_into_encoders(pipeline, of_text, encoders)
        _check_whole(of_text, [getattr(pipeline, part) for part in encoders], "text encoders")
    fused = [part for part in pipeline._lora_loadable_modules if part in parts]
    if not fused:  # text encoders alone are loaded to fill a store, and many pipelines add LoRAs to none of them
        return
    pipeline.fuse_lora(components=fused, lora_scale=lora.scale, safe_fusing=True)
    pipeline.unload_lora_weights()


def _load_into_encoders(pipeline: Any, tensors: dict[str, Tensor], encoders: Sequence[str]) -> None:
    found = pipeline.lora_state_dict(dict(tensors))
    state, alphas = found[:2] if isinstance(found, tuple) else (found, None)
    for part in encoders:
        if part in pipeline._lora_loadable_modules:
            pipeline.load_lora_into_text_encoder(
                state,
                network_alphas=alphas,
                text_encoder=getattr(pipeline, part),
                prefix=part,
                adapter_name=NAME,
            )


def _check_whole(tensors: dict[str, Tensor], networks: Sequence[nn.Module], what: str) -> None:
    """Refuse a LoRA with tensors that the networks lack; diffusers' loaders would ignore them."""
    from peft.tuners.tuners_utils import BaseTunerLayer

    wanted = sum(LAYER.search(name) is not None for name in tensors)
    taken = sum(isinstance(module, BaseTunerLayer) for network in networks for module in network.modules())
    if taken < wanted:
        raise WeightsError(f"{wanted - taken} of its {wanted} layers are none of this model's {what}")
