"""The trace of a run: one row for each evaluation of its trials, in parts named like those of their trials.

A part of the trace is written before the part of its trials, so that a trial that is stored has its evaluations; those
of a part without trials were never finished, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from bench.store import reader as store
from bench.store.part_checks import checked_trace
from bench.store.reader import opened
from bench.store.storage import Output, place
from tts.errors import DataError
from tts.recipe import Action, Back, to_record
from tts.search.segment import Evaluation, Segment, State

if TYPE_CHECKING:
    import pandas as pd  # drivers need this module, and no frames

FOLDER = "evaluations"


class Trace:
    """Records a trial's evaluations."""

    def __init__(self, trial: str) -> None:
        self._trial = trial
        self._rows: list[dict[str, Any]] = []
        self._by_state: dict[int, int] = {}
        self._round, self._nfe, self._best = 0, 0, -float("inf")

    def add(self, segments: Sequence[Segment], evaluations: Sequence[Evaluation]) -> None:
        """Record the evaluations of a list of segments."""
        for candidate, (segment, evaluation) in enumerate(zip(segments, evaluations, strict=True)):
            if isinstance(segment.start, State) and len(segment.start.noises) > 1:
                self.choose(segment)
            self._nfe += evaluation.nfe
            self._best = max(self._best, evaluation.value)
            action = next((action for action in segment.noises if action is not None), None)
            self._by_state[evaluation.state.key] = len(self._rows)
            self._rows.append(
                {
                    "trial": self._trial,
                    "round": self._round,
                    "candidate": candidate,
                    "first": segment.first,
                    "stop": segment.stop,
                    "kind": _kind(action),
                    "noise": to_record(action),
                    "reward": evaluation.reward,
                    "chosen": False,
                    "best": None if self._best == -float("inf") else self._best,
                    "nfe": evaluation.nfe,
                    "nfe_so_far": self._nfe,
                }
            )
        self._round += 1

    def choose(self, segment: Segment) -> None:
        """Record that a segment goes on from a state; the last one of a trial goes on from its result."""
        key = getattr(segment.start, "key", None)
        if key in self._by_state:
            self._rows[self._by_state[key]]["chosen"] = True

    def rows(self) -> list[dict[str, Any]]:
        """All rows, with the columns of :data:`bench.store.schema.TRACE`."""
        return self._rows


def _kind(action: Action) -> str:
    if action is None:
        return "none"
    if isinstance(action, Back):
        return "back"
    return "local" if action.moves else "global"


def read(output: Output, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Every evaluation of the stored trials, each once.

    Args:
        columns: of :data:`bench.store.schema.TRACE`, ``trial`` among them; None: all.

    Raises:
        DataError: the run has no trace, or a part is damaged.
    """
    found = list(_parts(output, None if columns is None else list(columns)))
    if not found:
        raise DataError(f"{place(output)}: has no trace; run it with trace: true")
    with store.reading(place(output)):
        return _frame(pa.concat_tables(found, promote_options="permissive"))


def _frame(table: pa.Table) -> pd.DataFrame:
    """A table whose noises' seeds, integers of 63 bits, stay exact though some rows have no noise."""
    import pandas as pd

    columns = zip(table.column_names, table.columns, strict=True)
    return pd.DataFrame(
        {name: column.to_pandas(integer_object_nulls=pa.types.is_nested(column.type)) for name, column in columns}
    )


def _parts(output: Output, columns: list[str] | None) -> Iterator[pa.Table]:
    where, seen = place(output), set[str]()
    traced = set(names(output))
    for part in store.parts(where):
        trials = store.table(output, ["trial"], of=[part])
        assert trials is not None  # one part was named
        new = set(trials["trial"].to_pylist()) - seen
        seen |= new
        if part in traced:
            with opened(where, f"{FOLDER}/{part}") as file:
                there = None if columns is None else [name for name in columns if name in file.schema_arrow.names]
                rows = checked_trace(file.read(there), columns, f"{where}: {FOLDER}/{part}")
            mine = pa.compute.is_in(rows["trial"], pa.array(sorted(new), pa.string()))
            yield rows.filter(mine)


def names(output: Output) -> list[str]:
    """Names of the trace's parts."""
    return [name for name in store.names(place(output), FOLDER) if name.endswith(".parquet") and name[0] != "."]
