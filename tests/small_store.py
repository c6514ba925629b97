"""A store with made-up rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from bench.store.writer import Store

REWARDS = ("brightness", "sharpness")
MANIFEST = {"digest": "d", "config": {}, "devices": []}


def name(k: int) -> str:
    """The identity of the k-th trial."""
    return f"{k:032x}"


def row(k: int) -> dict[str, Any]:
    """The row of the k-th trial."""
    return {
        "trial": name(k),
        "search": "zero_order",
        "settings": '{"K":2}',
        "budget": "K",
        "budget_value": 2.0,
        "condition": "3",
        "label": "cat",
        "seed": k,
        "problem_seed": 2**63 - 1 - k,
        "reward": "brightness",
        "value": 0.1 * k,
        "nfe": 10 + k,
        "decodes": 3,
        "reward_calls": 4,
        "device_seconds": 0.5,
        "wall_seconds": 1.5,
        "shared_nfe": 4,
        "samples": [0.25, None],
        "noises": [
            {"seed": k, "moves": [], "to": None},
            None,
            {"seed": 1, "moves": [{"seed": 2, "radius": 0.25, "kind": None, "seeds": None, "values": None}], "to": 2},
        ],
        "image": b"\x89PNG" + bytes([k % 256]),
        "score_brightness": 0.1 * k,
        "score_sharpness": None,
        "device": "x86",
        "image_file": None,
        "error": None,
        "image_sha256": None,
        "recipe_hash": "0" * 32,
    }


def opened(folder: Path, **settings: Any) -> Store:
    """A store that holds a folder and flushes only when a test tells it to."""
    made = Store(folder, REWARDS, **{"flush_rows": 10**6, "flush_seconds": 10**6, **settings})
    made.open("d", MANIFEST)
    return made


def crash(dropped: Store) -> None:
    """Simulate the end of a process: nothing more is written, and the lock is free."""
    assert dropped._claim is not None
    dropped._claim.release()


def parts(folder: Path) -> list[Path]:
    """Finished parts."""
    return sorted((folder / "trials").glob("part-*.parquet"))


def stored(folder: Path) -> list[str]:
    """Identities in the finished parts, part by part."""
    return [key for part in parts(folder) for key in pq.read_table(part, columns=["trial"])["trial"].to_pylist()]
