"""Small random networks in the file formats of the rewards' real weights."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import save_file
from tiny_pipelines import text_config, tokenizer
from torch import Tensor
from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPVisionConfig

from tts.quiet import quiet

WIDTH = 32
"""Width of the tiny CLIP models' embeddings."""
MEAN, STD = [0.48, 0.46, 0.41], [0.27, 0.26, 0.28]


def clip_folder(folder: Path, seed: int = 0, resize_mode: str = "shortest") -> Path:
    """A CLIP model in open_clip's form."""
    torch.manual_seed(seed)
    config = {
        "embed_dim": WIDTH,
        "vision_cfg": {"image_size": 16, "layers": 2, "width": 64, "patch_size": 4},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
    }
    folder.mkdir(parents=True)
    preprocess = {"mean": MEAN, "std": STD, "interpolation": "bicubic", "resize_mode": resize_mode}
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": config, "preprocess_cfg": preprocess}))
    model = open_clip.CLIP(**json.loads(json.dumps(config)))
    save_file(
        {name: value.contiguous() for name, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    return folder


def aesthetic_head(
    path: Path, width: int = WIDTH, seed: int = 0, places: tuple[int, ...] = (0, 2, 4), inner: tuple[int, ...] = (24, 8)
) -> Path:
    """A head of linear layers; ``places`` are their numbers, with gaps for dropouts or for ReLUs and dropouts."""
    torch.manual_seed(seed)
    sizes = pairwise((width, *inner, 1))
    state: dict[str, Tensor] = {}
    for place, (wide, out) in zip(places, sizes, strict=True):
        state |= {f"layers.{place}.weight": torch.randn(out, wide) / 4, f"layers.{place}.bias": torch.randn(out)}
    torch.save(state, path)
    return path


def pickscore_folder(folder: Path, seed: int = 0) -> Path:
    """A CLIP model in transformers' form, its tokenizer and its preprocessing."""
    torch.manual_seed(seed)
    vision = CLIPVisionConfig(
        hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4, image_size=16, patch_size=4
    )
    config = CLIPConfig(text_config=text_config(32).to_dict(), vision_config=vision.to_dict(), projection_dim=WIDTH)
    processor = CLIPImageProcessor(
        size={"shortest_edge": 16}, crop_size={"height": 16, "width": 16}, image_mean=MEAN, image_std=STD
    )
    with quiet():
        CLIPModel(config).save_pretrained(folder)
        tokenizer().save_pretrained(folder)
        processor.save_pretrained(folder)
    return folder


def torchvision_classifier(path: Path, model: str = "squeezenet1_1", classes: int = 1000, seed: int = 0) -> Path:
    """A torchvision model's ``state_dict``."""
    from torchvision.models import get_model

    torch.manual_seed(seed)
    torch.save(get_model(model, weights=None, num_classes=classes).state_dict(), path)
    return path


def guided_classifier(
    path: Path,
    classes: int = 1000,
    width: int = 32,
    mults: tuple[int, ...] = (1, 2, 2, 2),
    depth: int = 1,
    attends: tuple[int, ...] = (16, 8),
    seed: int = 0,
) -> Path:
    """guided diffusion's classifier for 64 pixels, under its published names."""
    torch.save(guided_state(classes, width, mults, depth, attends, seed), path)
    return path


def guided_state(
    classes: int,
    width: int,
    mults: tuple[int, ...],
    depth: int,
    attends: tuple[int, ...],
    seed: int,
    scales: bool = True,
) -> dict[str, Tensor]:
    """Random weights of the classifier; without ``scales``, blocks add the embedding."""
    draw, embedding = torch.Generator().manual_seed(seed), 4 * width
    state: dict[str, Tensor] = {}

    def layer(name: str, *shape: int) -> None:
        spread = 1 / math.sqrt(math.prod(shape[1:]))
        state[f"{name}.weight"] = torch.randn(shape, generator=draw) * spread
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=draw)

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(channels, generator=draw)
        state[f"{name}.bias"] = 0.1 * torch.randn(channels, generator=draw)

    def block(name: str, wide: int, out: int) -> None:
        norm(f"{name}.in_layers.0", wide)
        layer(f"{name}.in_layers.2", out, wide, 3, 3)
        layer(f"{name}.emb_layers.1", 2 * out if scales else out, embedding)
        norm(f"{name}.out_layers.0", out)
        layer(f"{name}.out_layers.3", out, out, 3, 3)
        if wide != out:
            layer(f"{name}.skip_connection", out, wide, 1, 1)

    def attention(name: str, channels: int) -> None:
        norm(f"{name}.norm", channels)
        layer(f"{name}.qkv", 3 * channels, channels, 1)
        layer(f"{name}.proj_out", channels, channels, 1)

    layer("time_embed.0", embedding, width)
    layer("time_embed.2", embedding, embedding)
    layer("input_blocks.0.0", width, 3, 3, 3)
    place, now = 1, width
    for level, mult in enumerate(mults):
        if level:
            block(f"input_blocks.{place}.0", now, now)
            place += 1
        for _ in range(depth):
            block(f"input_blocks.{place}.0", now, mult * width)
            now = mult * width
            if 64 >> level in attends:
                attention(f"input_blocks.{place}.1", now)
            place += 1
    block("middle_block.0", now, now)
    attention("middle_block.1", now)
    block("middle_block.2", now, now)
    norm("out.0", now)
    size = 64 >> (len(mults) - 1)
    state["out.2.positional_embedding"] = torch.randn(now, size**2 + 1, generator=draw) / math.sqrt(now)
    layer("out.2.qkv_proj", 3 * now, now, 1)
    layer("out.2.c_proj", classes, now, 1)
    return state


def image_reward(folder: Path, seed: int = 0) -> dict[str, Any]:
    """Weights under ImageReward's published names and a BERT tokenizer of letters; the reward's settings."""
    folder.mkdir(parents=True)
    torch.save(image_reward_state(seed), folder / "ImageReward.pt")
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *(f"##{letter}" for letter in letters)]
    (folder / "bert").mkdir()
    (folder / "bert" / "vocab.txt").write_text("\n".join(words) + "\n")
    (folder / "bert" / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True, "model_max_length": 512}))
    return {"weights": str(folder / "ImageReward.pt"), "tokenizer": str(folder / "bert")}


def image_reward_state(seed: int, width: int = 64, layers: int = 2, vocabulary: int = 59) -> dict[str, Tensor]:
    """Random weights of an image encoder for 32 pixels, a text encoder and a head."""
    draw = torch.Generator().manual_seed(seed)
    state: dict[str, Tensor] = {}

    def layer(name: str, *shape: int) -> None:
        state[f"{name}.weight"] = torch.randn(shape, generator=draw) / math.sqrt(math.prod(shape[1:]))
        state[f"{name}.bias"] = 0.1 * torch.randn(shape[0], generator=draw)

    def norm(name: str) -> None:
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(width, generator=draw)
        state[f"{name}.bias"] = 0.1 * torch.randn(width, generator=draw)

    vision, text = "blip.visual_encoder", "blip.text_encoder"
    state[f"{vision}.cls_token"] = torch.randn(1, 1, width, generator=draw)
    state[f"{vision}.pos_embed"] = torch.randn(1, 17, width, generator=draw)
    layer(f"{vision}.patch_embed.proj", width, 3, 8, 8)
    norm(f"{vision}.norm")
    for k in range(layers):
        block = f"{vision}.blocks.{k}"
        norm(f"{block}.norm1")
        norm(f"{block}.norm2")
        layer(f"{block}.attn.qkv", 3 * width, width)
        layer(f"{block}.attn.proj", width, width)
        layer(f"{block}.mlp.fc1", 2 * width, width)
        layer(f"{block}.mlp.fc2", width, 2 * width)
    state[f"{text}.embeddings.word_embeddings.weight"] = torch.randn(64, width, generator=draw)[:vocabulary].clone()
    state[f"{text}.embeddings.position_embeddings.weight"] = torch.randn(40, width, generator=draw)
    norm(f"{text}.embeddings.LayerNorm")
    for k in range(layers):
        block = f"{text}.encoder.layer.{k}"
        for attention in ("attention", "crossattention"):
            for part in ("query", "key", "value"):
                layer(f"{block}.{attention}.self.{part}", width, width)
            layer(f"{block}.{attention}.output.dense", width, width)
            norm(f"{block}.{attention}.output.LayerNorm")
        layer(f"{block}.intermediate.dense", 2 * width, width)
        layer(f"{block}.output.dense", width, 2 * width)
        norm(f"{block}.output.LayerNorm")
    layer("blip.vision_proj", 16, width)
    layer("blip.text_proj", 16, width)
    for place, (wide, out) in {0: (width, 24), 2: (24, 8), 4: (8, 1)}.items():
        layer(f"mlp.layers.{place}", out, wide)
    return state


def shallow(patch: pytest.MonkeyPatch, blocks: int = 2) -> int:
    """Give DINOv2's networks only a few blocks; returns their number."""
    import timm

    whole = timm.create_model
    patch.setattr(timm, "create_model", lambda *names, **options: whole(*names, **options, depth=blocks))
    return blocks


def dino_classes(folder: Path, blocks: int = 12) -> tuple[dict[str, str], Any]:
    """Settings of DINOv2's smallest network with random weights and a head, and the same network in transformers."""
    from test_extractors import _authors_names
    from transformers import Dinov2Config, Dinov2ForImageClassification

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        size = {"hidden_size": 384, "num_hidden_layers": blocks, "num_attention_heads": 6}
        config = Dinov2Config(**size, image_size=224, patch_size=14, num_labels=1000)
        network = Dinov2ForImageClassification(config).eval()
        state = {name.removeprefix("dinov2."): each for name, each in network.dinov2.state_dict().items()}
        for name, tensor in state.items():
            if "lambda1" in name or "embeddings" in name:
                tensor.copy_(torch.randn_like(tensor) * 0.3)
    weights, head = folder / "dinov2_vits14.pth", folder / "dinov2_head.pth"
    torch.save(dict(_authors_names(state)), weights)
    torch.save(network.classifier.state_dict(), head)
    return {"model": "vit-s-14", "weights": str(weights), "head": str(head)}, network


def all_settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings of every reward that needs weights, with tiny ones."""
    folder.mkdir(parents=True, exist_ok=True)
    clip, pick = str(clip_folder(folder / "clip")), str(pickscore_folder(folder / "pick"))
    return {
        "clip": {"model": clip},
        "hpsv2": {"model": str(clip_folder(folder / "hps", seed=1))},
        "aesthetic": {"model": clip, "head": str(aesthetic_head(folder / "head.pth")), "activation": "linear"},
        "pickscore": {"id": pick, "processor": pick},
        "imagereward": image_reward(folder / "imagereward"),
        "classifier": {"model": "squeezenet1_1", "weights": str(torchvision_classifier(folder / "squeeze.pth"))},
    }
