"""Small random detectors and metadata for GenEval."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from tiny_rewards import clip_folder

from tts.quiet import quiet

OBJECTS = ("bench", "cow", "mouse", "dog", "clock", "bus", "apple", "bicycle")
"""Classes of the tiny detectors, as COCO names them."""

LINES: tuple[dict[str, Any], ...] = (
    {"tag": "single_object", "include": [{"class": "bench", "count": 1}]},
    {"tag": "two_object", "include": [{"class": "cow", "count": 1}, {"class": "computer mouse", "count": 1}]},
    {
        "tag": "counting",
        "include": [{"class": "clock", "count": 2}],
        "exclude": [{"class": "clock", "count": 3}],
    },
    {"tag": "colors", "include": [{"class": "bus", "count": 1, "color": "red"}]},
    {
        "tag": "position",
        "include": [{"class": "dog", "count": 1}, {"class": "cow", "count": 1, "position": ["left of", 0]}],
    },
    {
        "tag": "color_attr",
        "include": [{"class": "apple", "count": 1, "color": "black"}, {"class": "bus", "count": 1, "color": "white"}],
    },
)
"""A metadata line of each of GenEval's tasks, without its prompt."""


def mask2former(folder: Path, sure: float = 400.0) -> Path:
    """A Mask2Former of a few classes; a larger ``sure`` gives higher confidences."""
    from transformers import Mask2FormerConfig, Mask2FormerForUniversalSegmentation, SwinConfig

    torch.manual_seed(0)
    backbone = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 1, 1],
        window_size=2,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    sizes = {"feature_size": 32, "mask_feature_size": 32, "hidden_dim": 32, "encoder_feedforward_dim": 16}
    config = Mask2FormerConfig(
        backbone_config=backbone,
        **sizes,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=12,
        id2label=dict(enumerate(OBJECTS)),
        label2id={name: number for number, name in enumerate(OBJECTS)},
    )
    with quiet():
        network = Mask2FormerForUniversalSegmentation(config)
        network.class_predictor.weight.data *= sure
        network.save_pretrained(folder)
    return folder


def yolos(folder: Path) -> Path:
    """A YOLOS, which predicts boxes without masks."""
    from transformers import YolosConfig, YolosForObjectDetection

    torch.manual_seed(0)
    config = YolosConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        image_size=[64, 64],
        num_detection_tokens=10,
        id2label=dict(enumerate(OBJECTS)),
        label2id={name: number for number, name in enumerate(OBJECTS)},
    )
    with quiet():
        YolosForObjectDetection(config).save_pretrained(folder)
    return folder


def geneval_lines(path: Path, prompts: list[str], lines: tuple[dict[str, Any], ...] = LINES) -> Path:
    """A metadata file with these prompts; lines alternate."""
    rows = [{**lines[place % len(lines)], "prompt": prompt} for place, prompt in enumerate(prompts)]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def geneval(folder: Path, prompts: list[str], value: str = "graded") -> dict[str, Any]:
    """Settings of the reward on tiny networks."""
    folder.mkdir(parents=True, exist_ok=True)
    return {
        "model": str(clip_folder(folder / "clip")),
        "metadata": str(geneval_lines(folder / "metadata.jsonl", prompts)),
        "detector": {"id": str(mask2former(folder / "detector")), "size": 64},
        "value": value,
    }
