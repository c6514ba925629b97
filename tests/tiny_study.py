"""A study small enough to run in seconds: four steps, two problems, every search."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from filelock import FileLock

WEIGHTS = Path(os.environ["TTS_BENCH_TEST_LOCKS"]) / "small-denoiser.safetensors"
"""Weights of a network like the shipped one, at a quarter of its cost; :func:`save_weights` makes the file."""
SMALL: dict[str, Any] = {"name": "cifar10", "weights": str(WEIGHTS), "sampler": {"steps": 4}}
"""The tiny study's model, with this network."""
SHIPPED: dict[str, Any] = {"name": "cifar10", "sampler": {"steps": 4}}
"""The same with the shipped network, for tests about it, or about users without a weights file."""


def small(**sampler: Any) -> dict[str, Any]:
    """The same model with other settings of its sampler."""
    return {**SMALL, "sampler": sampler}


def save_weights() -> None:
    """Make the network's file, once for all processes of tests."""
    import torch

    from tts.files import weights_file
    from tts.networks.folded_unet import FoldedUNet
    from tts.networks.precondition import EDMPrecond

    with FileLock(WEIGHTS.with_suffix(".lock")), torch.random.fork_rng(devices=[]):
        if not WEIGHTS.exists():
            torch.manual_seed(0)
            weights_file.save(EDMPrecond(FoldedUNet((32, 32))), WEIGHTS)


SEARCHES: list[Any] = [
    "naive",
    {"name": "best_of_n", "budget": {"N": [2, 3]}},
    {"name": "random", "N": 3},
    {"name": "beam", "B": 2, "budget": {"N": [2]}},
    {"name": "mcts", "N": 2, "budget": {"S": [1, 3]}},
    {"name": "zero_order", "N": 2, "budget": {"K": [2]}},
    {"name": "eps_greedy", "N": 2, "budget": {"K": [2]}},
]

TINY: dict[str, Any] = {
    "model": SMALL,
    "rewards": ["brightness", "compressibility", "class_probability"],
    "searches": SEARCHES,
    "problems": {"conditions": [0, "cat"], "seeds": 1},
    "engines": {"backend": "local", "batch": 8, "threads": 1},
}
