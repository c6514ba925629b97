"""Noises for an engine's passes, made ahead of their need by threads beside the device."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from tts.cores import usable_cores
from tts.engine.device_queue import upload
from tts.engine.timeline import Timeline
from tts.errors import EngineError
from tts.noise import Array, Noise, NoiseBank

MOST_THREADS = 4
"""Threads of a GPU's engine by default: enough to feed small networks, and few beside several GPUs."""


class Noises(Protocol):
    """Where an engine's rows get their noises."""

    def soon(self, noises: Iterable[Noise]) -> None:
        """Noises that running rows need in one of their next transitions."""
        ...

    def later(self, noises: Iterable[Noise]) -> None:
        """Noises that queued jobs begin with."""
        ...

    def tensor(self, noises: Sequence[Noise]) -> Tensor:
        """Their tensors on the device, ``[k, *shape]`` float32: of the transitions that begin now."""
        ...

    def close(self) -> None:
        """End the threads that work ahead."""
        ...


@contextmanager
def fitting(shape: tuple[int, ...]) -> Iterator[None]:
    """Say what to do where a move does not fit a shape."""
    try:
        yield
    except ValueError as error:
        raise EngineError(
            f"{error}; set the search's shape to [{', '.join(map(str, shape))}], and its level to fit it"
        ) from None


def threads_for(device: str) -> int:
    """Threads that make noises for an engine: none where its device is the very CPU that they would compute on."""
    return min(MOST_THREADS, usable_cores() - 1) if device.startswith("cuda") else 0


def _on_host(shape: tuple[int, ...], device: str) -> tuple[Tensor, Array]:
    """An empty tensor from which a device can copy, and its memory as numpy sees it."""
    if device.startswith("cuda"):
        pinned = torch.empty(shape, pin_memory=True)
        return pinned, pinned.numpy()
    rows = np.empty(shape, np.float32)
    return torch.from_numpy(rows), rows


class NoiseSupply:
    """Makes noises of which it is told before they are asked for, each once; a value never depends on who makes it.

    What is asked for and has not begun is made at once by whoever asks. What is made ahead and not taken yet fills at
    most half of the bank, for queued jobs a quarter, so that nothing of it is lost before its turn.

    Args:
        bank: makes noises and keeps them; its bytes bound those that are made ahead.
        device: where tensors are wanted.
        threads: that work ahead; 0: none.
        timeline: takes note of the time that the engine spends on noises.
    """

    def __init__(self, bank: NoiseBank, device: str, threads: int, timeline: Timeline) -> None:
        self.bank, self.device, self.threads = bank, device, threads
        self.late = 0
        """Noises that were asked for before they were ready."""
        self._timeline = timeline
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="noises") if threads else None
        self._changed = threading.Condition()
        self._soon, self._later = deque[Noise](), deque[Noise]()
        self._told, self._making, self._ready = set[Noise](), set[Noise](), set[Noise]()
        self._active = 0

    def soon(self, noises: Iterable[Noise]) -> None:
        """Noises that running rows need in one of their next transitions."""
        self._tell(self._soon, noises)

    def later(self, noises: Iterable[Noise]) -> None:
        """Noises that queued jobs begin with."""
        self._tell(self._later, noises)

    def tensor(self, noises: Sequence[Noise]) -> Tensor:
        """Their tensors on the device, ``[k, *shape]`` float32: of the transitions that begin now.

        Raises:
            EngineError: a move is of another shape.
        """
        start = time.perf_counter()
        made, rows = _on_host((len(noises), *self.bank.shape), self.device)
        with fitting(self.bank.shape):
            for place, noise in enumerate(noises):
                rows[place] = self._taken(noise)
        self._wake()
        tensor = upload(made, self.device)
        self._timeline.add("noise", start, time.perf_counter())
        return tensor

    def settle(self) -> None:
        """Wait until all is made that may be made ahead."""
        with self._changed:
            self._changed.wait_for(lambda: not self._active)

    def close(self) -> None:
        """Begin no further work, and wait for the work that has begun."""
        if self._pool is not None:
            with self._changed:
                self._soon.clear()
                self._later.clear()
            self._pool.shutdown()
            self._pool = None

    def _tell(self, queue: deque[Noise], noises: Iterable[Noise]) -> None:
        if self._pool is None:
            return
        with self._changed:
            new = [noise for noise in dict.fromkeys(noises) if not self._known(noise)]
            self._told.update(new)
            queue.extend(new)
        self._wake()

    def _known(self, noise: Noise) -> bool:
        return noise in self._told or noise in self._making or noise in self.bank

    def _taken(self, noise: Noise) -> Array:
        with self._changed:
            self._told.discard(noise)  # threads that meet it in a queue pass it over
            if noise in self._making or noise not in self.bank:
                self.late += 1
            self._changed.wait_for(lambda: noise not in self._making)
            self._ready.discard(noise)
        return self.bank(noise)

    def _wake(self) -> None:
        """Set threads to work, as many as there is work for."""
        if self._pool is None:
            return
        with self._changed:
            for _ in range(min(self.threads, len(self._told)) - self._active):
                self._active += 1
                self._pool.submit(self._work)

    def _work(self) -> None:
        """Make noises for as long as there are some, and room for them."""
        while (noise := self._begun()) is not None:
            with suppress(Exception):  # the caller that asks for it tries again, and gets the error
                self.bank(noise)
            with self._changed:
                self._making.discard(noise)
                if noise in self.bank:
                    self._ready.add(noise)
                self._changed.notify_all()

    def _begun(self) -> Noise | None:
        """The next noise to make; None: there is none, or no room."""
        with self._changed:
            for queue, share in ((self._soon, 2), (self._later, 4)):
                room = self.bank.keep // share - len(self._ready) - len(self._making)
                while queue and room > 0:
                    noise = queue.popleft()
                    if noise in self._told:
                        self._told.discard(noise)
                        self._making.add(noise)
                        return noise
            self._active -= 1
            self._changed.notify_all()
            return None
