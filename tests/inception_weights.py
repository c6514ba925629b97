"""Random weights of Inception in a file like the published one."""

from __future__ import annotations

from pathlib import Path

import torch

from tts.metrics.extractors.inception import bare


def write(path: Path) -> Path:
    """Write weights with which features differ between images."""
    torch.manual_seed(0)
    network = bare("cpu")
    state = network.state_dict()
    for name, tensor in state.items():
        if name.endswith("conv.weight"):
            state[name] = tensor * 2.4  # so that each layer keeps the scale of its input
    torch.save(state, path)
    return path
