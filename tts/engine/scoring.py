"""Decoding and rewards in batches, CPU rewards beside the device."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import wait as await_all
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

from tts.engine.device_errors import device_error, of_the_device
from tts.engine.device_queue import CpuQueue, DeviceQueue
from tts.engine.features import Features, extract_places
from tts.engine.requests import EngineCounters
from tts.errors import DeviceError, EngineError, first_line
from tts.files.digests import pixels_sha256
from tts.media import check, png
from tts.metrics.base import Metric
from tts.models.base import Model
from tts.plan import Condition
from tts.rewards.base import Reward, Score
from tts.search.segment import ALL

T = TypeVar("T")

SERVICE_SECONDS = 1.0
"""For an engine to wait at a time for rewards of a service."""


class ScoreRequest(NamedTuple):
    """A clean state to be scored by some rewards; with :data:`tts.search.segment.ALL` by all, and rendered.

    ``preview``: decode it by the model's cheaper means for predicted images.
    """

    ticket: int
    clean: Tensor
    condition: Condition
    rewards: tuple[str, ...]
    preview: bool = False

    def asks(self, name: str) -> bool:
        """Whether it is to be scored by a reward."""
        return name in self.rewards or ALL in self.rewards


@dataclass
class ScoreResult:
    """What became of a :class:`ScoreRequest`: values by reward, PNG bytes and pixels' digest if rendered, seconds.

    ``features`` of rendered images are by extractor. ``errors`` tells why rewards or metrics failed, by their names.
    """

    ticket: int
    scores: dict[str, Score] = field(default_factory=dict)
    image: bytes | None = None
    image_sha256: str | None = None
    seconds: float = 0.0
    errors: dict[str, str] = field(default_factory=dict)
    features: dict[str, Features | None] = field(default_factory=dict)


class Scorer:
    """Scores clean states in batches of one fixed size.

    Args:
        model: decodes.
        rewards: by the names that segments use.
        batch: rows that device rewards and the decoder always get; missing ones are padding.
        device: where device rewards are; None: where the model is.
        load: where its seconds are counted.
        stream: the device's queue.
        metrics: by extractor; they look at the images that are rendered.
    """

    def __init__(
        self,
        model: Model,
        rewards: Mapping[str, Reward],
        batch: int,
        device: torch.device | str | None = None,
        load: EngineCounters | None = None,
        stream: DeviceQueue | None = None,
        metrics: Mapping[str, Metric] | None = None,
    ) -> None:
        self.model, self.rewards, self.batch, self.device = model, dict(rewards), batch, device
        self.metrics = dict(metrics or {})
        self._waits = any(getattr(reward, "waits", False) for reward in rewards.values())
        self.load, self._stream = load or EngineCounters(), stream or CpuQueue()
        kinds = [(preview, final) for final in (False, True) for preview in (False, True)]
        self.waiting: dict[tuple[bool, bool], deque[ScoreRequest]] = {kind: deque() for kind in kinds}
        self._host = ThreadPoolExecutor(1, thread_name_prefix="rewards")
        self._pending: deque[tuple[Future[None], list[ScoreResult]]] = deque()

    def add(self, wanted: ScoreRequest) -> None:
        """Queue a state; :meth:`flush` scores it."""
        looked_at = bool(self.metrics) and ALL in wanted.rewards  # these fill batches of their own
        self.waiting[wanted.preview, looked_at].append(wanted)

    @property
    def busy(self) -> bool:
        """Whether anything is queued or being scored."""
        return any(self.waiting.values()) or bool(self._pending)

    def flush(self, partial: bool) -> None:
        """Start scoring whole batches; with ``partial`` what is left as well."""
        for waiting in self.waiting.values():
            while len(waiting) >= self.batch or (partial and waiting):
                self._score([waiting.popleft() for _ in range(min(self.batch, len(waiting)))])

    def collect(self, wait: bool) -> list[ScoreResult]:
        """What is scored by now; with ``wait`` at least the oldest batch, unless a reward waits for its service."""
        done: list[ScoreResult] = []
        while self._pending and (self._pending[0][0].done() or (wait and not done)):
            future, scored = self._pending[0]
            if not done and self._waits and not await_all([future], timeout=SERVICE_SECONDS).done:
                return []  # the engine goes on, so that it is not taken for one that hangs
            self._pending.popleft()
            future.result()
            done += scored
        return done

    def close(self) -> None:
        """End the thread for CPU rewards."""
        self._host.shutdown()

    def _score(self, rows: list[ScoreRequest]) -> None:
        """Decode and score; where the device has a second queue, a thread does so, and this one goes on."""
        results = [ScoreResult(row.ticket) for row in rows]
        if self._stream.overlaps:
            future = self._host.submit(self._score_beside, rows, results, self._stream.mark())
        else:
            images = self._score_on_device(rows, results)
            future = self._host.submit(self._score_on_host, rows, images, results)
        self._pending.append((future, results))

    def _score_beside(self, rows: list[ScoreRequest], results: list[ScoreResult], ready: Any) -> None:
        with torch.inference_mode(), self._stream.beside(ready):
            images = self._score_on_device(rows, results)
        self._score_on_host(rows, images, results)

    def _score_on_device(self, rows: list[ScoreRequest], results: list[ScoreResult]) -> Tensor:
        """Decode, ask the device's rewards, and fetch the images, which waits for them."""
        start = time.perf_counter()
        images = check(self.model.decode(pad([row.clean for row in rows], self.batch), preview=rows[0].preview))
        decoded = time.perf_counter()
        conditions = padded([row.condition for row in rows], self.batch)
        near = images if self.device is None else images.to(self.device)
        for name, reward in self.rewards.items():
            asked = [k for k, row in enumerate(rows) if row.asks(name)]
            if asked and not reward.host:
                self._ask(name, reward, near, conditions, dict(zip(asked, asked, strict=True)), results)
        self._look(near, rows, results, host=False)
        host, end = images[: len(rows)].cpu(), time.perf_counter()
        self.load.decode += decoded - start
        self.load.reward += end - decoded
        for result in results:
            result.seconds = (end - start) / len(rows)
        return host

    def _score_on_host(self, rows: Sequence[ScoreRequest], images: Tensor, results: Sequence[ScoreResult]) -> None:
        for name, reward in self.rewards.items():
            asked = [k for k, row in enumerate(rows) if row.asks(name)]
            if asked and reward.host:
                places = dict(enumerate(asked))
                self._ask(name, reward, images[asked], [rows[k].condition for k in asked], places, results)
        self._look(images, rows, results, host=True)
        for row, image, result in zip(rows, images, results, strict=True):
            if ALL in row.rewards:
                result.image, result.image_sha256 = png(image), pixels_sha256(image.permute(1, 2, 0).numpy())

    def _look(self, images: Tensor, rows: Sequence[ScoreRequest], results: Sequence[ScoreResult], host: bool) -> None:
        """Have the metrics of a device look at the images that are to be rendered."""
        places = [k for k, row in enumerate(rows) if ALL in row.rewards]
        for name, metric in self.metrics.items() if places else ():
            if metric.host == host:
                found, errors = extract_places(name, metric, images, places)
                for place, features in found.items():
                    results[place].features[name] = features
                for place, error in errors.items():
                    results[place].errors[name] = error

    def _ask(
        self,
        name: str,
        reward: Reward,
        images: Tensor,
        conditions: Sequence[Condition],
        places: Mapping[int, int],
        results: Sequence[ScoreResult],
    ) -> None:
        """Score the images at some places for the results that want it; where the reward fails, each one alone."""
        try:
            values = ask(name, reward, images, conditions)
        except DeviceError:
            raise
        except EngineError:
            for k, place in places.items():
                alone, rows = images[k : k + 1], 1 if reward.host else len(images)
                try:
                    shape = alone.expand(rows, *alone.shape[1:])
                    results[place].scores[name] = ask(name, reward, shape, [conditions[k]] * rows)[0]
                except EngineError as error:
                    results[place].errors[name] = str(error)
        else:
            for k, place in places.items():
                results[place].scores[name] = values[k]


def ask(name: str, reward: Reward, images: Tensor, conditions: Sequence[Condition]) -> list[Score]:
    """A reward's values; one that is no finite number counts as "could not score".

    Raises:
        DeviceError: the device failed while the reward was asked.
        EngineError: the reward failed; the message names it.
    """
    try:
        values = reward.score(images, conditions)
    except Exception as error:
        if of_the_device(error):
            raise device_error(f"reward {name}", error) from None
        raise EngineError(f"reward {name} failed: {type(error).__name__}: {first_line(error)}") from error
    return [value if value is not None and math.isfinite(value) else None for value in values]


def pad(rows: Sequence[Tensor], size: int) -> Tensor:
    """Rows as one batch ``[size, ...]``, the first row repeated in the places that are left."""
    return torch.stack(padded(rows, size))


def padded(rows: Sequence[T], size: int) -> list[T]:
    """Rows and copies of the first one up to a size."""
    return [*rows, *[rows[0]] * (size - len(rows))]
