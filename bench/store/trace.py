"""The trace of a run: one row for each evaluation of its trials, in parts named like those of their trials.

A part of the trace is written before the part of its trials, so that a trial that is stored has its evaluations; those
of a part without trials were never finished, and do not count.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pyarrow as pa

from bench.store import reader as store
from bench.store.part_checks import checked_trace
from bench.store.reader import opened
from bench.store.storage import Output, place
from tts.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "evaluations"


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
