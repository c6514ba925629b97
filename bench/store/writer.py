"""The store of one driver: rows and evaluations wait, and appear as whole parts."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa

from bench.store import features
from bench.store.completed import CompletedTrials
from bench.store.encoding import encoded
from bench.store.files import writing
from bench.store.leases import Lease
from bench.store.reader import check, done, parts, table
from bench.store.row import TrialRow
from bench.store.schema import TRACE, schema
from bench.store.storage import Output, place

FLUSH_BYTES = 64 << 20
"""A part is written when the rows that wait take more than this, with their images and evaluations."""


class Store:
    """The results of one run, or of one shard of it, held by one driver at a time.

    Args:
        output: made when missing.
        rewards: names of the run's rewards; each has a column.
        flush_rows, flush_seconds: a part is written when this many rows wait, or this long after the last one.
        shard: which of how many.
        image_files: keep images in files of their own.
        dtypes: in which features are stored, by extractor; left out: float32.
    """

    def __init__(
        self,
        output: Output,
        rewards: Iterable[str],
        flush_rows: int = 512,
        flush_seconds: float = 10.0,
        shard: tuple[int, int] = (0, 1),
        image_files: bool = False,
        dtypes: Mapping[str, str] | None = None,
    ) -> None:
        self.output, self.place, self.schema = output, place(output), schema(rewards)
        self.flush_rows, self.flush_seconds, self.image_files = flush_rows, flush_seconds, image_files
        self._dtypes = dict(dtypes or {})
        self._shard, self._number = shard
        self._prefix = "" if shard[1] == 1 else f"s{shard[0]}of{shard[1]}-"
        self._rows: list[TrialRow] = []
        self._bytes = 0
        self._writer, self._parts = uuid.uuid4().hex[:12], 0
        self._flushed = time.monotonic()
        self._claim: Lease | None = None

    def open(self, digest: str, manifest: dict[str, Any], retry_errors: bool = False) -> CompletedTrials:
        """Take the folder for a run, and say which trials it holds already.

        Args:
            digest: of the resolved configuration.
            manifest: written if the folder is new.
            retry_errors: forget the trials that have failed.

        Raises:
            RunMismatchError: the folder belongs to another configuration.
            SettingError: the folder cannot be written to, or another driver holds it.
        """
        check(self.output, digest)
        with writing(self.place):
            self._claim = self.place.claim("" if self._number == 1 else f"{self._shard}/{self._number}")
        check(self.output, digest)  # another driver may have been here since
        with writing(self.place):
            self.place.sweep(f"part-{self._prefix}" if self._prefix else "")
            self.place.create("manifest.json", json.dumps(manifest, indent=2, default=str).encode())
        check(self.output, digest)  # another shard may have been faster, with another batch that it measured
        with writing(self.place):
            for orphan in features.orphans(self.place, self._prefix):
                self.place.remove(f"{features.FOLDER}/{orphan}")
            if retry_errors:
                self._forget_errors()
        return done(self.output)

    def _forget_errors(self) -> None:
        """Write the parts that hold errors anew without them; other shards' parts stay as they are."""
        for part in parts(self.place):
            rows = table(self.output, of=[part])
            assert rows is not None  # one part was named
            if not part.startswith(f"part-{self._prefix}") or rows["error"].null_count == len(rows):
                continue
            kept = rows.filter(pa.compute.is_null(rows["error"]))
            if len(kept):
                self.place.write(f"trials/{part}", encoded(kept.select(self.schema.names).cast(self.schema)))
            else:
                self.place.remove(f"trials/{part}")

    def add(self, row: TrialRow) -> None:
        """Store a row with the trial's evaluations and features; they are safe once its part is written."""
        self._rows.append(row)
        self._bytes += row.nbytes
        if len(self._rows) >= self.flush_rows or self._bytes >= FLUSH_BYTES:
            self.flush()

    def tick(self) -> None:
        """Write a part if rows have waited long enough."""
        if self._claim is not None:
            with writing(self.place):
                self._claim.renew()
        if self._rows and time.monotonic() - self._flushed >= self.flush_seconds:
            self.flush()

    @property
    def waiting(self) -> int:
        """Rows that are not safe yet."""
        return len(self._rows)

    def flush(self) -> None:
        """Write every waiting row as one part.

        Raises:
            SettingError: it could not be written; no part has appeared, and the rows wait on.
        """
        self._flushed = time.monotonic()
        if not self._rows:
            return
        with writing(self.place):
            rows = [self._with_image_file(row) for row in self._rows] if self.image_files else self._rows
            part = f"part-{self._prefix}{self._writer}-{self._parts:05}.parquet"
            evaluations = [evaluation for row in rows for evaluation in row.evaluations]
            if evaluations:  # first: a stored trial has its trace
                self.place.write(f"evaluations/{part}", encoded(pa.Table.from_pylist(evaluations, TRACE)))
            for extractor, table_ in features.tables(rows, self._dtypes).items():  # and its features
                self.place.write(f"{features.FOLDER}/{features.part_of(part, extractor)}", encoded(table_))
            records = [row.record() for row in rows]
            self.place.write(f"trials/{part}", encoded(pa.Table.from_pylist(records, schema=self.schema)))
        self._rows, self._bytes, self._parts = [], 0, self._parts + 1

    def _with_image_file(self, row: TrialRow) -> TrialRow:
        if row.image is None:
            return row
        if self._claim is not None:
            self._claim.renew()  # hundreds of images may take longer than a mark stays fresh
        name = f"images/{row.trial}.png"
        self.place.write(name, row.image)
        return replace(row, image=None, image_file=name)

    def close(self) -> None:
        """Write what waits and let the folder go."""
        try:
            self.flush()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Let the folder go, whatever waits."""
        claim, self._claim = self._claim, None
        if claim is not None:
            with writing(self.place):
                claim.release()
