"""A report's figures from images and traces, as plain tables."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class Measured:
    """Results of :mod:`bench.statistics.hacking` on features of images; no distances without features of real ones."""

    extractor: str
    diversity: pd.DataFrame
    frechet: pd.DataFrame | None


@dataclass(frozen=True)
class Traces:
    """Results of :mod:`bench.statistics.trace_analysis` for each curve's largest point, its label as ``curve``."""

    so_far: pd.DataFrame
    gain: pd.DataFrame
    wins: pd.DataFrame
    all_wins: pd.DataFrame
