"""EDM checkpoints: the network equals the published one, and searches run on it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import edm_pickles
import numpy as np
import pytest
import torch
from checks_of_models import MODELS as CHECKS
from edm_files import saved, settings
from edm_pickles import TINY
from toy_engine import Player, Trial

from tts.engine.batching import Engine, rows_are_independent
from tts.errors import SettingError, WeightsError
from tts.files import edm_pickle
from tts.models.edm import EDM, PUBLISHED
from tts.networks.adm import unet
from tts.networks.adm_weights import ADMShape, translate
from tts.registry import MODELS
from tts.rewards.brightness import Brightness
from tts.rewards.compressibility import Compressibility
from tts.samplers.heun import StochasticHeun
from tts.search.base import Problem
from tts.search.eps_greedy import EpsGreedy
from tts.search.naive import Naive

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {},
    "without labels": {"label_dim": 0},
    "no attention but in the middle": {"attn_resolutions": []},
    "three levels, two blocks": {"img_resolution": 16, "channel_mult": [1, 2, 4], "num_blocks": 2},
    "two heads, several resolutions": {"model_channels": 64, "channel_mult": [1, 2, 2], "attn_resolutions": [8, 4, 2]},
    "levels of 24 and 32 groups": {"img_resolution": 16, "model_channels": 96, "attn_resolutions": [8]},
    "at 32x32": {"img_resolution": 32, "channel_mult": [1, 1, 2], "attn_resolutions": [8]},
}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file of a tiny network."""
    return saved(tmp_path_factory.mktemp("edm"))[1]


def test_edm_is_registered_with_the_studys_network() -> None:
    name, found = MODELS.make("edm")
    assert (name, found) == ("edm", EDM(checkpoint=PUBLISHED, classes=1000))
    assert found.plan().steps == 18


# ---- the network ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
@pytest.mark.parametrize("changes", SHAPES.values(), ids=SHAPES)
def test_denoises_as_the_published_network_does(tmp_path: Path, changes: dict[str, Any]) -> None:
    network, path = saved(tmp_path, **changes)
    model = settings(path, classes=network.label_dim).load()
    levels, labels = torch.tensor([80.0, 2.0, 0.5, 0.002], dtype=torch.float64), [0, 3, 1, 3]
    scale = (levels**2 + 0.25).sqrt().float().view(-1, 1, 1, 1)
    x = scale * torch.randn(4, *model.shape, generator=torch.Generator().manual_seed(1))
    published = network(x, levels.float(), torch.tensor(labels))
    assert float(published.std()) > 0.1
    torch.testing.assert_close(model.denoise(x, levels, labels), published, rtol=0, atol=CHECKS["adm"].abs)


def test_holds_the_studys_network() -> None:
    """The published arguments give 296 M parameters, and each has its place."""
    arguments = {"img_resolution": 64, "in_channels": 3, "out_channels": 3, "label_dim": 1000}
    with torch.device("meta"):
        published = edm_pickles.DhariwalUNet(**arguments)
    assert round(sum(p.numel() for p in published.parameters()) / 1e6) == 296
    fills = {name: 0.25 if name.endswith("filter") else 0.0 for name in published.state_dict()}
    tensors = {name: np.broadcast_to(fills[name], tensor.shape) for name, tensor in published.state_dict().items()}
    weights = translate(ADMShape(**arguments), tensors)
    held = unet(ADMShape(**arguments)).state_dict()
    assert {name: array.shape for name, array in weights.items()} == {name: held[name].shape for name in held}


@torch.inference_mode()
@pytest.mark.parametrize("labelled", [True, False])
def test_listens_to_labels_if_it_has_any(tmp_path: Path, labelled: bool) -> None:
    model = settings(saved(tmp_path, label_dim=4 * labelled)[1], classes=4 * labelled).load()
    x = torch.ones(2, *model.shape)
    D = model.denoise(x, torch.ones(2, dtype=torch.float64), [0, 3])
    assert torch.equal(D[0], D[1]) == (not labelled)


@pytest.mark.parametrize("dtype", [torch.float16, torch.float64])
def test_reads_other_precisions_and_views_of_larger_storages(tmp_path: Path, dtype: torch.dtype) -> None:
    network = edm_pickles.network(**TINY)
    large = torch.zeros(2, 5, *network.model.out_conv.weight.shape[::-1]).to(dtype)
    large[1, 2] = network.model.out_conv.weight.permute(3, 2, 1, 0)
    network.model.out_conv.weight = torch.nn.Parameter(large[1, 2].permute(3, 2, 1, 0), requires_grad=False)
    path = edm_pickles.save(network, tmp_path / "network.pkl")
    found = edm_pickle.read(path).tensors["out_conv.weight"]
    assert np.array_equal(found, network.model.out_conv.weight.numpy())
    unet = settings(path).load().denoiser.network.unet
    assert torch.equal(unet.conv_out.weight, network.model.out_conv.weight.float())


def test_takes_sigma_data_from_the_file(tmp_path: Path) -> None:
    network = edm_pickles.network(**TINY)
    network.sigma_data = np.float32(0.75)
    assert settings(edm_pickles.save(network, tmp_path / "x.pkl")).load().denoiser.sigma_data == 0.75


# ---- in the bench ---------------------------------------------------------------------------------------------------


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    for use in (EDM.check, EDM.identity, EDM.load):
        with pytest.raises(WeightsError, match=r"none\.pkl: [Nn]o such file"):
            use(settings(tmp_path / "none.pkl"))
        with pytest.raises(WeightsError, match=f"checkpoint {tmp_path}"):
            use(settings(tmp_path))


@pytest.mark.parametrize(("value", "index"), [(0, 0), (3, 3), ("2", 2)])
def test_conditions_are_class_indices(path: Path, value: object, index: int) -> None:
    assert settings(path).condition(value) == index
    assert settings(path).label(index) == f"class {index}"


@pytest.mark.parametrize("value", [4, -1, "4", True, None, 1.5, [0]])
def test_other_conditions_are_refused(path: Path, value: object) -> None:
    with pytest.raises(SettingError, match="this model has the classes 0 to 3"):
        settings(path).condition(value)


@pytest.mark.parametrize("value", ["-1", "cat", "", "²"])
def test_names_are_refused(path: Path, value: str) -> None:
    with pytest.raises(SettingError, match=f"unknown class '{value}': this model has no names of classes; give 0 to 3"):
        settings(path).condition(value)


def test_every_class_is_a_condition(path: Path) -> None:
    assert settings(path).conditions() == (0, 1, 2, 3)
    assert settings(path, classes=0).conditions() == (0,)
    assert settings(path, classes=0).label(0) == "any"


def test_identity_is_of_file_and_sampler(path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.pkl"
    copy.write_bytes(path.read_bytes())
    here = settings(path).identity()
    assert here == settings(copy).identity()
    assert here != settings(path, sampler=StochasticHeun(steps=9)).identity()
    edm_pickles.save(edm_pickles.network(seed=1, **TINY), copy)
    assert here != settings(copy).identity()


def test_checking_needs_no_torch(path: Path, fresh_python: Callable[..., str]) -> None:
    code = (
        "import sys; from tts.registry import MODELS\n"
        f"model = MODELS.make({{'name': 'edm', 'checkpoint': {str(path)!r}, 'classes': 4}})[1]\n"
        "model.check()\n"
        "print(len(model.identity()['weights']), 'torch' in sys.modules)"
    )
    assert fresh_python(code) == "64 False"


@pytest.mark.parametrize("checkpoint", ["s3://bucket/x.pkl", "file:///x.pkl"])
def test_other_addresses_are_refused(checkpoint: str) -> None:
    with pytest.raises(SettingError, match=r"checkpoint = .*: name a file or an https address"):
        MODELS.make({"name": "edm", "checkpoint": checkpoint})


def test_searches_run_on_it(path: Path) -> None:
    """Searches of one configuration draw images in shared batches."""
    sampler = {"steps": 4, "S_churn": 4, "S_min": 0, "S_max": 100}
    model = MODELS.make({"name": "edm", "checkpoint": str(path), "classes": 4, "sampler": sampler})[1].load()
    assert rows_are_independent(model, 4, 1)
    engine = Engine(model, {"brightness": Brightness().load(), "compressibility": Compressibility().load()}, 4)
    problems = [Problem(condition, 0, model.sampler.plan, "brightness") for condition in (1, 3)]
    naive, greedy = ([Trial(search, problem) for problem in problems] for search in (Naive(), EpsGreedy(N=2, K=2)))
    Player(engine).play([*naive, *greedy])
    engine.close()
    for plain, searched in zip(naive, greedy, strict=True):
        assert searched.nfe == EpsGreedy(N=2, K=2).nfe(model.sampler.plan)
        assert searched.final.scores["brightness"] > plain.final.scores["brightness"]
    assert naive[0].final.image != naive[1].final.image


@torch.inference_mode()
@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_lower_precision_is_near(path: Path, precision: str) -> None:
    full, half = (settings(path, precision=kind).load() for kind in ("fp32", precision))
    x = torch.randn(2, *full.shape, generator=torch.Generator().manual_seed(1))
    levels = torch.tensor([0.5, 2.0], dtype=torch.float64)
    answers = [model.denoise(x, levels, [0, 3]) for model in (full, half)]
    assert answers[1].dtype == torch.float32
    assert 0 < (answers[0] - answers[1]).abs().max() < 0.05
    assert settings(path, precision=precision).identity() != settings(path).identity()
