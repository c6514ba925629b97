"""Sana-Sprint (Chen et al. 2025, arXiv 2503.09641)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.families.sana import Sana
from tts.models.flow import stepped
from tts.models.flow_schedule import SprintLevels
from tts.models.guidance import Embedded, Guidance
from tts.samplers.schedules import FlowLevels
from tts.samplers.settings import InterpolantByDefault

if TYPE_CHECKING:
    from torch import Tensor


class SanaSprint(Sana):
    """Sana-Sprint: Sana in one to four steps; a consistency model whose network is told the guidance scale."""

    PIPELINE: ClassVar[str] = "SanaSprintPipeline"
    KEYS: ClassVar[dict[str, str]] = {"SanaTransformer2DModel": "SanaTransformer2DModel of Sprint"}
    ALONE: ClassVar[dict[str, Any]] = {}

    id: str = Field("Efficient-Large-Model/Sana_Sprint_1.6B_1024px_diffusers", description="local folder, or hub name")
    sampler: InterpolantByDefault = stepped(2, kind="renewal")

    def schedule(self) -> FlowLevels:
        """The network's times as levels of a flow."""
        return SprintLevels()

    def guide(self) -> Guidance:
        """One forward; the network is told the scale."""
        return Embedded(self.scale * self.config_of("transformer").get("guidance_embeds_scale", 0.1))

    def ask(self, network: Any, x: Tensor, s: Tensor, texts: Any, scale: Tensor | None) -> Tensor:
        """The network's answer as it is."""
        found: Tensor = network(x, timestep=s, guidance=scale, return_dict=False, **texts)[0]
        return found
