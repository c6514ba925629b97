"""Small random pipelines of diffusers' own classes, saved in the usual way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    AutoencoderTiny,
    DDIMScheduler,
    DiTPipeline,
    DiTTransformer2DModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tiny_schedules import SCHEDULE
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from tts.quiet import quiet

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.-'"
START, END = "<|startoftext|>", "<|endoftext|>"
LENGTH = 16
"""Tokens that the text encoders read, including start and end."""


def scheduler(**changes: Any) -> DDIMScheduler:
    """Stable Diffusion's schedule, with changes."""
    return DDIMScheduler(**{**SCHEDULE, **changes})


def tokenizer() -> CLIPTokenizer:
    """A tokenizer with a token for each letter."""
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), START, END]
    vocabulary = {word: place for place, word in enumerate(words)}
    return CLIPTokenizer(
        vocab=vocabulary,
        merges=[],
        bos_token=START,
        eos_token=END,
        unk_token=END,
        pad_token=END,
        model_max_length=LENGTH,
    )


def text_config(width: int) -> CLIPTextConfig:
    """The configuration of a text encoder with two small layers."""
    return CLIPTextConfig(
        hidden_size=width,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        max_position_embeddings=LENGTH,
        vocab_size=2 * len(LETTERS) + 2,
        bos_token_id=2 * len(LETTERS),
        eos_token_id=2 * len(LETTERS) + 1,
        pad_token_id=2 * len(LETTERS) + 1,
        projection_dim=width,
    )


def vae(**changes: Any) -> AutoencoderKL:
    """An autoencoder whose latents have four channels and half the images' size."""
    return AutoencoderKL(
        **{
            "block_out_channels": (16, 32),
            "down_block_types": ("DownEncoderBlock2D",) * 2,
            "up_block_types": ("UpDecoderBlock2D",) * 2,
            "latent_channels": 4,
            "norm_num_groups": 8,
            "sample_size": 16,
            **changes,
        }
    )


def unet(**changes: Any) -> UNet2DConditionModel:
    """A UNet of two levels for latents of 8x8."""
    return UNet2DConditionModel(
        **{
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 4,
            "block_out_channels": (16, 32),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "cross_attention_dim": 32,
            "attention_head_dim": 4,
            "norm_num_groups": 8,
            **changes,
        }
    )


def stable_diffusion(seed: int = 0, **schedule: Any) -> StableDiffusionPipeline:
    """Stable Diffusion for images of 16x16."""
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config(32)).eval(),
        tokenizer=tokenizer(),
        unet=unet(),
        scheduler=scheduler(**schedule),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(seed: int = 0, **schedule: Any) -> StableDiffusionXLPipeline:
    """SDXL for images of 16x16."""
    torch.manual_seed(seed)
    return StableDiffusionXLPipeline(
        vae=vae(),
        text_encoder=CLIPTextModel(text_config(32)).eval(),
        text_encoder_2=CLIPTextModelWithProjection(text_config(32)).eval(),
        tokenizer=tokenizer(),
        tokenizer_2=tokenizer(),
        unet=unet(
            cross_attention_dim=64,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + 32,
        ),
        scheduler=scheduler(**schedule),
        add_watermarker=False,
    )


def dit(seed: int = 0, **schedule: Any) -> DiTPipeline:
    """A DiT with learned variance for ImageNet's classes and images of 16x16."""
    torch.manual_seed(seed)
    transformer = DiTTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=8,
        in_channels=4,
        out_channels=8,
        num_layers=2,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=1000,
        norm_num_groups=8,
    )
    for parameter in transformer.parameters():  # its last layers are zero at first
        torch.nn.init.normal_(parameter, std=0.1)
    linear = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "linear", "steps_offset": 0}
    return DiTPipeline(transformer=transformer.eval(), vae=vae(), scheduler=scheduler(**linear, **schedule))


PIPELINES = {"stable-diffusion": stable_diffusion, "stable-diffusion-xl": stable_diffusion_xl, "dit": dit}


def save(pipeline: Any, folder: Path, **options: Any) -> Path:
    """Save a pipeline into a new folder."""
    with quiet():
        pipeline.save_pretrained(folder, **options)
    return folder


def save_tiny_autoencoder(folder: Path, seed: int = 1) -> Path:
    """A decoder for previews of the same form as the pipelines' own."""
    torch.manual_seed(seed)
    channels = (16, 16)
    AutoencoderTiny(
        encoder_block_out_channels=channels,
        decoder_block_out_channels=channels,
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        upsampling_scaling_factor=2,
    ).save_pretrained(folder)
    return folder
