"""Made-up runs for reports."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bench.benchmarks.reporting import make, study

HOSTILE = "</script><script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">"
"""A prompt that would run a script and load a picture if it were not escaped."""

SMALL: dict[str, Any] = {
    "rewards": ["brightness"],
    "held_out": ["compressibility"],
    "searches": [
        "naive",
        {"name": "best_of_n", "budget": {"N": [4, 8]}},
        {"name": "eps_greedy", "N": 4, "budget": {"K": [1, 2]}},
    ],
}


def small_run(folder: Path, trials: int = 100, **changes: Any) -> Path:
    """A run of ten problems for each hundred trials, with small images and a trace."""
    make(study(trials, folder, **{**SMALL, **changes}), side=16)
    return folder


def rewrite(run: Path, changed: Any) -> None:
    """Change the trials of a run, part by part, by a function of their pandas table."""
    for part in (run / "trials").glob("*.parquet"):
        schema = pq.read_schema(part)
        pq.write_table(
            pa.Table.from_pandas(changed(pq.read_table(part).to_pandas()), schema, preserve_index=False), part
        )


def hostile(trials: pd.DataFrame) -> pd.DataFrame:
    """The same trials with a prompt and an error that attack the page."""
    trials.loc[trials["label"] == "cat", "label"] = HOSTILE
    last = trials.index[-1:]
    trials.loc[last, "error"] = HOSTILE
    trials.loc[last, [name for name in trials if name == "value" or name.startswith("score_")]] = None
    trials["samples"] = None
    return trials
