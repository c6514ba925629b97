"""Compute features of a run's final images that its engines did not: from stored images, or from their recipes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from bench.run.replay import segment_of, stored_study
from bench.store import features
from bench.store import reader as store
from bench.store.encoding import encoded
from bench.store.files import writing
from bench.store.images import Pixels, image_sha256, kept, pixels_of
from bench.store.storage import Output, Storage, place
from bench.workers.pool import LocalPool
from tts.engine.features import Features, extract
from tts.engine.requests import EvalRequest
from tts.errors import DataError
from tts.metrics.base import Metric, MetricSettings

COLUMNS = ("trial", "error", "image", "image_file", "image_sha256", "noises", "condition")


@dataclass
class Featured:
    """What was done.

    Args:
        computed, there: features of images that were computed now, and that had been stored before; by extractor.
        replayed: images that were made again from their recipes.
        differing: of these, that have other pixels than the run's.
    """

    computed: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    replayed: int = 0
    differing: int = 0


class Featuring:
    """Computes what is missing, part by part; each is written whole, so that whoever is killed goes on at a part.

    Args:
        output: the run; nobody else may write to it meanwhile.
        metrics: whose features are wanted, by name.
        device: where extractors compute.
        batch: images that they look at at once; smaller rests are filled up, so that no image's features depend on how
            many there were.
        trust: the manifest may name code, files and addresses, where images must be made again.
    """

    def __init__(
        self, output: Output, metrics: Mapping[str, MetricSettings], device: str, batch: int, trust: bool
    ) -> None:
        self.where, self.device, self.batch, self.trust = place(output), device, batch, trust
        self.settings = {metric.extractor: metric for metric in metrics.values()}
        self.done = Featured(dict.fromkeys(self.settings, 0), dict.fromkeys(self.settings, 0))
        self._loaded: dict[str, Metric] = {}
        self._study: Any = None
        self._pool: LocalPool | None = None

    def run(self, progress: Callable[[int, int], None] = lambda done, total: None) -> Featured:
        """Compute all missing features.

        Args:
            progress: told how many of how many trials are done.

        Raises:
            SettingError: another driver writes to the run, or it cannot be written to.
            DataError: a part or an image is damaged.
            EngineError: an extractor failed.
        """
        with writing(self.where):
            lease = self.where.claim("")
        seen, count, total = set[str](), 0, len(store.done(self.where))
        try:
            for part in store.parts(self.where):
                light = store.table(self.where, ["trial", "error"], of=[part])
                assert light is not None  # the part is there
                finished = [row["trial"] for row in light.to_pylist() if row["error"] is None]
                trials = [trial for trial in dict.fromkeys(finished) if trial not in seen]
                seen.update(trials)
                self._part(part, trials)
                with writing(self.where):
                    lease.renew()
                count += len(light)
                progress(min(count, total), total)
        finally:
            lease.release()
            if self._pool is not None:
                self._pool.close()
        return self.done

    def _part(self, part: str, trials: list[str]) -> None:
        stored = {extractor: features.of_part(self.where, part, extractor) for extractor in self.settings}
        known = {name: set() if each is None else set(each["trial"].to_pylist()) for name, each in stored.items()}
        missing = {name: [trial for trial in trials if trial not in known[name]] for name in self.settings}
        for name, lacking in missing.items():
            self.done.there[name] += len(trials) - len(lacking)
            self.done.computed[name] += len(lacking)
        wanted = sorted(set().union(*missing.values()))
        found = {name: dict[str, Features | None]() for name in self.settings}
        for some, images in self._images(part, wanted):
            for name, lacking in missing.items():
                mine = set(lacking)
                if mine & set(some):
                    looked = zip(some, self._look(name, images), strict=True)
                    found[name] |= {trial: row for trial, row in looked if trial in mine}
        for name, rows in found.items():
            if rows:
                self._write(part, name, rows, stored[name])

    def _images(self, part: str, trials: list[str]) -> Iterator[tuple[list[str], list[Pixels]]]:
        """Images of some trials of a part, a batch at a time."""
        for start in range(0, len(trials), self.batch):
            some = trials[start : start + self.batch]
            table = store.table(self.where, list(COLUMNS), pa.compute.field("trial").isin(some), of=[part])
            assert table is not None  # the part is there
            rows = list({row["trial"]: row for row in table.to_pylist() if row["error"] is None}.values())
            images = {row["trial"]: kept(self.where, row) for row in rows}
            images |= self._replayed([row for row in rows if images[row["trial"]] is None])
            yield list(images), [pixels_of(self.where, trial, image or b"") for trial, image in images.items()]

    def _replayed(self, rows: Sequence[dict[str, Any]]) -> dict[str, bytes]:
        """Images from recipes, by trial."""
        if not rows:
            return {}
        if self._pool is None:
            self._study = stored_study(self.where, self.trust)
            self._pool = LocalPool(self._study)
        segments = [segment_of(row, self._study.plan.steps, self.where) for row in rows]
        self._pool.submit(0, [EvalRequest(ticket, segment) for ticket, segment in enumerate(segments)], [])
        found: dict[str, bytes] = {}
        while len(found) < len(rows):
            for outcome in self._pool.wait()[0].outcomes:
                row, image = rows[outcome.ticket], outcome.image
                assert image is not None  # the segment asked for everything
                self.done.replayed += 1
                self.done.differing += row["image_sha256"] not in (None, image_sha256(image))
                found[row["trial"]] = image
        return found

    def _look(self, extractor: str, images: list[Pixels]) -> list[Features | None]:
        """Features of some images, at most a batch."""
        import torch

        if extractor not in self._loaded:
            self._loaded[extractor] = self.settings[extractor].load(self.device)
        metric = self._loaded[extractor]
        if len({image.shape for image in images}) > 1:
            raise DataError(f"{self.where}: its images are of several sizes")
        filled = np.stack([*images, *[images[-1]] * (self.batch - len(images))]).transpose(0, 3, 1, 2)
        given = torch.from_numpy(np.ascontiguousarray(filled))
        with torch.inference_mode():
            rows = extract(extractor, metric, given if metric.host else given.to(self.device))
        return rows[: len(images)]

    def _write(self, part: str, extractor: str, rows: dict[str, Features | None], stored: pa.Table | None) -> None:
        made = features.table(extractor, rows, self.settings[extractor].dtype)
        try:
            whole = made if stored is None else pa.concat_tables([stored.cast(made.schema), made])
        except (pa.ArrowException, ValueError):
            raise DataError(f"{self.where}: stored features of {extractor} are of another size") from None
        write_table(self.where, f"{features.FOLDER}/{features.part_of(part, extractor)}", whole)


def write_table(where: Storage, name: str, table: pa.Table) -> None:
    """Write a part whole or not at all.

    Raises:
        SettingError: it cannot be written.
    """
    data = encoded(table)
    with writing(where):
        where.write(name, data)
