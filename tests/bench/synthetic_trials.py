"""Made-up trials in the form in which the store reads them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

REWARDS = ("brightness", "class_probability", "compressibility")
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
EPS = {"N": 4, "eps": 0.4, "lambda": 0.15, "keep_best": True}
ZERO = {"N": 4, "eps": 0.0, "lambda": 0.15, "keep_best": True}

# search, settings, budget's name, its values, NFE at each value, gain at the last one
POINTS: tuple[tuple[str, dict[str, Any], str | None, tuple[int, ...], tuple[int, ...], float], ...] = (
    ("naive", {}, None, (0,), (35,), 0.0),
    ("best_of_n", {}, "N", (2, 4, 8, 16), (70, 140, 280, 560), 0.16),
    ("random", {}, "N", (2, 4, 8, 16), (61, 113, 217, 425), 0.24),
    ("beam", {"B": 2}, "N", (2, 4, 8), (122, 226, 434), 0.26),
    ("mcts", {"N": 4, "c": 1.414}, "S", (4, 8, 16), (960, 1890, 3750), 0.32),
    ("zero_order", ZERO, "K", (1, 2, 4, 8, 20), (113, 217, 425, 841, 2089), 0.2),
    ("eps_greedy", EPS, "K", (1, 2, 4, 8, 20), (113, 217, 425, 841, 2089), 0.42),
)


def trial(**given: Any) -> dict[str, Any]:
    """A trial; defaults are those of naive sampling."""
    row = {
        "search": "naive",
        "settings": {},
        "budget": None,
        "budget_value": None,
        "condition": 3,
        "label": "cat",
        "seed": 0,
        "reward": "brightness",
        "value": 0.5,
        "nfe": 35,
        "decodes": 1,
        "reward_calls": 1,
        "device_seconds": 0.5,
        "noises": [[1, 2]],
        "image": None,
        **given,
    }
    row |= {
        "settings": json.dumps(row["settings"], sort_keys=True),
        "condition": json.dumps(row["condition"]),
    }
    identity = [row[name] for name in ("search", "settings", "condition", "seed", "reward")]
    return {"trial": hashlib.sha256(repr(identity).encode()).hexdigest(), **row}


def cell(table: pd.DataFrame, **wanted: Any) -> pd.Series[Any]:
    """The one row that has these values."""
    for name, value in wanted.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]


def naive(values: Sequence[float | None], **given: Any) -> pd.DataFrame:
    """One trial per condition, with these values."""
    return pd.DataFrame([trial(condition=k, value=value, **given) for k, value in enumerate(values)])


def trials(problems: int = 12, rewards: tuple[str, ...] = REWARDS, images: bool = False) -> pd.DataFrame:
    """A whole run: all searches and budgets on every problem."""
    return pd.DataFrame(
        [
            trial(
                search=search,
                settings={**settings, **({budget: value} if budget else {})},
                budget=budget,
                budget_value=float(value) if budget else None,
                **_outcome(problem, reward, gain * (place + 1) / len(values), images),
                nfe=nfe,
            )
            for search, settings, budget, values, costs, gain in POINTS
            for place, (value, nfe) in enumerate(zip(values, costs, strict=True))
            for reward in rewards
            for problem in range(problems)
        ]
    )


def png(generator: np.random.Generator, level: float, size: int = 32) -> bytes:
    """A smooth random picture of a mean brightness."""
    coarse = generator.uniform(0, 1, (5, 5, 3)) * 0.6 + level - 0.3
    picture = Image.fromarray((coarse.clip(0, 1) * 255).astype(np.uint8)).resize((size, size), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def _outcome(problem: int, reward: str, gain: float, images: bool) -> dict[str, Any]:
    generator = np.random.default_rng([problem, REWARDS.index(reward), int(1000 * gain)])
    base = 0.35 + 0.1 * REWARDS.index(reward) + 0.12 * np.random.default_rng(problem).standard_normal()
    value = float(np.clip(base + gain + 0.04 * generator.standard_normal(), 0, 1))
    condition = problem % len(LABELS)
    return {
        "condition": condition,
        "label": LABELS[condition],
        "seed": problem // len(LABELS),
        "reward": reward,
        "value": value,
        "image": png(generator, value) if images else None,
    }
