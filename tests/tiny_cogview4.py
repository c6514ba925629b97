"""A small random pipeline of CogView4, with another tokenizer."""

from __future__ import annotations

from diffusers import CogView4Pipeline, CogView4Transformer2DModel, FlowMatchEulerDiscreteScheduler
from tiny_parts import flow_vae, qwen_tokenizer, randomised
from transformers import GlmConfig, GlmModel


def cogview4() -> CogView4Pipeline:
    """CogView4's form: a shift by the size of the image, and time steps that are not shifted."""
    transformer = CogView4Transformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        text_embed_dim=32,
        time_embed_dim=16,
        condition_dim=8,
        pos_embed_max_size=16,
        sample_size=8,
        rope_axes_dim=(16, 16),
    )
    words = GlmConfig(
        vocab_size=300,
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        pad_token_id=0,
        bos_token_id=0,
        eos_token_id=0,
    )
    scheduler = FlowMatchEulerDiscreteScheduler(
        use_dynamic_shifting=True, base_shift=0.25, max_shift=0.75, base_image_seq_len=256, time_shift_type="linear"
    )
    return CogView4Pipeline(
        qwen_tokenizer(),
        randomised(GlmModel(words), 9, 0.3),
        flow_vae(16, 1.0, 0.0),
        randomised(transformer),
        scheduler,
    )
