"""EDM's DDPM++ and NCSN++ checkpoints: the network equals the published one; others are refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import edm_pickles
import pytest
import song_pickles
import torch
from checks_of_models import MODELS as CHECKS
from song_pickles import VE, VP

from tts.engine.batching import rows_are_independent
from tts.errors import WeightsError
from tts.models.edm import EDM

SHAPES: dict[str, dict[str, Any]] = {
    "vp": VP,
    "vp without labels": {**VP, "label_dim": 0, "augment_dim": 0},
    "vp of three levels": {
        **VP,
        "img_resolution": 16,
        "channel_mult": [2, 2, 2],
        "num_blocks": 1,
        "attn_resolutions": [8],
    },
    "ve": VE,
    "ve of three levels": {**VE, "img_resolution": 16, "channel_mult": [1, 2, 2], "attn_resolutions": [16, 8]},
    "ve without labels": {**VE, "label_dim": 0},
}


def saved(folder: Path, arguments: dict[str, Any]) -> tuple[Any, EDM]:
    network = song_pickles.network(**arguments)
    path = edm_pickles.save(network, folder / "song.pkl")
    return network, EDM(checkpoint=str(path), classes=arguments["label_dim"])


@torch.inference_mode()
@pytest.mark.parametrize("arguments", SHAPES.values(), ids=SHAPES)
def test_denoises_as_the_published_network_does(tmp_path: Path, arguments: dict[str, Any]) -> None:
    network, settings = saved(tmp_path, arguments)
    settings.check()
    model = settings.load()
    levels, labels = torch.tensor([80.0, 2.0, 0.5, 0.002], dtype=torch.float64), [0, 3, 1, 3]
    scale = (levels**2 + 0.25).sqrt().float().view(-1, 1, 1, 1)
    x = scale * torch.randn(4, *model.shape, generator=torch.Generator().manual_seed(1))
    published = network(x, levels.float(), torch.tensor(labels))
    assert float(published.std()) > 0.1
    torch.testing.assert_close(model.denoise(x, levels, labels), published, rtol=0, atol=CHECKS["song"].abs)
    assert rows_are_independent(model, 4, 0)


def test_holds_the_published_network() -> None:
    """DDPM++ for CIFAR-10 has 56 M parameters (Karras et al. 2022, Table 7)."""
    arguments = {**VP, "img_resolution": 32, "label_dim": 10, "model_channels": 128, "channel_mult": [2, 2, 2]}
    with torch.device("meta"):
        published = song_pickles.SongUNet(**{**arguments, "num_blocks": 4, "attn_resolutions": [16]})
    assert round(sum(p.numel() for p in published.parameters()) / 1e6) == 56


@torch.inference_mode()
def test_listens_to_labels(tmp_path: Path) -> None:
    model = saved(tmp_path, VP)[1].load()
    D = model.denoise(torch.ones(2, *model.shape), torch.ones(2, dtype=torch.float64), [0, 3])
    assert not torch.equal(D[0], D[1])


@torch.inference_mode()
@pytest.mark.parametrize("arguments", [VP, VE], ids=["vp", "ve"])
def test_lower_precision_is_near(tmp_path: Path, arguments: dict[str, Any]) -> None:
    settings = saved(tmp_path, arguments)[1]
    full, half = settings.load(), settings.model_copy(update={"precision": "bf16"}).load()
    x, levels = torch.randn(2, *full.shape, generator=torch.Generator().manual_seed(1)), torch.tensor([0.5, 2.0])
    answers = [model.denoise(x, levels.double(), [0, 3]) for model in (full, half)]
    assert 0 < (answers[0] - answers[1]).abs().max() < 0.1


def refusal(network: object, folder: Path) -> str:
    path = edm_pickles.save(network, folder / "x.pkl")
    with pytest.raises(WeightsError, match=r"^checkpoint .*x\.pkl: [^\n]*$") as error:
        EDM(checkpoint=str(path), classes=4).check()
    return str(error.value)


def test_other_networks_are_named(tmp_path: Path) -> None:
    network = song_pickles.network(**VP)
    del network.model.enc["4x4_block1"]
    assert "has None in place of" in refusal(network, tmp_path)
    network = song_pickles.network(**VP)
    network.model.more = torch.nn.Parameter(torch.zeros(2), requires_grad=False)
    assert "has (2,) in place of None for 'more'" in refusal(network, tmp_path)
    network = song_pickles.network(**{**VP, "model_channels": 64})
    network.model._init_kwargs["model_channels"] = 32
    assert "in place of" in refusal(network, tmp_path)


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("embedding_type", "other"),
        ("decoder_type", "skip"),
        ("encoder_type", "skip"),
        ("resample_filter", [1, 2, 1]),
        ("mystery", 1),
    ],
)
def test_arguments_that_cannot_be_held_are_named(argument: str, value: Any, tmp_path: Path) -> None:
    network = song_pickles.network(**VP)
    network.model._init_kwargs[argument] = value
    said = refusal(network, tmp_path)
    assert "its SongUNet's arguments" in said
    assert argument in said
