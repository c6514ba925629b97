"""Pipelines whose networks are changed when they are loaded: LoRAs, and weights in 8 bits."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import Field

from tts.models.lora import Lora, fuse
from tts.models.pipeline import PipelineSettings
from tts.networks.quantised import Quantization, check_device, check_installed, quantise


class AdaptedSettings(PipelineSettings):
    """Settings of a pipeline whose weights may be adapted; LoRAs and quantisation belong to its identity."""

    loras: tuple[Lora, ...] = Field((), description="LoRAs to add: [{weights: FILE, scale: 1}]; safetensors alone")
    quantization: Quantization | None = Field(
        None, description="weights of the denoiser's linear layers in 8 bits: int8, or fp8 on GPUs that have it"
    )

    @property
    def network(self) -> str:
        """Name of the denoiser's part."""
        return next(iter(self.COMPONENTS))

    def check(self) -> None:
        """Find missing, damaged and foreign parts and LoRAs, and libraries that are not installed.

        Raises:
            SettingError: a library is missing.
            WeightsError: a part or a LoRA is missing, damaged or for another network.
        """
        super().check()
        for lora in self.loras:
            lora.check(self.network)
        if self.quantization is not None:
            check_installed()

    def suits(self, device: str) -> None:
        """Refuse a CPU for weights with which it cannot compute; raises a ``SettingError``."""
        if self.quantization is not None and device == "cpu":
            check_device(self.quantization, device)

    def record(self) -> dict[str, Any]:
        """The settings as plain values; LoRAs and quantisation only where they are set."""
        found = super().record()
        idle = {name for name in ("loras", "quantization") if not found[name]}
        return {name: value for name, value in found.items() if name not in idle}

    def elsewhere(self) -> dict[str, Any]:
        """Defaults of the settings that say where weights come from, for a model of the same kind from elsewhere."""
        return {"preview": None, "loras": []}

    def identity(self) -> dict[str, Any]:
        """The settings, with digests of the weights and of the schedule in place of their address."""
        loras = {"loras": [lora.identity() for lora in self.loras]} if self.loras else {}
        return {**super().identity(), **loras}

    def adapt(self, pipeline: Any, parts: Collection[str]) -> None:
        """Fuse the LoRAs."""
        fuse(pipeline, self.loras, self.network, parts)

    def shrink(self, pipeline: Any, parts: Collection[str], device: str) -> None:
        """Quantise the denoiser."""
        if self.quantization is not None and self.network in parts:
            quantise(getattr(pipeline, self.network), self.quantization, device)
