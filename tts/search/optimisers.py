"""Optimisers with ask and tell, each behind the same two calls; other packages' are imported when one is used.

None of them may touch global randomness: a search's segments must not depend on what runs beside it.
"""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from tts.errors import SearchError
from tts.search.cross_entropy import CrossEntropy, Point
from tts.settings import nearest

EXTRA = "optimisers"
"""The extra of this package that brings what they need."""


class Optimiser(Protocol):
    """Minimises a loss over points of some dimension, N at a time."""

    def ask(self) -> list[Point]:
        """The next N points."""
        ...

    def tell(self, points: Sequence[Point], losses: Sequence[float]) -> None:
        """The losses of the points that were asked last."""
        ...


class Own:
    """The cross-entropy method, whose elites are the better half."""

    def __init__(self, dimension: int, size: int, coins: random.Random) -> None:
        self._law, self._size = CrossEntropy(dimension, coins), size

    def ask(self) -> list[Point]:
        """Draw N points from the Gaussian that it has learned."""
        return [self._law.draw() for _ in range(self._size)]

    def tell(self, points: Sequence[Point], losses: Sequence[float]) -> None:
        """Fit the Gaussian to the better half of the points."""
        order = sorted(range(len(points)), key=lambda k: losses[k])
        self._law.learn([points[k] for k in order[: max(1, len(points) // 2)]])


class Cma:
    """CMA-ES of the package ``cma``, around 0 with deviation 1; a batch is a generation."""

    def __init__(self, dimension: int, size: int, coins: random.Random) -> None:
        import numpy as np

        cma, draw = _package("cma"), np.random.default_rng(coins.getrandbits(63))

        def randn(*shape: int) -> Any:
            return draw.standard_normal(shape)

        options = {"popsize": max(2, size), "seed": np.nan, "randn": randn, "verbose": -9}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of small generations, which are meant to be small
            self._strategy = cma.CMAEvolutionStrategy([0.0] * dimension, 1.0, options)
        self._size, self._asked = size, list[Any]()

    def ask(self) -> list[Point]:
        """Draw a generation from CMA-ES and return its first N points."""
        self._asked = list(self._strategy.ask())
        return [tuple(map(float, point)) for point in self._asked[: self._size]]

    def tell(self, points: Sequence[Point], losses: Sequence[float]) -> None:
        """Update CMA-ES; a point of the generation that was not evaluated counts as worse than all others."""
        missing = len(self._asked) - len(losses)  # above 0 for a batch of one, where a generation has two
        self._strategy.tell(self._asked, [*losses, *[max(losses) + 1.0] * missing])


class Nevergrad:
    """An optimiser of nevergrad's registry, over an array that begins at the first noise."""

    def __init__(self, dimension: int, size: int, coins: random.Random, method: str, batches: int) -> None:
        import numpy as np

        nevergrad = _package("nevergrad")
        known = nevergrad.optimizers.registry
        if method not in known:
            raise SearchError(f"method = {method}: nevergrad has no such optimiser; {nearest(method, known)}")
        array = nevergrad.p.Array(init=[1.0, *[0.0] * (dimension - 1)])
        array.random_state = np.random.RandomState(coins.getrandbits(32))
        self._made, self._size = known[method](array, budget=size * batches, num_workers=size), size
        self._asked = list[Any]()

    def ask(self) -> list[Point]:
        """Ask for N candidates."""
        self._asked = [self._made.ask() for _ in range(self._size)]
        return [tuple(map(float, asked.value)) for asked in self._asked]

    def tell(self, points: Sequence[Point], losses: Sequence[float]) -> None:
        """Tell each candidate its loss."""
        for asked, loss in zip(self._asked, losses, strict=True):
            self._made.tell(asked, loss)


class Optuna:
    """A sampler of optuna's, over coordinates in [-3, 3]."""

    SAMPLERS = ("tpe", "random", "qmc")

    def __init__(self, dimension: int, size: int, coins: random.Random, method: str) -> None:
        optuna = _package("optuna")
        if method not in self.SAMPLERS:
            raise SearchError(f"method = {method}: no sampler of optuna's; {nearest(method, self.SAMPLERS)}")
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        made = {"tpe": "TPESampler", "random": "RandomSampler", "qmc": "QMCSampler"}[method]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # warnings of samplers that may change
            sampler = getattr(optuna.samplers, made)(seed=coins.getrandbits(32))
            self._study = optuna.create_study(sampler=sampler)
        self._names, self._size, self._asked = [f"w{k}" for k in range(dimension)], size, list[Any]()

    def ask(self) -> list[Point]:
        """Open N trials of a study and draw every coordinate from [-3, 3]."""
        self._asked = [self._study.ask() for _ in range(self._size)]
        return [tuple(trial.suggest_float(name, -3.0, 3.0) for name in self._names) for trial in self._asked]

    def tell(self, points: Sequence[Point], losses: Sequence[float]) -> None:
        """Close the trials with their losses."""
        for trial, loss in zip(self._asked, losses, strict=True):
            self._study.tell(trial, loss)


Maker: TypeAlias = Callable[[int, int, random.Random, str | None, int], Optimiser]
"""Makes an optimiser from dimension, points a batch, coins, method and number of batches."""

OPTIMISERS: dict[str, Maker] = {
    "own": lambda dimension, size, coins, method, batches: Own(dimension, size, coins),
    "cma": lambda dimension, size, coins, method, batches: Cma(dimension, size, coins),
    "nevergrad": lambda dimension, size, coins, method, batches: Nevergrad(
        dimension, size, coins, method or "TwoPointsDE", batches
    ),
    "optuna": lambda dimension, size, coins, method, batches: Optuna(dimension, size, coins, method or "tpe"),
}
"""By the names that settings use."""


def _package(name: str) -> Any:
    """Another package.

    Raises:
        SearchError: it is not there.
    """
    from importlib import import_module

    try:
        return import_module(name)
    except ImportError:
        raise SearchError(
            f"optimiser = {name}: needs the package {name}; pip install it, or this package with [{EXTRA}]"
        ) from None
