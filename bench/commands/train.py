"""``tts-bench train``."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from bench.commands.options import Device, log
from tts.errors import SettingError


class Trainable(StrEnum):
    """What can be trained."""

    denoiser = "denoiser"
    classifier = "classifier"
    judge = "judge"


def train(
    what: Annotated[Trainable, typer.Argument(help="Network of the embedded model.")],
    data: Annotated[
        Path, typer.Option(help="Folder with cifar10_{train,test}.parquet, or torchvision's CIFAR10 root.")
    ],
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint, the weights and pictures.")],
    images: Annotated[int | None, typer.Option(min=1, help="Training images in all.")] = None,
    save_every: Annotated[float, typer.Option(min=1, help="Seconds between checkpoints.")] = 120.0,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads; default: torch's choice.")] = None,
    bf16: Annotated[bool, typer.Option(help="Mixed precision.")] = False,
    compile: Annotated[bool, typer.Option("--compile", help="Compile the network first (needs a C compiler).")] = False,
    device: Annotated[Device, typer.Option(help="Where the network is trained.")] = Device.cpu,
    batch: Annotated[int | None, typer.Option(min=1, help="Images a step.")] = None,
    widths: Annotated[
        str, typer.Option(help="Channels of the denoiser's levels, multiples of 32: 96,160,160 for a larger one.")
    ] = "",
    samples: Annotated[int, typer.Option(min=0, help="Plain samples by which a finished denoiser is judged.")] = 1000,
) -> None:
    """Train the embedded denoiser or classifier; the same command resumes after an interruption."""
    from bench.run.training import TrainOptions
    from bench.run.training import train as train_network

    options = TrainOptions(what.value, data, output, images, save_every, threads, bf16, compile, samples)
    options = replace(options, device=device.here(), batch=batch, widths=_numbers(widths))
    for name, value in train_network(options, log).items():
        log.print(f"{name}: {value}", highlight=False)


def _numbers(text: str) -> tuple[int, ...]:
    parts = [part.strip() for part in text.split(",")] if text else []
    if not all(part.isdecimal() for part in parts):
        raise SettingError(f"--widths {text}: expected numbers with commas between, for example 96,160,160")
    return tuple(int(part) for part in parts)
