"""Small random pipelines of FLUX.1 and FLUX.2."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    AutoencoderKLFlux2,
    FlowMatchEulerDiscreteScheduler,
    Flux2KleinPipeline,
    Flux2Pipeline,
    Flux2Transformer2DModel,
    FluxPipeline,
    FluxTransformer2DModel,
)
from tiny_parts import flow_vae, qwen3, qwen_tokenizer, randomised, t5, t5_tokenizer
from tiny_pipelines import text_config, tokenizer
from transformers import (
    CLIPTextModel,
    Qwen3ForCausalLM,
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


def flux2_parts(told: bool) -> tuple[Any, Any, Any]:
    """FLUX.2's scheduler, autoencoder and network."""
    transformer = Flux2Transformer2DModel(
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=96,
        timestep_guidance_channels=16,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=told,
    )
    torch.manual_seed(8)
    normalised = AutoencoderKLFlux2(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(16, 32),
        latent_channels=4,
        norm_num_groups=8,
    ).eval()
    normalised.bn.running_mean.normal_(std=0.3)
    normalised.bn.running_var.uniform_(0.5, 2)
    return FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True), normalised, randomised(transformer)


def flux2() -> Flux2Pipeline:
    """FLUX.2 dev's form, with another text encoder."""
    scheduler, normalised, transformer = flux2_parts(told=True)
    words = qwen_tokenizer()
    words.chat_template = words.chat_template.replace("message['content']", "message['content'][0]['text']")
    return Flux2Pipeline(scheduler, normalised, qwen3(Qwen3ForCausalLM, 30), words, transformer)


def flux2_klein(distilled: bool = False) -> Flux2KleinPipeline:
    """FLUX.2 klein's form."""
    scheduler, normalised, transformer = flux2_parts(told=False)
    return Flux2KleinPipeline(
        scheduler, normalised, qwen3(Qwen3ForCausalLM, 27), qwen_tokenizer(), transformer, distilled
    )
