"""Where it was computed, from which configuration, and how to do it again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import yaml

from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Block, Cell, Code, Column, Section, Table, Text
from bench.report.html.cells import (
    RIGHT,
    pairs,
)
from bench.report.html.figures import File, csv
from bench.report.html.page_data import Page
from bench.report.runs import Run
from bench.run.status import awaited
from bench.run.status import read as read_status
from tts.errors import DataError

CONFIG_CHARACTERS = 60_000
"""A configuration is cut after so many; a run may have thousands of prompts."""


def section(analysis: Analysis, page: Page) -> Section:
    """Where it was computed, from which configuration, and how to do it again."""
    blocks: list[Block] = []
    if len(analysis.failed):
        blocks.append(_errors(analysis.failed))
    for run in analysis.runs:
        blocks += _provenance(run)
    return Section("environment", "Environment and configuration", "Environment", blocks)


def _errors(failed: pd.DataFrame) -> Table:
    """Why trials have failed, the most frequent reasons first."""
    counts = failed["error"].value_counts()
    rows = [[Cell(str(reason)), Cell(f"{number:,}")] for reason, number in counts.head(20).items()]
    caption = "Reasons of failures" + (f" (20 of {len(counts)} different ones)" if len(counts) > 20 else "")
    return Table(caption, [Column("reason", "wrap"), Column("trials", RIGHT)], rows, files=["errors.csv"])


def _provenance(run: Run) -> list[Block]:
    manifest, name, awaiting = run.manifest, str(run.output), awaited(run.output)
    git = manifest.get("git")
    commit = "no checkout" if git is None else f"{git['commit']}{' (changed since: dirty)' if git['dirty'] else ''}"
    devices = sorted(map(str, run.trials["device"].dropna().unique())) or sorted(set(manifest.get("devices", [])))
    facts = {
        "identity": f"{manifest['digest']} (schema {manifest.get('schema_version', 'unknown')})",
        "begun": str(manifest.get("created", "unknown")),
        "commit": commit,
        "devices": ", ".join(map(str, devices)) or "unknown",
        "engines at the start": f"{len(manifest.get('devices', []))}",
        "only awaiting rewards": "unknown" if awaiting is None else f"{100 * awaiting:.1f} % of the engines' time",
        "FLOPs a denoiser call": "unknown" if not manifest.get("flops") else f"{manifest['flops']:.4g}",
        **_sinks(run),
    }
    versions = {key: str(value) for key, value in manifest.get("versions", {}).items()}
    config = _yaml(manifest["config"])
    again = (
        "To run it again: save the configuration as run.yaml and, at this commit, call: tts-bench run run.yaml "
        "--set output=results/again"
    )
    return [
        pairs(f"Run {name}", facts),
        Text(again, "note"),
        Code("Configuration", config, open=True),
        Code("What it resolves to: all that changes a result", _yaml(manifest.get("resolved", {}))),
        _folded(pairs("Versions", versions)),
    ]


def _sinks(run: Run) -> dict[str, str]:
    """Numbers that its sinks did not take, in the last start of each shard."""
    try:
        told = [status.get("sinks", {}) for status in read_status(run.output)]
    except DataError:  # an exported run has no status
        return {}
    found = [f"{name}: {reason}" for sinks in told for name, reason in sinks.items()]
    return {"sinks": "; ".join(found)} if found else {}


def _folded(table: Table) -> Table:
    return Table(table.caption, table.columns, table.rows, folded=True)


def _yaml(value: Any) -> str:
    written = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    if len(written) <= CONFIG_CHARACTERS:
        return written
    return f"{written[:CONFIG_CHARACTERS]}\n# ... cut here; manifest.json has all of it\n"


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if len(analysis.failed):
        columns = ["trial", "reward", "search", "settings", "label", "seed", "error"]
        yield "errors.csv", csv(analysis.failed[columns])
