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
