"""Networks of published sizes with random weights, to measure devices without trained weights.

Each is a model of a configuration by its place, ``{name: "bench.benchmarks.published:FluxDev", precision: bf16}``.
Their images are noise; prompts are encoded as random states of the published form, as no text encoder is made.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from tts.models.dit import DiT
from tts.models.edm import EDM
from tts.models.families.flux import Flux
from tts.models.families.sana import Sana
from tts.models.families.stable_diffusion_3 import StableDiffusion3
from tts.models.guidance import Embedded, Guidance
from tts.models.pipeline import PipelineSettings
from tts.models.prompts import Encoded
from tts.models.stable_diffusion import StableDiffusion
from tts.networks.adm_weights import ADMShape
from tts.plan import Condition
from tts.precision import dtype
from tts.quiet import quiet

if TYPE_CHECKING:
    import torch
    from torch import nn

AUTOENCODER = {
    "_class_name": "AutoencoderKL",
    "block_out_channels": [128, 256, 512, 512],
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "scaling_factor": 0.18215,
}
BETAS = {
    "_class_name": "DDIMScheduler",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "steps_offset": 1,
    "set_alpha_to_one": False,
    "clip_sample": False,
}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0}
WIDE = {**AUTOENCODER, "latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}


def noise(*shape: int) -> torch.Tensor:
    """Fixed random values of a shape, float32."""
    import torch

    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


class Random(PipelineSettings):
    """A model on diffusers' networks, by their configurations alone."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]]
    """Configurations of the parts that are made, and of the ``scheduler``."""
    STATES: ClassVar[dict[str, tuple[int, ...]]] = {}
    """An encoded prompt: shapes by names."""

    id: str = Field("random", description="nothing is fetched")

    def config_of(self, component: str) -> dict[str, Any]:
        """A part's configuration."""
        return self.CONFIGS[component]

    def scheduler_config(self) -> dict[str, Any]:
        """The scheduler's configuration."""
        return self.CONFIGS["scheduler"]

    def check(self) -> None:
        """Do nothing: there are no files to check."""

    def notes(self, conditions: Sequence[Condition]) -> list[str]:
        """None: prompts are not read."""
        return []

    def identity(self) -> dict[str, Any]:
        """The settings, and the network's name."""
        return {**self.record(), "weights": "random", "network": type(self).__name__}

    def placed(self, device: str, parts: Collection[str] | None = None) -> Any:
        """The denoiser and the decoder, made where they are used."""
        kinds = {part: self.COMPONENTS[part] for part in (next(iter(self.COMPONENTS)), "vae")}
        return SimpleNamespace(**{part: self._made(part, kind, device) for part, kind in kinds.items()})

    def _made(self, part: str, kind: str, device: str) -> nn.Module:
        import diffusers
        import torch

        from tts.networks.placing import place

        before = torch.get_default_dtype()
        torch.set_default_dtype(dtype(self.precision))
        try:
            with torch.device(device):
                torch.manual_seed(0)
                found: nn.Module = getattr(diffusers, kind).from_config(self.config_of(part))
        finally:
            torch.set_default_dtype(before)
        with quiet():
            return place(found, device, dtype(self.precision))

    def encode(self, pipeline: Any, prompt: str | None, device: str) -> Encoded:
        """Random states of the published form."""
        return {name: noise(*shape).to(device, dtype(self.precision)) for name, shape in self.STATES.items()}

    def encoder(self, pipeline: Any, device: str) -> Callable[[str | None], Encoded]:
        """The same states for every prompt."""
        return lambda prompt: self.encode(pipeline, prompt, device)

    def encoding(self, device: str) -> Callable[[str | None], Encoded]:
        """The same states for a store of prompts, without text encoders."""
        return self.encoder(None, device)

    def encoder_identity(self) -> dict[str, Any]:
        """The identity of those states."""
        return {"network": type(self).__name__, "precision": self.precision}


class DiTXL(Random, DiT):
    """DiT-XL/2 at 256x256, classifier-free guidance: 675M, of which diffusers holds the embedders by block: 750M."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {
            "num_attention_heads": 16,
            "attention_head_dim": 72,
            "in_channels": 4,
            "out_channels": 8,
            "num_layers": 28,
            "sample_size": 32,
            "patch_size": 2,
            "attention_bias": True,
            "activation_fn": "gelu-approximate",
            "num_embeds_ada_norm": 1000,
            "norm_type": "ada_norm_zero",
            "norm_elementwise_affine": False,
        },
        "vae": AUTOENCODER,
        "scheduler": {**BETAS, "beta_schedule": "linear", "beta_start": 0.0001, "beta_end": 0.02},
    }


class SD15(Random, StableDiffusion):
    """Stable Diffusion 1.5 at 512x512: 860M, classifier-free guidance."""

    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "unet": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
        "vae": AUTOENCODER,
        "scheduler": BETAS,
    }
    STATES: ClassVar[dict[str, tuple[int, ...]]] = {"encoder_hidden_states": (77, 768)}


class SD35Medium(Random, StableDiffusion3):
    """Stable Diffusion 3.5 medium at 1024x1024: 2.2B, classifier-free guidance."""

    STATES: ClassVar[dict[str, tuple[int, ...]]] = {"encoder_hidden_states": (333, 4096), "pooled_projections": (2048,)}
    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {
            "sample_size": 128,
            "patch_size": 2,
            "in_channels": 16,
            "out_channels": 16,
            "num_layers": 24,
            "attention_head_dim": 64,
            "num_attention_heads": 24,
            "joint_attention_dim": 4096,
            "caption_projection_dim": 1536,
            "pooled_projection_dim": 2048,
            "pos_embed_max_size": 384,
            "dual_attention_layers": list(range(13)),
            "qk_norm": "rms_norm",
        },
        "vae": {**WIDE, "scaling_factor": 1.5305, "shift_factor": 0.0609},
        "scheduler": FLOW,
    }


class FluxDev(Random, Flux):
    """FLUX.1-dev at 1024x1024: 11.9B, guidance embedded."""

    STATES: ClassVar[dict[str, tuple[int, ...]]] = {"encoder_hidden_states": (512, 4096), "pooled_projections": (768,)}
    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {
            "patch_size": 1,
            "in_channels": 64,
            "num_layers": 19,
            "num_single_layers": 38,
            "attention_head_dim": 128,
            "num_attention_heads": 24,
            "joint_attention_dim": 4096,
            "pooled_projection_dim": 768,
            "guidance_embeds": True,
            "axes_dims_rope": [16, 56, 56],
        },
        "vae": {**WIDE, "scaling_factor": 0.3611, "shift_factor": 0.1159},
        "scheduler": {
            **FLOW,
            "use_dynamic_shifting": True,
            "base_shift": 0.5,
            "max_shift": 1.15,
            "base_image_seq_len": 256,
            "max_image_seq_len": 4096,
        },
    }

    def guide(self) -> Guidance:
        """Embedded guidance: the scale is an input of the network."""
        return Embedded(self.scale)


class Sana1600M(Random, Sana):
    """Sana 1.6B at 1024x1024, classifier-free guidance."""

    STATES: ClassVar[dict[str, tuple[int, ...]]] = {"encoder_hidden_states": (300, 2304)}
    CONFIGS: ClassVar[dict[str, dict[str, Any]]] = {
        "transformer": {
            "in_channels": 32,
            "out_channels": 32,
            "num_attention_heads": 70,
            "attention_head_dim": 32,
            "num_layers": 20,
            "num_cross_attention_heads": 20,
            "cross_attention_head_dim": 112,
            "cross_attention_dim": 2240,
            "caption_channels": 2304,
            "mlp_ratio": 2.5,
            "sample_size": 32,
            "patch_size": 1,
        },
        "vae": {
            "latent_channels": 32,
            "encoder_block_types": ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
            "decoder_block_types": ["ResBlock"] * 3 + ["EfficientViTBlock"] * 3,
            "encoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
            "decoder_block_out_channels": [128, 256, 512, 512, 1024, 1024],
            "encoder_layers_per_block": [2, 2, 2, 3, 3, 3],
            "decoder_layers_per_block": [3, 3, 3, 3, 3, 3],
            "encoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
            "decoder_qkv_multiscales": [[], [], [], [5], [5], [5]],
            "downsample_block_type": "Conv",
            "upsample_block_type": "interpolate",
            "decoder_norm_types": "rms_norm",
            "decoder_act_fns": "silu",
            "scaling_factor": 0.41407,
        },
        "scheduler": FLOW,
    }


class ADM64(EDM):
    """EDM's ADM for ImageNet at 64x64: 296M, a thousand classes."""

    checkpoint: str = Field("random", description="nothing is fetched")

    def check(self) -> None:
        """Do nothing: there are no files to check."""

    def identity(self) -> dict[str, Any]:
        """The settings, and the network's name."""
        return {**self.record(), "weights": "random", "network": "ADM64"}

    def _open(self) -> tuple[float, ADMShape, Callable[[], nn.Module]]:
        from tts.networks.adm import ADM, unet

        shape = ADMShape(img_resolution=64, in_channels=3, out_channels=3, label_dim=1000)

        def build() -> nn.Module:
            wanted = unet(shape).state_dict()
            spread = {name: 1.0 if value.ndim == 1 else value[0].numel() ** -0.5 for name, value in wanted.items()}
            return ADM(shape, {name: (noise(*value.shape) * spread[name]).numpy() for name, value in wanted.items()})

        return 0.5, shape, build
