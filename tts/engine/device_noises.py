"""Noises for an engine's passes, made on the device."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from itertools import chain, islice

from torch import Tensor

from tts.device_noise.bank import DeviceBank
from tts.device_noise.normals import HELD
from tts.engine.noise_supply import Noises, NoiseSupply, fitting, threads_for
from tts.engine.timeline import Timeline
from tts.noise import Noise, NoiseBank, NoiseRecipe


class DeviceNoises:
    """Makes noises on the device; on a GPU, one sequence of operations makes the noises of several passes.

    Args:
        bank: makes noises and keeps them; noises made ahead fill at most a quarter of it.
        timeline: records the time in which noises are queued on the device.
    """

    def __init__(self, bank: DeviceBank, timeline: Timeline) -> None:
        self.bank = bank
        self.runs = 0
        """Number of runs that made noises."""
        self.together = min(bank.keep // 4, HELD // math.prod(bank.shape)) if bank.device.type == "cuda" else 0
        """Number of noises that one run makes, unless more are asked for."""
        self._timeline = timeline
        self._soon, self._later = dict[Noise, None](), dict[Noise, None]()

    def soon(self, noises: Iterable[Noise]) -> None:
        """Announce noises that running rows need in one of their next transitions."""
        if self.together:
            self._soon.update(dict.fromkeys(noises))

    def later(self, noises: Iterable[Noise]) -> None:
        """Announce noises with which queued jobs begin."""
        if self.together:
            self._later.update(dict.fromkeys(noises))

    def tensor(self, noises: Sequence[Noise]) -> Tensor:
        """The tensors of k noises on the device, ``[k, *shape]`` float32, for the transitions that begin now.

        Raises:
            EngineError: a move does not fit the shape.
        """
        start = time.perf_counter()
        self._made_known(noises)
        with fitting(self.bank.shape):
            if any(noise not in self.bank for noise in noises):
                self.runs += 1
                if len(noises) < self.together:
                    self.bank.make([*noises, *self._ahead(self.together - len(noises))])
            tensor = self.bank.tensor(noises)
        self._timeline.add("noise", start, time.perf_counter())
        return tensor

    def close(self) -> None:
        """Do nothing: there are no threads."""

    def _ahead(self, count: int) -> list[Noise]:
        """The next announced noises; they are no longer announced afterwards."""
        found = list(islice(chain(self._soon, self._later), count))
        self._made_known(found)
        return found

    def _made_known(self, noises: Iterable[Noise]) -> None:
        for noise in noises:
            self._soon.pop(noise, None)
            self._later.pop(noise, None)


def noises_for(
    recipe: NoiseRecipe, shape: tuple[int, ...], device: str, threads: int | None, timeline: Timeline
) -> Noises:
    """The source of noises for the rows of an engine.

    Args:
        recipe: the recipe that turns a seed into a tensor.
        shape: shape of a noise.
        device: where tensors are needed.
        threads: threads that work ahead on the host; None: the usual number for the device.
        timeline: records the time spent on noises.
    """
    if recipe == "device":
        return DeviceNoises(DeviceBank(shape, device), timeline)
    return NoiseSupply(NoiseBank(shape), device, threads_for(device) if threads is None else threads, timeline)
