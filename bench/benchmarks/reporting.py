"""Measure a report of a hundred thousand trials: its time, its memory, and the size of the page."""

from __future__ import annotations

import io
import json
import math
import multiprocessing
import time
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from PIL import Image

from bench.benchmarks.resume import peak
from bench.store import manifest
from bench.store.encoding import encoded
from bench.store.schema import TRACE, schema
from bench.store.storage import LocalStorage
from bench.study.config import RunConfig
from bench.study.entries import Entry
from bench.study.study import Study
from bench.study.trial import text
from tts.settings import parse

SEARCHES: list[Any] = [
    "naive",
    {"name": "best_of_n", "budget": {"N": [2, 4, 8, 16]}},
    {"name": "random", "budget": {"N": [2, 4, 8, 16]}},
    {"name": "beam", "B": 2, "budget": {"N": [2, 4, 8]}},
    {"name": "mcts", "N": 4, "budget": {"S": [1, 2, 4]}},
    {"name": "zero_order", "N": 4, "budget": {"K": [1, 2, 4, 8]}},
    {"name": "eps_greedy", "N": 4, "budget": {"K": [1, 2, 4, 8]}},
]
GAINS = {"best_of_n": 0.06, "random": 0.10, "beam": 0.11, "mcts": 0.07, "zero_order": 0.03, "eps_greedy": 0.09}
"""Gain in reward from each doubling of the compute."""

CONDITIONS, PICTURED, TRACED, SIDE = 10, 10, 20, 256


@dataclass(frozen=True)
class Reported:
    """The cost of a report.

    Args:
        trials: in the run.
        seconds: to write it, imports included.
        cpu_seconds: computing, of these.
        mebibytes: peak memory of the process.
        megabytes: size of the page.
        files: in the folder beside it.
    """

    trials: int
    seconds: float
    cpu_seconds: float
    mebibytes: float
    megabytes: float
    files: int


def report_of(trials: int = 100_000) -> Reported:
    """Make such a run, and report it in a process of its own."""
    with TemporaryDirectory() as folder:
        made = make(study(trials, Path(folder)))
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            seconds, computing, mebibytes, size, files = pool.apply(_report, (folder,))
    return Reported(made, seconds, computing, mebibytes, size / 1e6, files)


def _report(folder: str) -> tuple[float, float, float, int, int]:
    start, computing = time.perf_counter(), time.process_time()
    from bench.report.html.page import write_report  # its imports are part of its cost

    written = write_report([Path(folder)])
    return time.perf_counter() - start, time.process_time() - computing, peak(), written.size, written.files


def study(trials: int, output: Path, **changes: Any) -> Study:
    """A study of about so many trials."""
    values = {
        "model": "cifar10",
        "rewards": ["brightness", "compressibility", "class_probability"],
        "searches": SEARCHES,
        "problems": {"conditions": "all", "seeds": 1},
        "engines": {"backend": "local"},
        "output": str(output),
        **changes,
    }
    one = Study(parse(RunConfig, values, "benchmark"))
    seeds = max(1, round(trials / one.size))
    return Study(parse(RunConfig, {**values, "problems": {"conditions": "all", "seeds": seeds}}, "benchmark"))


def make(made: Study, side: int = SIDE) -> int:
    """A run with rewards that grow with the compute; its first problems have images, and a trace.

    Args:
        made: the study.
        side: of the images, in pixels.

    Returns:
        How many trials it has.
    """
    where = LocalStorage(Path(made.config.output))
    known = {"flops": 1.5e9, "levels": np.geomspace(80, 0.002, made.plan.steps + 1).tolist()}
    where.write("manifest.json", json.dumps({**manifest.build(made, ["none"]), **known}).encode())
    number = 0
    for part, (entry, reward) in enumerate(product(made.entries, made.searched)):
        rows = _rows(made, entry, reward, side)
        name = f"part-{part:05}.parquet"
        where.write(f"evaluations/{name}", encoded(pa.Table.from_pandas(_trace(rows, made.plan.steps), TRACE)))
        where.write(f"trials/{name}", encoded(pa.Table.from_pandas(rows, schema(made.rewards), preserve_index=False)))
        number += len(rows)
    return number


def _rows(made: Study, entry: Entry, reward: str, side: int) -> pd.DataFrame:
    """All trials of a point of a curve."""
    problems = pd.MultiIndex.from_product([range(made.config.problems.seeds), range(CONDITIONS)])
    seeds, conditions = (problems.get_level_values(level).to_numpy() for level in (0, 1))
    own = np.random.default_rng([made.entries.index(entry), made.searched.index(reward)])
    nfe = entry.algorithm.nfe(made.plan)
    gain = GAINS.get(entry.name, 0.0) * math.log2(nfe / made.plan.nfe())
    start = np.random.default_rng(0).normal(0.4, 0.1, len(problems)) + 0.02 * conditions
    scores = {
        f"score_{name}": start + gain * (1.0 if name == reward else -0.2) + own.normal(0, 0.05, len(problems))
        for name in made.rewards
    }
    budget = None if entry.budget is None else entry.algorithm.record()[entry.budget]
    pictures = [_picture(own, side) for _ in range(min(PICTURED, len(problems)))]
    return pd.DataFrame(
        {
            "trial": [f"{high:016x}{low:016x}" for high, low in own.integers(0, 2**63, (len(problems), 2))],
            "search": entry.name,
            "settings": entry.algorithm.text,
            "budget": entry.budget,
            "budget_value": None if budget is None else float(budget),
            "condition": [text(int(condition)) for condition in conditions],
            "label": [made.model.label(int(condition)) for condition in conditions],
            "seed": seeds,
            "problem_seed": seeds * CONDITIONS + conditions,
            "reward": reward,
            "value": scores[f"score_{reward}"],
            "nfe": nfe,
            "decodes": 1,
            "reward_calls": 1,
            "device_seconds": nfe * 0.004 * own.uniform(0.9, 1.1, len(problems)),
            "wall_seconds": nfe * 0.02 * own.uniform(0.9, 1.1, len(problems)),
            "shared_nfe": 0,
            "device": "none",
            "samples": list(own.normal(0.4, 0.1, (len(problems), int(budget or 1))))
            if entry.name == "best_of_n"
            else None,
            "noises": None,
            "image": pictures + [None] * (len(problems) - len(pictures)),
            "image_file": None,
            "error": None,
            "image_sha256": None,
            "recipe_hash": None,
            **scores,
        }
    )


def _trace(rows: pd.DataFrame, steps: int, candidates: int = 4) -> pd.DataFrame:
    """Evaluations of the first trials: at each step some candidates, of which the best is chosen."""
    traced = rows.head(TRACED)
    own = np.random.default_rng(len(rows))
    shape = (len(traced), steps, candidates)
    trial, step, candidate = (places.ravel() for places in np.indices(shape))
    rising = np.linspace(0.2, 1, steps)[None, :, None]
    rewards = traced["value"].to_numpy(float)[:, None, None] * rising + own.normal(0, 0.03, shape)
    chosen = rewards == rewards.max(axis=2, keepdims=True)
    return pd.DataFrame(
        {
            "trial": traced["trial"].to_numpy()[trial],
            "round": step.astype(np.int32),
            "candidate": candidate.astype(np.int32),
            "first": step.astype(np.int32),
            "stop": (step + 1).astype(np.int32),
            "kind": np.where(own.uniform(size=trial.size) < 0.6, "local", "global"),
            "noise": None,
            "reward": rewards.ravel(),
            "chosen": chosen.ravel(),
            "best": np.maximum.accumulate(rewards.reshape(len(traced), -1), axis=1).ravel(),
            "nfe": 2,
            "nfe_so_far": 2 * (step * candidates + candidate + 1),
        }
    )


def _picture(own: np.random.Generator, side: int) -> bytes:
    """A smooth random image with some grain, as a PNG file."""
    coarse = Image.fromarray(own.integers(0, 255, (6, 6, 3), dtype=np.uint8)).resize(
        (side, side), Image.Resampling.BICUBIC
    )
    grain = own.integers(0, 12, (side, side, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(np.asarray(coarse) // 2 + grain + 60).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
