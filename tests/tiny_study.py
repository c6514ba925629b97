"""A study small enough to run in seconds: four steps, two problems, every search."""

from __future__ import annotations

from typing import Any

SEARCHES: list[Any] = [
    "naive",
    {"name": "best_of_n", "budget": {"N": [2, 3]}},
    {"name": "random", "N": 3},
    {"name": "beam", "B": 2, "budget": {"N": [2]}},
    {"name": "mcts", "N": 2, "budget": {"S": [1, 3]}},
    {"name": "zero_order", "N": 2, "budget": {"K": [2]}},
    {"name": "eps_greedy", "N": 2, "budget": {"K": [2]}},
]

TINY: dict[str, Any] = {
    "model": {"name": "cifar10", "sampler": {"steps": 4}},
    "rewards": ["brightness", "compressibility", "class_probability"],
    "searches": SEARCHES,
    "problems": {"conditions": [0, "cat"], "seeds": 1},
    "engines": {"backend": "local", "batch": 8, "threads": 1},
}
