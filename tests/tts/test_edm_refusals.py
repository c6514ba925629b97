"""Networks in EDM's form that differ from the published ones are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edm_pickles
import numpy as np
import pytest
import song_pickles
import torch
from edm_files import settings
from edm_pickles import TINY

from tts.errors import WeightsError


def refusal(network: object, folder: Path) -> str:
    """The message about an unusable network: one line that starts with the file's name."""
    path = edm_pickles.save(network, folder / "x.pkl")
    with pytest.raises(WeightsError, match=r"^checkpoint .*x\.pkl: [^\n]*$") as error:
        settings(path).check()
    with pytest.raises(WeightsError) as again:
        settings(path).load()
    assert str(again.value) == str(error.value)
    return str(error.value)


def renamed(module: Any, name: str) -> Any:
    module.__class__ = edm_pickles.renamed(type(module), name)
    return module


def test_other_wrappers_and_networks_are_named(tmp_path: Path) -> None:
    network = renamed(edm_pickles.network(**TINY), "VPPrecond")
    assert "wrapped in a VPPrecond; only EDMPrecond and Precond can be read" in refusal(network, tmp_path)
    network = edm_pickles.network(**TINY)
    renamed(network.model, "OtherUNet")
    assert "its network is a OtherUNet; DhariwalUNet, SongUNet, UNet can be read" in refusal(network, tmp_path)


CONSTANTS: list[tuple[str, str, str, Any, str]] = [
    ("adm", "UNetBlock", "skip_scale", np.sqrt(0.5), "'enc.8x8_block0' has skip_scale = 0.707107, and only 1 is"),
    ("vp", "UNetBlock", "skip_scale", 1, "'enc.8x8_block0' has skip_scale = 1, and only 0.707107 is"),
    ("ve", "UNetBlock", "adaptive_scale", True, "has adaptive_scale = 1, and only 0 is"),
    ("vp", "UNetBlock", "num_heads", 2, "has num_heads = 2, and only 0 or 1 is"),
    ("adm", "UNetBlock", "num_heads", 2, "has num_heads = 2, and only 0 is"),
    ("adm", "GroupNorm", "eps", 1e-6, "'enc.8x8_block0.norm0' has eps = 1e-06, and only 1e-05 is"),
    ("ve", "GroupNorm", "eps", 1e-5, "has eps = 1e-05, and only 1e-06 is"),
    ("vp", "GroupNorm", "num_groups", 32, "has num_groups = 32, and only 8 is"),
    ("vp", "PositionalEmbedding", "endpoint", False, "'map_noise' has endpoint = 0, and only 1 is"),
    ("vp", "PositionalEmbedding", "max_positions", 1000, "has max_positions = 1000, and only 10000 is"),
    ("adm", "EDMPrecond", "sigma_max", 50, "made for noise levels from 0 to 50, but the sampler's are 0.002 to 80"),
    (
        "ve",
        "EDMPrecond",
        "sigma_min",
        0.02,
        "made for noise levels from 0.02 to inf, but the sampler's are 0.002 to 80",
    ),
    ("adm", "EDMPrecond", "label_dim", 7, "its preconditioning has label_dim = 7, but its network 4"),
]
"""Networks, each with a constant that a changed program could alter without any other trace in the file."""


@pytest.mark.parametrize(("network", "kind", "name", "value", "message"), CONSTANTS)
def test_constants_of_a_changed_program_are_refused(
    network: str, kind: str, name: str, value: Any, message: str, tmp_path: Path
) -> None:
    """NVIDIA's classes store these constants; with other values, answers were off by up to twice their spread."""
    makers = {"adm": edm_pickles.network(**TINY), "vp": song_pickles.network(**song_pickles.VP)}
    it = makers[network] if network in makers else song_pickles.network(**song_pickles.VE)
    for module in it.modules():
        if type(module).__name__ == kind:
            setattr(module, name, value)
    assert message in refusal(it, tmp_path)


def test_the_published_constants_are_no_obstacle(tmp_path: Path) -> None:
    """NVIDIA's classes write them in this form; only their parts are known."""
    adm, vp = edm_pickles.network(**TINY), song_pickles.network(**song_pickles.VP)
    for it, scale, eps, end in ((adm, 1, 1e-5, False), (vp, np.sqrt(0.5), 1e-6, True)):
        published = {
            "UNetBlock": {"skip_scale": scale, "adaptive_scale": it is adm, "num_heads": 0},
            "GroupNorm": {"eps": eps},
            "PositionalEmbedding": {"max_positions": 10000, "endpoint": end},
            "EDMPrecond": {"sigma_min": 0, "sigma_max": float("inf"), "label_dim": 4},
        }
        for module in it.modules():
            for name, value in published.get(type(module).__name__, {}).items():
                setattr(module, name, value)
        settings(edm_pickles.save(it, tmp_path / "x.pkl")).check()
    renamed(vp.model.map_layer0, "SpectralLinear")
    assert "its 'map_layer0' is a SpectralLinear, which no published network has" in refusal(vp, tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"augment_dim": 9}, "augment_dim = 9: Input should be 0"),
        ({"in_channels": 1}, "in_channels = 1: Input should be 3"),
        ({"resample_filter": [1, 3, 3, 1]}, "unknown key 'resample_filter'"),
        ({"channel_mult": [2, 2]}, "channel_mult must begin with 1"),
        ({"attn_resolutions": [8]}, "a level with attention has 32 channels, which is not a multiple of 64"),
        ({"img_resolution": 9}, "img_resolution 9 cannot be halved"),
        ({"num_blocks": 2}, "its network lacks 'enc.8x8_block1.norm0.weight'"),
        ({"attn_resolutions": []}, "its network has 'enc.4x4_block0.norm2.weight', which an ADM"),
        ({"label_dim": 0}, "its network has 'map_label.weight', which an ADM"),
        ({"label_dim": 5}, "its network has 5 classes, but the setting 'classes' says 4"),
    ],
)
def test_arguments_that_cannot_be_followed_are_named(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    network = edm_pickles.network(**TINY)
    network.model._init_kwargs |= arguments
    assert message in refusal(network, tmp_path)


def test_arguments_without_names_are_refused(tmp_path: Path) -> None:
    network = edm_pickles.network(**TINY)
    network.model._init_args = (8, 3, 3)
    assert "its DhariwalUNet was built from unnamed arguments" in refusal(network, tmp_path)


def test_another_filter_is_refused(tmp_path: Path) -> None:
    network = edm_pickles.network(**TINY)
    network.model.enc["4x4_down"].conv0.resample_filter[0, 0, 0, 0] = 0.5
    found = refusal(network, tmp_path)
    assert "another filter than 2x2 means ('enc.4x4_down.conv0.resample_filter')" in found


def test_a_tensor_of_another_shape_is_named(tmp_path: Path) -> None:
    network = edm_pickles.network(**TINY)
    network.model.out_conv.bias = torch.nn.Parameter(torch.zeros(4), requires_grad=False)
    with pytest.raises(WeightsError, match=r"x.pkl: its network has \(4,\) in place of \(3,\) for 'conv_out.bias'"):
        settings(edm_pickles.save(network, tmp_path / "x.pkl")).load()
