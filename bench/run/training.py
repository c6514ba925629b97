"""``tts-bench train``: checkpoints, progress, pictures and figures around :class:`tts.training.loop.Trainer`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from torch import nn

from bench.run.progress import training_bar
from bench.store.files import check_folder, writing
from tts.errors import DataError, SettingError
from tts.files import weights_file
from tts.files.whole import atomic_write
from tts.media import png
from tts.metrics.references.sample import drawn
from tts.models.cifar10 import CLASSES
from tts.networks.precondition import EDMPrecond
from tts.networks.small_vgg import SmallVGG
from tts.rewards.class_probability import ClassProbability
from tts.training import frechet
from tts.training.data import Images, cifar10
from tts.training.evaluate import accuracy, features, sample_figures
from tts.training.loop import Progress, Trainer
from tts.training.recipes import RECIPES, Recipe, denoiser
from tts.training.samples import grid, sample

KEPT = 10_000
"""Real images whose features are kept one by one."""


@dataclass(frozen=True)
class TrainOptions:
    """What ``tts-bench train`` was asked.

    Args:
        what: ``"denoiser"``, ``"classifier"`` or ``"judge"``.
        data: folder with CIFAR-10.
        output: folder for the checkpoint, the weights and the sample grid.
        images: images to see in all; None keeps the recipe's number.
        save_every: seconds between checkpoints.
        threads: CPU threads; None leaves torch's choice.
        bf16: train in mixed precision.
        compiled: compile the network first.
        samples: plain samples by which a finished denoiser is judged.
        device: where the network is trained; other devices change the last bits.
        batch: images a step; None keeps the recipe's number.
        widths: of the denoiser's levels; none: those of the shipped one.
    """

    what: str
    data: Path
    output: Path
    images: int | None = None
    save_every: float = 120.0
    threads: int | None = None
    bf16: bool = False
    compiled: bool = False
    samples: int = 1000
    device: str = "cpu"
    batch: int | None = None
    widths: tuple[int, ...] = ()


def train(options: TrainOptions, console: Console) -> dict[str, Any]:
    """Train to the end, or go on with the training that ``options.output`` holds.

    Leaves ``checkpoint.pt`` (to go on), ``<what>.safetensors`` (averaged weights, float16) and, for the denoiser,
    ``samples.png`` in the output folder; the last two are renewed with every checkpoint. A finished judge leaves
    ``judge-moments.safetensors`` and ``judge-features.safetensors``, of its features of the training images.

    Returns:
        Figures of the result.

    Raises:
        DataError, WeightsError, SettingError: the data, an old checkpoint or the folder cannot be used.
    """
    check_folder(options.output)
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    trainer, recipe = build(options)
    test = cifar10(options.data, "test")
    checkpoint = options.output / "checkpoint.pt"
    with writing(options.output):
        options.output.mkdir(parents=True, exist_ok=True)
    if checkpoint.exists():
        trainer.load(checkpoint)

    def save() -> None:
        with writing(options.output):
            trainer.save(checkpoint)
            _export(options, trainer.average.module)

    with training_bar(console, options.what, recipe.schedule.images) as bar:
        for progress in acting(trainer.run(), options.save_every, save):
            bar(progress)
    save()
    if options.what == "judge":
        with writing(options.output):
            _save_references(options, recipe, trainer.data)
    return _figures(options, trainer, test)


def build(options: TrainOptions) -> tuple[Trainer, Recipe]:
    """The trainer that the options describe, at its first step."""
    recipe = RECIPES[options.what]
    asked = {"images": options.images, "batch": options.batch}
    changes = {name: value for name, value in asked.items() if value is not None}
    recipe = replace(recipe, schedule=replace(recipe.schedule, **changes))
    if options.widths:
        if options.what != "denoiser":
            raise SettingError("--widths: only the denoiser's can be chosen")
        recipe = replace(recipe, build=partial(denoiser, options.widths))
    torch.manual_seed(recipe.schedule.seed)
    precision = torch.bfloat16 if options.bf16 else torch.float32
    data = cifar10(options.data, "train")
    n, batch = len(data.labels), recipe.schedule.batch
    if n < batch:
        raise DataError(f"--data {options.data}: {n} images do not fill one batch of {batch}")
    network = recipe.build().to(options.device)
    return Trainer(network, recipe.loss, data, recipe.schedule, precision, options.compiled), recipe


def acting(steps: Iterator[Progress], seconds: float, action: Callable[[], None]) -> Iterator[Progress]:
    """Pass the steps on, acting between two of them whenever the time has come."""
    last = time.monotonic()
    for step in steps:
        yield step
        if time.monotonic() - last > seconds:
            action()
            last = time.monotonic()


def _export(options: TrainOptions, average: nn.Module) -> None:
    weights_file.save(average, options.output / f"{options.what}.safetensors")
    if isinstance(average, EDMPrecond):
        average.eval()
        atomic_write(options.output / "samples.png", png(grid(average)))


def _save_references(options: TrainOptions, recipe: Recipe, data: Images) -> None:
    """Features of real images, by which samples are told from them; from the weights as they are stored."""
    path, judge = options.output / "judge.safetensors", recipe.build().eval()
    assert isinstance(judge, SmallVGG)  # it has features
    weights_file.load(judge, path)
    found, by = features(judge, data.pixels), weights_file.digest(path)
    frechet.save(frechet.moments(found), options.output / "judge-moments.safetensors", by)
    frechet.save_rows(found[drawn(len(found), KEPT)], options.output / "judge-features.safetensors", by)


def _figures(options: TrainOptions, trainer: Trainer, test: Images) -> dict[str, Any]:
    seen, network = {"images seen": trainer.step * trainer.schedule.batch}, trainer.average.module
    if isinstance(network, EDMPrecond):
        return seen | (judge(network, options.samples, test) if options.samples else {})
    return seen | {"test accuracy": accuracy(network.cpu(), test)}


def judge(network: EDMPrecond, samples: int, test: Images) -> dict[str, Any]:
    """What the shipped classifier says of plain samples, as many of each class, against the test images."""
    labels = torch.arange(samples) % len(CLASSES)
    pixels = sample(network.eval(), labels.tolist())
    figures = sample_figures(ClassProbability().classifier(), Images(pixels, labels), test)
    return {
        "plain samples": figures.n,
        "share given to the wanted class": figures.wanted,
        "Frechet distance to the test images, classifier features": figures.frechet,
    }
