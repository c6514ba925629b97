"""Extractors: numbers are those of torch-fidelity's own classes, weights are never executed, looks are shared."""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import inception_weights
import pytest
import torch
from torch import Tensor
from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

from tts.errors import SettingError, WeightsError
from tts.metrics.extractors import inception as module
from tts.metrics.extractors.inception import Inception
from tts.metrics.extractors.judge import Judge
from tts.metrics.extractors.shared import SharedLook, layer_features
from tts.metrics.fid import FID, SFID
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
        module.torch_fidelity()


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
    given[0] = 0  # in place: the same tensor holds other images
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
    with pytest.raises(SettingError, match=r"metric fid: features = .*'resnet' .* expected tags: 'inception', 'judge'"):
        METRICS.make({"name": "fid", "features": "resnet"})


class _Other:
    def conditions(self) -> list[int]:
        return []
