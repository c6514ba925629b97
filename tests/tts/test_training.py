"""The training loop: killed and resumed, it ends where an undisturbed one ends."""

from __future__ import annotations

import resource
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny_network import TinyNetwork
from torch import Tensor, nn

from tts.errors import WeightsError
from tts.networks.precondition import EDMPrecond
from tts.training.data import Images
from tts.training.loop import Schedule, Trainer, WorkerFailure
from tts.training.recipes import RECIPES, classifier_loss, denoiser_loss, judge_loss

SCHEDULE = Schedule(images=160, batch=16, lr=1e-2, warmup=0.2, cooldown=0.5)


def tiny_denoiser() -> nn.Module:
    return EDMPrecond(TinyNetwork())


def tiny_classifier() -> nn.Module:
    """A classifier with a normalisation, whose buffers must be averaged and saved, too."""
    pool = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 10))
    return nn.Sequential(nn.Conv2d(3, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU(), pool)


KINDS: dict[str, tuple[Callable[[], nn.Module], WorkerFailure]] = {
    "denoiser": (tiny_denoiser, denoiser_loss),
    "classifier": (tiny_classifier, classifier_loss),
    "judge": (tiny_classifier, judge_loss),
}


@pytest.fixture(scope="module")
def data() -> Images:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (64, 3, 32, 32), generator=generator, dtype=torch.uint8)
    return Images(pixels, torch.randint(0, 10, (64,), generator=generator))


def trainer(kind: str, data: Images, seed: int = 0, **changes: float) -> Trainer:
    build, loss = KINDS[kind]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return Trainer(build(), loss, data, replace(SCHEDULE, **changes))


def train(at: Trainer, stop: int) -> list[float]:
    """Train up to a step, as if killed there; returns the losses."""
    run = at.run()
    return [next(run).loss for _ in range(stop - at.step)]


def everything(at: Trainer) -> list[Tensor]:
    """All weights, averages and buffers."""
    return [*at.network.state_dict().values(), *at.average.module.state_dict().values()]


def equal(first: Trainer, second: Trainer) -> bool:
    return all(torch.equal(a, b) for a, b in zip(everything(first), everything(second), strict=True))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("killed", [1, 3, 4, 9])
def test_a_resumed_training_equals_an_undisturbed_one(kind: str, killed: int, data: Images, tmp_path: Path) -> None:
    """Weights, averages and losses are equal bit for bit, though the new process starts from other random weights."""
    whole, first, second = trainer(kind, data), trainer(kind, data), trainer(kind, data, seed=1)
    losses = train(whole, 10)
    train(first, killed)
    first.save(tmp_path / "checkpoint.pt")
    second.load(tmp_path / "checkpoint.pt")
    assert train(second, 10) == losses[killed:]
    assert equal(whole, second)


@pytest.mark.parametrize("kind", KINDS)
def test_global_randomness_changes_nothing(kind: str, data: Images) -> None:
    first, second = trainer(kind, data), trainer(kind, data)
    train(first, 3)
    torch.manual_seed(99)
    train(second, 3)
    assert equal(first, second)


@pytest.mark.parametrize("kind", KINDS)
def test_training_learns(kind: str, data: Images) -> None:
    at = trainer(kind, data, images=16 * 60)
    losses = train(at, 60)
    assert sum(losses[-10:]) < sum(losses[:10])


def test_training_ends_with_its_schedule(data: Images) -> None:
    at = trainer("denoiser", data)
    last = list(at.run())[-1]
    assert (last.step, last.images, at.step) == (10, 160, 10)
    assert list(at.run()) == []


def test_mixed_precision_trains_in_float32_weights(data: Images) -> None:
    at = Trainer(tiny_denoiser(), denoiser_loss, data, SCHEDULE, precision=torch.bfloat16)
    losses = train(at, 3)
    assert all(loss == loss for loss in losses)
    assert {p.dtype for p in at.network.parameters()} == {torch.float32}


def test_a_saved_checkpoint_is_one_file(data: Images, tmp_path: Path) -> None:
    at = trainer("denoiser", data)
    at.save(tmp_path / "checkpoint.pt")
    at.save(tmp_path / "checkpoint.pt")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint.pt"]


@pytest.fixture
def small_files() -> Iterator[None]:
    """Let no file grow beyond 64 KiB, as a disk does that becomes full while it is written to."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_checkpoint_that_does_not_fit_is_an_error_of_the_system_and_leaves_nothing(
    data: Images, tmp_path: Path, small_files: None
) -> None:
    """Torch would tell some of these in errors of its own, according to how large the tensors are."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 512))
    with pytest.raises(OSError, match="File too large"):
        Trainer(network, classifier_loss, data, SCHEDULE).save(tmp_path / "checkpoint.pt")
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_named(data: Images, tmp_path: Path) -> None:
    at, path = trainer("denoiser", data), tmp_path / "checkpoint.pt"
    at.save(path)
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(WeightsError, match=r"checkpoint\.pt: not a checkpoint of this training"):
        at.load(path)


def test_a_checkpoint_of_another_network_is_refused(data: Images, tmp_path: Path) -> None:
    trainer("classifier", data).save(tmp_path / "checkpoint.pt")
    with pytest.raises(WeightsError, match=r"checkpoint\.pt"):
        trainer("denoiser", data).load(tmp_path / "checkpoint.pt")


def test_every_epoch_visits_each_image_once_in_another_order(data: Images) -> None:
    at = trainer("denoiser", Images(data.pixels, torch.arange(64)))
    epochs = [[at._batch(step).labels.tolist() for step in range(first, first + 4)] for first in (0, 4)]
    assert all(sorted(label for labels in epoch for label in labels) == list(range(64)) for epoch in epochs)
    assert epochs[0] != epochs[1]


def test_labels_stay_with_their_images(data: Images) -> None:
    at = trainer("denoiser", data)
    batch = at._batch(5)
    for pixels, label in zip(batch.pixels, batch.labels, strict=True):
        [place] = [k for k in range(64) if torch.equal(data.pixels[k], pixels)]
        assert data.labels[place] == label


def test_another_seed_draws_other_images(data: Images) -> None:
    numbered = Images(data.pixels, torch.arange(64))
    first, second = trainer("classifier", numbered), trainer("classifier", numbered)
    second.schedule = replace(SCHEDULE, seed=1000)
    orders = [torch.cat([at._batch(step).labels for step in range(4)]).tolist() for at in (first, second)]
    assert sorted(orders[0]) == sorted(orders[1])
    assert orders[0] != orders[1]


def test_the_average_follows_the_weights(data: Images) -> None:
    """After the first step they are the same; later the average lags behind."""
    at = trainer("denoiser", data)
    train(at, 1)
    weights, averages = at.network.state_dict().values(), at.average.module.state_dict().values()
    assert all(map(torch.equal, weights, averages))
    before = [average.clone() for average in averages]
    at.schedule = replace(SCHEDULE, average=10.0)
    train(at, 2)
    keep = at.schedule.decay(1)
    for old, new, current in zip(before, averages, weights, strict=True):
        torch.testing.assert_close(new, keep * old + (1 - keep) * current)


def test_the_rate_ramps_up_stays_and_falls_to_zero() -> None:
    schedule = Schedule(images=1000, batch=1, lr=0.1, warmup=0.1, cooldown=0.2)
    rates = [schedule.rate(step) for step in range(1000)]
    assert rates[0] == pytest.approx(0.001)
    assert rates[99:800] == pytest.approx([0.1] * 701)
    assert rates[900] == pytest.approx(0.05)
    assert 0 < rates[999] < 0.001
    assert rates[:100] == sorted(rates[:100])
    assert rates[800:] == sorted(rates[800:], reverse=True)


def test_the_averages_half_life_grows_with_the_training() -> None:
    schedule = Schedule(images=1000, batch=1, average=0.1)
    assert schedule.decay(0) == 0.5
    assert schedule.decay(1000) ** 100 == pytest.approx(0.5)


@pytest.mark.parametrize(("images", "steps"), [(64, 1), (65, 2), (128, 2), (1, 1)])
def test_steps_cover_all_images(images: int, steps: int) -> None:
    assert Schedule(images=images, batch=64).steps == steps


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_have_usable_schedules(name: str) -> None:
    schedule = RECIPES[name].schedule
    assert max(schedule.rate(step) for step in range(0, schedule.steps, 50)) == pytest.approx(schedule.lr, rel=0.01)
    assert 0 < schedule.rate(schedule.steps - 1) < schedule.lr / 100
