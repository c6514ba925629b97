"""Made-up runs in folders, written by the store without an engine."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from synthetic_trials import REWARDS, trials

from bench.store.row import TrialRow
from bench.store.schema import TRACE
from bench.store.writer import Store

MANIFEST: dict[str, Any] = {
    "digest": "d",
    "config": {"engines": {"count": 2}, "output": "somewhere"},
    "resolved": {"model": {"name": "cifar10"}, "numerics": {"batch": 8, "device": "cpu"}, "seed": 0},
    "devices": ["x86", "x86"],
    "versions": {"torch": "2.8.0"},
    "git": {"commit": "a" * 40, "dirty": False},
}


def rows(problems: int = 8, rewards: tuple[str, ...] = REWARDS) -> list[dict[str, Any]]:
    """Rows of all searches and budgets on every problem, as a run would store them."""
    frame = trials(problems, rewards)
    return [_row(row) for row in frame.astype(object).where(frame.notna(), None).to_dict("records")]


def _row(trial: dict[Any, Any]) -> dict[str, Any]:
    seed = zlib.crc32(f"{trial['condition']} {trial['seed']}".encode())
    recipe = {"seed": seed, "moves": []}
    moved = {"seed": seed + 1, "moves": [{"seed": zlib.crc32(trial["settings"].encode()), "radius": 0.15}]}
    return {
        **trial,
        "trial": trial["trial"][:32],
        "problem_seed": seed,
        "wall_seconds": 1.5,
        "shared_nfe": 0,
        "device": "x86",
        "samples": [trial["value"]] if trial["search"] == "best_of_n" else None,
        "noises": [recipe, moved, None],
        "image": picture(seed),
        **{f"score_{reward}": trial["value"] for reward in REWARDS},
    }


def picture(number: int) -> bytes:
    """A PNG that differs for each number."""
    buffer = io.BytesIO()
    Image.fromarray(np.full((2, 2, 3), [number % 256, number // 256 % 256, 7], np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def stored(folder: Path, found: Iterable[dict[str, Any]], image_files: bool = False, **manifest: Any) -> Path:
    """A run with these trials."""
    found = list(found)
    rewards = sorted({name.removeprefix("score_") for row in found for name in row if name.startswith("score_")})
    store = Store(folder, rewards, flush_rows=200, image_files=image_files)
    store.open("d", {**MANIFEST, **manifest})
    for row in found:
        store.add(TrialRow.of_record({"problem_seed": 0, **row}))
    store.close()
    return folder


def with_trace(folder: Path) -> Path:
    """The run, with one evaluation of each of its trials."""
    for part in sorted((folder / "trials").iterdir()):
        evaluations = [_evaluation(row) for row in pq.read_table(part).to_pylist()]
        target = folder / "evaluations" / part.name
        target.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(evaluations, schema=TRACE), target)
    return folder


def _evaluation(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "trial": row["trial"],
        "round": 0,
        "candidate": 0,
        "first": 0,
        "stop": 2,
        "kind": "local",
        "noise": row["noises"][1],
        "reward": row["value"],
        "chosen": True,
        "best": row["value"],
        "nfe": row["nfe"],
        "nfe_so_far": row["nfe"],
    }
