"""Small random flow pipelines of diffusers' own classes, and how each is asked for its latents."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from diffusers import (
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
)
from tiny_pipelines import LETTERS, text_config, tokenizer, vae
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel, T5Tokenizer

from tts.models.packing import pack, unpack

SPACE = "▁"
PIXELS = 16
"""Height and width of all images here."""


def randomised(module: Any, seed: int = 0, std: float = 0.1) -> Any:
    """A network with all of its weights drawn: its last layers begin at zero, which would hide everything."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=std, generator=generator)
    return module.eval().requires_grad_(False)


def t5_tokenizer() -> T5Tokenizer:
    """A token for each letter."""
    pieces = ["<pad>", "</s>", "<unk>", SPACE, *LETTERS, *(SPACE + letter for letter in LETTERS)]
    return T5Tokenizer(vocab=[(piece, -float(k)) for k, piece in enumerate(pieces)], extra_ids=0)


def t5(width: int) -> Any:
    """A text encoder of two small layers."""
    config = T5Config(
        vocab_size=2 * len(LETTERS) + 4,
        d_model=width,
        d_kv=8,
        d_ff=37,
        num_layers=2,
        num_heads=4,
        feed_forward_proj="gated-gelu",
    )
    return randomised(T5EncoderModel(config), 1, 0.3)


def flow_vae(channels: int = 16, scale: float = 1.5305, shift: float = 0.0609) -> Any:
    """Latents at half the images' size."""
    torch.manual_seed(2)
    return vae(
        latent_channels=channels,
        use_quant_conv=False,
        use_post_quant_conv=False,
        scaling_factor=scale,
        shift_factor=shift,
    ).eval()


def stable_diffusion_3() -> StableDiffusion3Pipeline:
    """Stable Diffusion 3.5 medium's form."""
    torch.manual_seed(0)
    transformer = SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        pos_embed_max_size=8,
        qk_norm="rms_norm",
        dual_attention_layers=(0,),
    )
    return StableDiffusion3Pipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=flow_vae(),
        text_encoder=CLIPTextModelWithProjection(text_config(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(32)).eval(),
        tokenizer_2=tokenizer(),
        text_encoder_3=t5(64),
        tokenizer_3=t5_tokenizer(),
    )


def flux(embedded: bool = True) -> FluxPipeline:
    """FLUX.1 dev's form, or schnell's."""
    torch.manual_seed(0)
    transformer = FluxTransformer2DModel(
        in_channels=64,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        guidance_embeds=embedded,
        axes_dims_rope=(4, 4, 8),
    )
    dynamic = {"use_dynamic_shifting": True, "base_shift": 0.5, "max_shift": 1.15} if embedded else {"shift": 1.0}
    return FluxPipeline(
        transformer=randomised(transformer),
        scheduler=FlowMatchEulerDiscreteScheduler(**dynamic),
        vae=flow_vae(16, 0.3611, 0.1159),
        text_encoder=CLIPTextModel(text_config(32)).eval(),
        tokenizer=tokenizer(),
        text_encoder_2=t5(32),
        tokenizer_2=t5_tokenizer(),
    )


class Family(NamedTuple):
    """A family, and how its own pipeline is asked.

    Args:
        name: of the model.
        make: its pipeline.
        settings: of our model, beside id, size and precision.
        asked: arguments of the pipeline that mean the same.
        shape: of a latent.
        packed, unpacked: latents as the pipeline has them, and back.
        linear: whether guidance is linear.
    """

    name: str
    make: Callable[[], Any]
    settings: dict[str, Any]
    asked: dict[str, Any]
    shape: tuple[int, int, int] = (16, 8, 8)
    packed: Callable[[Tensor], Tensor] = lambda x: x
    unpacked: Callable[[Tensor, tuple[int, ...]], Tensor] = lambda x, _: x
    scheduler: Callable[[Any], Any] = lambda config: FlowMatchEulerDiscreteScheduler.from_config(config)


FAMILIES: dict[str, Family] = {
    "stable-diffusion-3": Family(
        "stable-diffusion-3", stable_diffusion_3, {"guidance": 4}, {"guidance_scale": 4, "max_sequence_length": 256}
    ),
    "flux-dev": Family(
        "flux", flux, {"guidance": 3}, {"guidance_scale": 3, "max_sequence_length": 512}, (16, 8, 8), pack, unpack
    ),
    "flux-schnell": Family(
        "flux", lambda: flux(False), {}, {"max_sequence_length": 512}, (16, 8, 8), pack, unpack
    ),
}
