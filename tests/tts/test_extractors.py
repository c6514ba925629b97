"""Extractors: numbers equal those of torch-fidelity's classes, weights are never executed, passes are shared."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import inception_weights
import pytest
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tts.errors import SettingError, WeightsError
from tts.metrics.extractors import clip
from tts.metrics.extractors.dinov2 import DINOv2
from tts.metrics.extractors.inception import Inception
from tts.metrics.extractors.judge import Judge
from tts.metrics.extractors.library import torch_fidelity
from tts.metrics.extractors.shared import SharedLook, layer_features
from tts.metrics.fid import FID, SFID, FDDINOv2
from tts.metrics.frechet_judge import FrechetJudge
from tts.metrics.inception_score import InceptionScore
from tts.registry import METRICS


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return inception_weights.write(tmp_path_factory.mktemp("inception") / "weights.pth")


def images(count: int, size: int = 32) -> Tensor:
    draw = torch.Generator().manual_seed(1)
    return torch.randint(0, 256, (count, 3, size, size), generator=draw, dtype=torch.uint8)


@torch.inference_mode()
def test_inception_is_torch_fidelity_s(weights: Path) -> None:
    settings = {"name": "inception", "weights": str(weights)}
    metrics = [METRICS.make({"name": name, "features": settings})[1] for name in ("fid", "sfid", "inception_score")]
    assert len({metric.extractor for metric in metrics}) == 3
    looks = [metric.load() for metric in metrics]
    given = images(2)
    pooled, spatial, logits = (look.features(given) for look in looks)
    own = FeatureExtractorInceptionV3(
        "inception-v3-compat", ["2048", "logits_unbiased"], io.BytesIO(weights.read_bytes())
    )
    expected = own(given)
    assert torch.equal(pooled, expected[0])
    assert torch.equal(logits, expected[1])
    assert pooled.std(dim=0).mean() > 1e-3  # the weights tell images apart
    assert (spatial.shape, pooled.shape, logits.shape) == ((2, 2023), (2, 2048), (2, 1008))
    block = own.Mixed_6d.branch1x1
    seen: list[Tensor] = []
    block.register_forward_hook(lambda _, __, out: seen.append(out))
    own(given[1:])
    assert torch.allclose(spatial[1].reshape(17, 17, 7)[3, 5], seen[0][0, :7, 3, 5], atol=1e-5)
    assert looks[0].shared is looks[1].shared is looks[2].shared  # type: ignore[attr-defined]


def test_weights_are_read_and_never_run(weights: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return exec, (f"open({str(tmp_path / 'ran')!r}, 'w')",)

    bad = tmp_path / "bad.pth"
    bad.write_bytes(pickle.dumps({"conv.weight": Hostile()}))
    with pytest.raises(WeightsError, match="is not opened"):
        Inception(weights=str(bad)).check()
    assert not (tmp_path / "ran").exists()
    torch.save({"fc.weight": torch.zeros(3)}, bad)
    with pytest.raises(WeightsError, match="has None in place of"):
        Inception(weights=str(bad)).check()
    Inception(weights=str(weights)).check()


def test_the_digest_of_the_weights_is_in_the_identity_and_their_place_is_not(weights: Path) -> None:
    metric = InceptionScore(features=Inception(weights=str(weights)))
    identity = metric.identity()
    assert identity["splits"] == 10
    assert str(weights) not in str(identity)
    assert identity["extractor"] == f"{Inception(weights=str(weights)).about()} logits"


def test_without_the_library_a_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    monkeypatch.delitem(sys.modules, "torch_fidelity.feature_extractor_inceptionv3")
    with pytest.raises(SettingError, match=r"pip install 'diffusion-tts-bench\[metrics\]'"):
        torch_fidelity("feature_extractor_inceptionv3")


def test_a_batch_is_looked_at_once_and_another_batch_anew() -> None:
    looks = 0

    def look(given: Tensor) -> dict[str, Tensor]:
        nonlocal looks
        looks += 1
        return {"pooled": given.float().mean(dim=(2, 3))}

    shared, given = SharedLook(look), images(2)
    first = shared.layer("pooled", given)
    assert torch.equal(shared.layer("pooled", given.clone()), first)
    assert looks == 1
    given[0] = 0  # in place: the same tensor now holds other images
    assert shared.layer("pooled", given)[0].eq(0).all()
    assert looks == 2


def test_the_judge_s_features_are_shared_with_the_metric_that_was_there_before() -> None:
    metric = FID(features="judge")
    assert metric.extractor == FrechetJudge().extractor
    given = images(3)
    with torch.inference_mode():
        assert torch.equal(metric.load().features(given), FrechetJudge().load().features(given))
        score = InceptionScore(features=Judge()).load().features(given)
    assert score.shape == (3, 10)
    assert metric.enough == 960
    rows = metric.load().features(images(20)).numpy()
    assert metric.aggregate(rows, metric.reference()).value == pytest.approx(
        FrechetJudge().aggregate(rows, FrechetJudge().reference()).value, rel=1e-5
    )
    of_both = [layer_features(Judge(), layer, "cpu") for layer in ("pooled", "logits")]
    assert of_both[0].shared is of_both[1].shared


def test_mistakes_name_the_setting() -> None:
    with pytest.raises(SettingError, match="features: cifar10-judge has no spatial features; it has pooled, logits"):
        SFID(features="judge").check()
    with pytest.raises(SettingError, match="features judge: it knows CIFAR-10's images"):
        FID(features="judge").suits(_Other())  # type: ignore[arg-type]
    with pytest.raises(
        SettingError,
        match=r"metric fid: features = .*'resnet' .* expected tags: 'inception', 'dinov2', 'clip', 'judge'",
    ):
        METRICS.make({"name": "fid", "features": "resnet"})


class _Other:
    def conditions(self) -> list[int]:
        return []


@pytest.fixture
def vit(tmp_path: Path) -> tuple[Any, Path]:
    """transformers' DINOv2 with random weights, and a file with these weights under the authors' names."""
    from transformers import Dinov2Config, Dinov2Model

    torch.manual_seed(0)
    config = Dinov2Config(hidden_size=384, num_attention_heads=6, image_size=518, patch_size=14)
    network = Dinov2Model(config).eval()
    state = network.state_dict()
    for name, tensor in state.items():
        if "lambda1" in name or "embeddings" in name:
            tensor.copy_(torch.randn_like(tensor) * 0.3)
    torch.save(dict(_authors_names(state)), tmp_path / "dinov2_vits14.pth")
    return network, tmp_path / "dinov2_vits14.pth"


RENAMED = {
    "embeddings.cls_token": "cls_token",
    "embeddings.mask_token": "mask_token",
    "embeddings.position_embeddings": "pos_embed",
    "embeddings.patch_embeddings.projection": "patch_embed.proj",
    "layernorm": "norm",
    "encoder.layer": "blocks",
    "attention.o_proj": "attn.proj",
    "layer_scale": "ls",
    ".lambda1": ".gamma",
}


def _authors_names(state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    for given, tensor in state.items():
        name = given
        for old, new in RENAMED.items():
            name = name.replace(old, new)
        if "q_proj" in given:
            parts = [state[given.replace("q_proj", each)] for each in ("q_proj", "k_proj", "v_proj")]
            yield name.replace("attention.q_proj", "attn.qkv"), torch.cat(parts)
        elif "k_proj" not in given and "v_proj" not in given:
            yield name, tensor


@torch.inference_mode()
def test_dinov2_is_transformers_on_positions_that_are_interpolated_as_its_authors_do(vit: tuple[Any, Path]) -> None:
    network, path = vit
    metric = FDDINOv2(features=DINOv2(model="vit-s-14", weights=str(path)), reference="x")
    given = images(2, 64)
    found = metric.load().features(given)
    assert found.shape == (2, metric.size) == (2, 384)
    table = network.embeddings.position_embeddings.data
    grid = table[:, 1:].reshape(1, 37, 37, 384).permute(0, 3, 1, 2)
    grid = torch.nn.functional.interpolate(grid, scale_factor=16.1 / 37, mode="bicubic")
    assert grid.shape[2:] == (16, 16)
    short = torch.cat([table[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)
    network.embeddings.interpolate_pos_encoding = lambda *_: short
    x = torch.nn.functional.interpolate(given.float(), (224, 224), mode="bicubic", antialias=True) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = network(((x.permute(0, 2, 3, 1) - mean) / std).permute(0, 3, 1, 2)).pooler_output
    assert torch.allclose(found, expected, atol=1e-3)
    assert (found[0] - found[1]).abs().mean() > 0.01
    assert FDDINOv2().size == 1024
    with pytest.raises(WeightsError, match=r"has \(384,\) in place of \(1024,\)"):
        DINOv2(weights=str(path)).check()


@torch.inference_mode()
def test_clip_is_torch_fidelity_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch_fidelity.feature_extractor_clip import CLIPVisual, FeatureExtractorCLIP, build_model

    tiny = clip.Tower(size=16, layers=2, width=64, patch=32)
    monkeypatch.setitem(clip.TOWERS, "tiny", tiny)
    torch.manual_seed(0)
    state = CLIPVisual(tiny.size, tiny.side, tiny.layers, tiny.width, tiny.patch).half().float().state_dict()
    torch.save({**state, "logit_scale": torch.zeros(())}, tmp_path / "clip.pth")
    settings = clip.CLIP(model="tiny", weights=str(tmp_path / "clip.pth"))
    given = images(2, 48)
    found = layer_features(settings, "pooled", "cpu").features(given)
    own = object.__new__(FeatureExtractorCLIP)  # its constructor knows the published networks only
    torch.nn.Module.__init__(own)
    own.model, own.resolution = build_model({**state, "text_projection": torch.zeros(3, 16)}, torch.float32), 224
    own.feature_extractor_internal_dtype, own.features_list = torch.float32, ["clip"]
    assert torch.allclose(found, own(given)[0], atol=1e-5)
    assert settings.size("pooled") == 16
    with pytest.raises(SettingError, match="features clip: model 'vit-b-33' is unknown; did you mean 'vit-b-32'"):
        clip.CLIP(model="vit-b-33", weights="x").size("pooled")


@torch.inference_mode()
def test_weights_of_half_precision_are_used_in_float32(weights: Path, vit: tuple[Any, Path], tmp_path: Path) -> None:
    halved = tmp_path / "half.pth"
    for path, settings in (
        (weights, Inception(weights=str(halved))),
        (vit[1], DINOv2(model="vit-s-14", weights=str(halved))),
    ):
        state = torch.load(path).items()
        torch.save({name: value.half() if value.is_floating_point() else value for name, value in state}, halved)
        assert settings.look("cpu")(images(2))["pooled"].dtype == torch.float32
