"""A training loop that can be killed at any moment and goes on as if it had not been.

Everything random in step ``k`` (the images, their augmentation, the noise) is drawn from a generator seeded with
``k`` and the schedule's seed, so that a resumed training equals an undisturbed one.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tts.errors import DataError, WeightsError
from tts.files.whole import atomic_write
from tts.training.data import Images

WorkerFailure = Callable[[Callable[..., Tensor], Images, torch.Generator], Tensor]


@dataclass(frozen=True)
class Schedule:
    """How long to train and how fast.

    Args:
        images: images to see in all.
        batch: images a step.
        lr: highest learning rate; reached after ``warmup`` of the training, left for zero in the last ``cooldown``.
        warmup, cooldown: fractions of the training.
        weight_decay: AdamW's.
        average: half-life of the averaged weights, as a fraction of the images seen so far
            (Karras et al. 2024, arXiv 2312.02696, Sec. 3: relative widths are robust over lengths).
        seed: trainings of other seeds draw other images, augmentation and noise.
    """

    images: int
    batch: int = 64
    lr: float = 1.2e-3
    warmup: float = 0.01
    cooldown: float = 0.3
    weight_decay: float = 0.01
    average: float = 0.03
    seed: int = 0

    @property
    def steps(self) -> int:
        """Optimizer steps in all."""
        return -(-self.images // self.batch)

    def rate(self, step: int) -> float:
        """Learning rate of a step: a ramp, a plateau, a ramp to zero."""
        done = (step + 1) / self.steps
        rise = done / self.warmup if self.warmup else 1.0
        fall = (1 - step / self.steps) / self.cooldown if self.cooldown else 1.0
        return self.lr * min(1.0, rise, fall)

    def decay(self, step: int) -> float:
        """How much of the averaged weights a step keeps."""
        return float(0.5 ** (1 / max(1.0, self.average * step)))


class Progress(NamedTuple):
    """What a step tells: steps done, images seen, the step's loss."""

    step: int
    images: int
    loss: float


class Trainer:
    """Trains a network and its moving average.

    Args:
        network: trained in place, on the device that it is on.
        loss: the loss of a batch; draws randomness only from the generator that it is given.
        data: the training set.
        schedule: how long and how fast.
        precision: ``torch.float32``, or ``torch.bfloat16`` for automatic mixed precision.
        compiled: run the forward and backward pass through ``torch.compile``.

    Raises:
        DataError: the data set is smaller than a batch.
    """

    def __init__(
        self,
        network: nn.Module,
        loss: WorkerFailure,
        data: Images,
        schedule: Schedule,
        precision: torch.dtype = torch.float32,
        compiled: bool = False,
    ) -> None:
        if len(data.labels) < schedule.batch:
            raise DataError(f"the data set has {len(data.labels)} images, fewer than one batch of {schedule.batch}")
        self.network, self.loss, self.data, self.schedule = network, loss, data, schedule
        self.precision, self.step = precision, 0
        self.device = next(network.parameters()).device
        self.forward = torch.compile(network) if compiled else network
        self.average = AveragedModel(network, multi_avg_fn=self._blend, use_buffers=True)
        self.optimizer = torch.optim.AdamW(
            network.parameters(), lr=schedule.lr, weight_decay=schedule.weight_decay, betas=(0.9, 0.99)
        )

    def _blend(self, averages: Any, currents: Any, _count: Any) -> None:
        keep = self.schedule.decay(self.step)
        for average, current in zip(averages, currents, strict=True):
            if average.is_floating_point():
                average.lerp_(current, 1 - keep)
            else:
                average.copy_(current)

    def run(self) -> Iterator[Progress]:
        """Train to the end of the schedule, one optimizer step an item."""
        self.network.train()
        while self.step < self.schedule.steps:
            yield self._step()

    def _step(self) -> Progress:
        generator = torch.Generator().manual_seed(self.schedule.seed + self.step)
        batch = self._batch(self.step)
        for group in self.optimizer.param_groups:
            group["lr"] = self.schedule.rate(self.step)
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == torch.bfloat16):
            loss = self.loss(self.forward, batch, generator)
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.average.update_parameters(self.network)
        self.step += 1
        return Progress(self.step, self.step * self.schedule.batch, loss.item())

    def _batch(self, step: int) -> Images:
        """The images of a step: every epoch visits each image once, in an order of its own."""
        size, batch = len(self.data.labels), self.schedule.batch
        epoch, place = divmod(step, size // batch)
        order = torch.randperm(size, generator=torch.Generator().manual_seed(self.schedule.seed + epoch))
        chosen = order[place * batch : (place + 1) * batch]
        return Images(self.data.pixels[chosen].to(self.device), self.data.labels[chosen].to(self.device))

    def save(self, path: Path) -> None:
        """Write everything that :meth:`load` needs; the file is whole or is the old one.

        Raises:
            OSError: it could not be written.
        """
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        content = io.BytesIO()
        torch.save(state, content)  # not to the file: of a full disk, torch tells by errors of many kinds
        with content.getbuffer() as data:
            atomic_write(path, data)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint.

        Raises:
            WeightsError: the checkpoint is damaged or belongs to another network.
        """
        try:
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.network.load_state_dict(state["network"])
            self.average.module.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.step = state["step"]
        except Exception as error:  # torch raises many kinds for one mistake
            raise WeightsError(f"{path}: not a checkpoint of this training; delete it to start anew") from error
        self.average.n_averaged.fill_(self.step)
