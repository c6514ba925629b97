"""Decode and score in batches: the device's work here, all other work in lanes of threads beside it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from tts.engine.asking import ask_places
from tts.engine.device_queue import CpuQueue, DeviceQueue
from tts.engine.features import extract_places
from tts.engine.kept_images import KeptImages
from tts.engine.lanes import Lanes, Work
from tts.engine.padding import pad, pad_images, padded
from tts.engine.requests import EngineCounters
from tts.engine.score_requests import KINDS, Kind, Row, ScoreRequest, ScoreResult
from tts.engine.timeline import Timeline
from tts.files.digests import pixels_sha256
from tts.media import check, png
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.rewards.base import Reward
from tts.search.segment import ALL

SERVICE_SECONDS = 1.0
"""Seconds that an engine waits at a time for rewards of a service."""

HOST_THREADS = 4
"""Default number of threads of each lane whose work can be divided."""

DEVICE, IMAGES = "the device", "images"
"""Names of further lanes; names of rewards are identifiers, so they cannot equal these."""


class Scorer:
    """Scores clean states in batches of one fixed size, as kernels may sum in another order at another size.

    Args:
        model: decodes states.
        rewards: rewards by the names that segments use.
        batch: rows of batches for the decoder and device rewards; missing rows are padding.
        device: device of rewards that need one; None: the model's.
        timeline: records the time spent here.
        stream: the device's queue.
        metrics: metrics by extractor; they get the images that are rendered.
        threads: number of threads of each lane whose work can be divided; 0: no lane has threads.
    """

    def __init__(
        self,
        model: Model,
        rewards: Mapping[str, Reward],
        batch: int,
        device: torch.device | str | None = None,
        timeline: Timeline | None = None,
        stream: DeviceQueue | None = None,
        metrics: Mapping[str, Metric] | None = None,
        threads: int = HOST_THREADS,
    ) -> None:
        self.model, self.rewards, self.batch, self.device = model, dict(rewards), batch, device
        self.metrics, self.threads = dict(metrics or {}), threads
        self.kept = KeptImages()
        self.waiting: dict[Kind, deque[Row]] = {kind: deque() for kind in KINDS}
        self._stream, self._timeline = stream or CpuQueue(), timeline or Timeline(EngineCounters())
        self._waits = any(getattr(reward, "waits", False) for reward in rewards.values())
        self._order = sorted(self.rewards, key=lambda name: self.rewards[name].host)
        self._order += [*self.metrics]
        self._lanes = Lanes(self._widths())
        self._results: dict[int, ScoreResult] = {}
        self._under_way, self._frontier, self._counting = 0, 0.0, threading.Lock()

    def _widths(self) -> dict[str, int]:
        rewards = {name: self._width(reward) for name, reward in self.rewards.items() if reward.host}
        metrics = {f"metric {name}": 1 for name, metric in self.metrics.items() if metric.host}
        widths = {DEVICE: 1, IMAGES: self.threads, **rewards, **metrics}
        return widths if self.threads else dict.fromkeys(widths, 0)

    def _width(self, reward: Reward) -> int:
        own: int = getattr(reward, "concurrency", 1)
        return self.threads if getattr(reward, "divisible", False) else own

    def add(self, wanted: ScoreRequest) -> None:
        """Queue a state; :meth:`flush` scores it."""
        kept = self.kept.get(wanted.final)
        looked_at = bool(self.metrics) and ALL in wanted.rewards  # such requests have their own batches
        row = Row(wanted, kept, ScoreResult(wanted.ticket, decodes=int(kept is None)))
        self.waiting[Kind(wanted.preview, looked_at, kept is not None)].append(row)

    @property
    def busy(self) -> bool:
        """Whether anything is queued or being scored."""
        return any(self.waiting.values()) or self._lanes.busy

    @property
    def frontier(self) -> float:
        """The time until which spans are known: the end of the last batch on the device; infinity without a batch."""
        return self._frontier if self._under_way else float("inf")

    def flush(self, partial: bool) -> None:
        """Start scoring whole batches; with ``partial`` also incomplete ones, of rows that would begin soon.

        Those that would only wait behind others stay: their batch grows meanwhile, and costs as much as a whole one.
        """
        for waiting in self.waiting.values():
            while len(waiting) >= self.batch:
                self._score([waiting.popleft() for _ in range(self.batch)])
            if partial and waiting:
                soon, late = list[Row](), list[Row]()
                for row in waiting:
                    (late if self._late(row) else soon).append(row)
                waiting.clear()
                waiting.extend(late)
                if soon:
                    self._score(soon)

    def _late(self, row: Row) -> bool:
        """Whether what a row asks for would wait behind work that waits."""
        asked = [name for name, reward in self.rewards.items() if reward.host and row.request.asks(name)]
        return any(self._lanes.full(lane) for lane in (DEVICE, *asked))

    def collect(self, wait: bool) -> list[ScoreResult]:
        """Results so far; with ``wait`` at least one, unless a reward waits for its service."""
        timeout = (SERVICE_SECONDS if self._waits else None) if wait else 0.0
        # with a service, the engine goes on after a while, so that it does not seem to hang
        return [self._ordered(self._results.pop(ticket)) for ticket in self._lanes.collect(timeout)]

    def close(self) -> None:
        """End the threads, and the waits of rewards for a service."""
        self._lanes.drop()
        for reward in self.rewards.values():
            getattr(reward, "close", lambda: None)()
        self._lanes.close()

    def _ordered(self, result: ScoreResult) -> ScoreResult:
        """The result with its parts in one order, whichever lane finished first."""
        result.scores = {name: result.scores[name] for name in self._order if name in result.scores}
        result.errors = {name: result.errors[name] for name in self._order if name in result.errors}
        return result

    def _score(self, rows: list[Row]) -> None:
        """Decode and score; if the device has a second queue, another thread does it and this one goes on."""
        tickets = [row.request.ticket for row in rows]
        self._results.update((row.request.ticket, row.result) for row in rows)
        with self._counting:
            self._under_way += 1
        if self._stream.overlaps:
            self._lanes.submit(DEVICE, tickets, [partial(self._score_beside, rows, self._stream.mark())])
        else:
            self._lanes.expect(tickets)
            self._score_on_host(rows, self._score_on_device(rows))
            self._lanes.ended(tickets)

    def _score_beside(self, rows: list[Row], ready: Any) -> None:
        with self._stream.beside(ready):
            images = self._score_on_device(rows)
        self._score_on_host(rows, images)

    def _score_on_device(self, rows: list[Row]) -> Tensor:
        """Decode, ask the device's rewards, and copy the images to the host, which waits for them."""
        requests = [row.request for row in rows]
        begin = self._stream.mark()
        images = self._images(rows)
        decoded = self._stream.mark()
        near = images if self.device is None else images.to(self.device)
        filled = padded(requests, self.batch)
        for name, reward in self.rewards.items():
            asked = [k for k, request in enumerate(requests) if request.asks(name)]
            if asked and not reward.host:
                self._ask(name, rows, near, filled, dict(zip(asked, asked, strict=True)))
        self._look(near, rows, host=False)
        end = self._stream.mark()
        host = images[: len(rows)].cpu()
        self._account(rows, begin, decoded, end)
        for row, image in zip(rows, host, strict=True):
            if row.kept is None and row.request.final is not None and ALL not in row.request.rewards:
                self.kept.keep(row.request.final, image)
        return host

    def _images(self, rows: list[Row]) -> Tensor:
        """Images of the rows on the device: copied there if they are kept, else decoded."""
        kept = [row.kept for row in rows if row.kept is not None]
        if kept:
            return pad_images(kept, self.batch).to(rows[0].request.clean.device)
        clean = pad([row.request.clean for row in rows], self.batch)
        return check(self.model.decode(clean, rows[0].request.preview))

    def _account(self, rows: list[Row], begin: Any, decoded: Any, end: Any) -> None:
        """Charge the device's own time between its marks, without passes that were queued before."""
        first, second, third = (self._stream.at(mark) for mark in (begin, decoded, end))
        self._timeline.add("decode", first, second)
        self._timeline.add("reward", second, third)
        with self._counting:
            self._frontier = third
            self._under_way -= 1
        for row in rows:
            row.result.seconds = (third - first) / len(rows)

    def _score_on_host(self, rows: list[Row], images: Tensor) -> None:
        """Put the host's work into lanes: rewards, metrics, PNG files."""
        for name, reward in self.rewards.items():
            asked = [k for k, row in enumerate(rows) if row.request.asks(name)]
            if asked and reward.host:
                divided = max(1, self.threads) if getattr(reward, "divisible", False) else 1
                self._part(name, rows, asked, divided, partial(self._ask_host, name, rows, images))
        whole = [k for k, row in enumerate(rows) if ALL in row.request.rewards]
        if whole:
            for name, metric in self.metrics.items():
                if metric.host:
                    self._part(f"metric {name}", rows, whole, 1, partial(self._look_at, name, images, rows))
            self._part(IMAGES, rows, whole, max(1, self.threads), partial(self._render, rows, images))

    def _part(
        self, lane: str, rows: list[Row], places: list[int], pieces: int, work: Callable[[list[int]], None]
    ) -> None:
        """Put work on some rows into a lane, in at most ``pieces`` pieces."""
        length = -(-len(places) // pieces)
        parts: list[Work] = [partial(work, places[at : at + length]) for at in range(0, len(places), length)]
        self._lanes.submit(lane, [rows[k].request.ticket for k in places], parts)

    def _render(self, rows: list[Row], images: Tensor, places: list[int]) -> None:
        for place in places:
            image, result = images[place], rows[place].result
            result.image, result.image_sha256 = png(image), pixels_sha256(image.permute(1, 2, 0).numpy())

    def _ask_host(self, name: str, rows: list[Row], images: Tensor, asked: list[int]) -> None:
        self._ask(name, rows, images[asked], [rows[k].request for k in asked], dict(enumerate(asked)))

    def _ask(
        self,
        name: str,
        rows: list[Row],
        images: Tensor,
        requests: Sequence[ScoreRequest],
        places: Mapping[int, int],
    ) -> None:
        """Score the images at some positions for the rows that ask for it."""
        conditions, levels = [each.condition for each in requests], [each.level for each in requests]
        found, errors = ask_places(name, self.rewards[name], images, conditions, places, levels)
        for place, value in found.items():
            rows[place].result.scores[name] = value
        for place, error in errors.items():
            rows[place].result.errors[name] = error

    def _look(self, images: Tensor, rows: list[Row], host: bool) -> None:
        """Compute features of the images that are rendered, by the metrics of the host or of the device."""
        places = [k for k, row in enumerate(rows) if ALL in row.request.rewards]
        for name, metric in self.metrics.items() if places else ():
            if metric.host == host:
                self._look_at(name, images, rows, places)

    def _look_at(self, name: str, images: Tensor, rows: list[Row], places: list[int]) -> None:
        found, errors = extract_places(name, self.metrics[name], images, places)
        for place, features in found.items():
            rows[place].result.features[name] = features
        for place, error in errors.items():
            rows[place].result.errors[name] = error
