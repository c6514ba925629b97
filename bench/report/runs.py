"""A run as a report takes it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.report.summary import read_trials
from bench.store import reader as store
from bench.store.storage import Output
from tts.errors import DataError


@dataclass(frozen=True)
class Run:
    """A run as it lies on disk; its trials come without images and recipes."""

    output: Output
    manifest: dict[str, Any]
    trials: pd.DataFrame

    @property
    def finished(self) -> pd.DataFrame:
        """Its own trials that have not failed, those that other runs have, too, among them."""
        return self.trials[self.trials["error"].isna()]

    @classmethod
    def at(cls, output: Output) -> Run:
        """The run in a folder.

        Raises:
            DataError: there is none, or its manifest does not say what was run.
        """
        manifest = store.read_manifest(output)
        if manifest.get("resolved") is None:
            raise DataError(
                f"{output}: its manifest does not say what was run (resolved); tts-bench curves can do without"
            )
        return cls(output, manifest, read_trials(output))


def each_once(trials: pd.DataFrame) -> pd.DataFrame:
    """Finished trials once on each of their curves, and those once that failed and are finished nowhere."""
    failed = trials["error"].notna()
    finished = trials[~failed].drop_duplicates(["trial", "budget"])
    others = trials[failed & ~trials["trial"].isin(finished["trial"])].drop_duplicates("trial")
    return pd.concat([finished, others], ignore_index=True) if len(others) else finished.reset_index(drop=True)
