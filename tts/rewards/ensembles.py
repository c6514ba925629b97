"""Rewards made of rewards: weighted sums, and averages of ranks (Ma et al. 2025, arXiv 2501.09732, Sec. 3.2)."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from tts.errors import DataError, SettingError
from tts.files.homes import expanded
from tts.models.base import ModelSettings
from tts.plan import Condition
from tts.registry import REWARDS
from tts.rewards.base import Caption, Reward, RewardSettings, Score, score_at
from tts.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

Given = str | dict[str, Any]


class EnsembleSettings(RewardSettings):
    """Base of ensembles of rewards: checks and loads all members."""

    @property
    @abstractmethod
    def given(self) -> list[Given]:
        """The members as a configuration writes them."""

    @cached_property
    def members(self) -> list[tuple[str, RewardSettings]]:
        """Names and settings of the members."""
        return [REWARDS.make(given) for given in self.given]

    def check(self) -> None:
        """Check every member."""
        for _, member in self.members:
            member.check()

    def suits(self, model: ModelSettings) -> None:
        """Refuse a model whose images a member cannot judge."""
        for _, member in self.members:
            member.suits(model)

    def notes(self, conditions: Sequence[Condition], caption: Caption = str) -> list[str]:
        """The members' notes, with the members' names."""
        found = [(name, member.notes(conditions, caption)) for name, member in self.members]
        return [f"{name}: {note}" for name, notes in found for note in notes]

    def identity(self) -> dict[str, Any]:
        """Names and identities of the members."""
        pairs = zip(self.given, self.members, strict=True)
        return {"of": [[name, REWARDS.identified(given, member.identity())] for given, (name, member) in pairs]}

    def loaded(self, device: str, caption: Caption) -> list[Reward]:
        """The members, ready to score."""
        return [member.load(device, caption) for _, member in self.members]


class Part(Settings):
    """A member of a weighted sum."""

    reward: Given = Field(description="a name, or {name: ..., setting: value}")
    weight: float = Field(1.0, description="factor of its value; negative: lower is better")


class Weighted(EnsembleSettings):
    """A weighted sum of rewards; an image that any member cannot score has no value."""

    of: list[Part] = Field(min_length=1, description="list of {reward: ..., weight: ...}")

    @property
    def given(self) -> list[Given]:
        return [part.reward for part in self.of]

    def identity(self) -> dict[str, Any]:
        """The members' identities and weights."""
        return {**super().identity(), "weights": [part.weight for part in self.of]}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The members and their weighted sum, ready to score."""
        weights = [part.weight for part in self.of]
        return Combined(self.loaded(device, caption), [_times(weight) for weight in weights])


class RankAverage(EnsembleSettings):
    """The mean over rewards of an image's rank (0 to 1) among a reference run's values, whatever their scales.

    A rank among the images of a batch would depend on that batch; a rank in a fixed sample depends on the image only.
    Outside the sample's range, ranks continue linearly below 0 and above 1, so that a search can still improve.
    """

    of: list[Given] = Field(min_length=1, description="names, or {name: ..., setting: value}")
    reference: Path = Field(description="folder of a run that scored these rewards; its naive trials are the sample")

    @property
    def given(self) -> list[Given]:
        return self.of

    def check(self) -> None:
        """Check the members, and read the sample."""
        super().check()
        self._ranks()

    def identity(self) -> dict[str, Any]:
        """The members' identities and the digest of the sample, not its path."""
        digest = hashlib.sha256(b"".join(sample.tobytes() for sample in self._samples())).hexdigest()
        return {**super().identity(), "reference": digest}

    def load(self, device: str = "cpu", caption: Caption = str) -> Reward:
        """The members and the mean of their ranks, ready to score."""
        ranks = self._ranks()
        return Combined(self.loaded(device, caption), [_shared(rank, len(ranks)) for rank in ranks])

    def _ranks(self) -> list[Callable[[float], float]]:
        return [_rank(sample) for sample in self._samples()]

    def _samples(self) -> list[NDArray[np.float64]]:
        """Each member's values in the reference run, sorted."""
        samples = [_sample(expanded(self.reference), name) for name, _ in self.members]
        for (name, _), sample in zip(self.members, samples, strict=True):
            if len(np.unique(sample)) < 2:
                raise SettingError(f"reference {self.reference}: has fewer than two different values of {name}")
        return samples


class Combined:
    """A sum of functions of rewards. Members that score on the host get images in host memory."""

    def __init__(self, members: list[Reward], parts: list[Callable[[float], float]]) -> None:
        self.members, self.parts = members, parts
        self.host = all(member.host for member in members)
        self.waits = any(getattr(member, "waits", False) for member in members)
        self.levelled = any(getattr(member, "levelled", False) for member in members)

    def score(self, images: Tensor, conditions: Sequence[Condition], levels: Sequence[float] = ()) -> list[Score]:
        """For each image, the sum over members; None where a member cannot score it."""
        columns = [
            score_at(member, images.cpu() if member.host else images, conditions, levels) for member in self.members
        ]
        return [self._sum(row) for row in zip(*columns, strict=True)]

    def close(self) -> None:
        """Stop the members that wait for a service."""
        for member in self.members:
            getattr(member, "close", lambda: None)()

    def _sum(self, row: Sequence[Score]) -> Score:
        values = [value for value in row if value is not None]
        if len(values) < len(row):
            return None
        return sum(part(value) for part, value in zip(self.parts, values, strict=True))


def _times(weight: float) -> Callable[[float], float]:
    return lambda value: weight * value


def _shared(rank: Callable[[float], float], members: int) -> Callable[[float], float]:
    return lambda value: rank(value) / members


def _rank(sample: NDArray[np.float64]) -> Callable[[float], float]:
    """Rank function of a sorted sample: equal values share their middle rank; between values it is linear."""
    values, first, counts = np.unique(sample, return_index=True, return_counts=True)
    ranks = (first + (counts - 1) / 2) / (len(sample) - 1)
    low, high = float(values[0]), float(values[-1])

    def rank(value: float) -> float:
        if low <= value <= high:
            return float(np.interp(value, values, ranks))
        end, at = (high, ranks[-1]) if value > high else (low, ranks[0])
        return float(at + (value - end) / (high - low))

    return rank


def _sample(run: Path, reward: str) -> NDArray[np.float64]:
    """Sorted values of a reward in a run: of its naive trials, or of all trials if it has no naive ones."""
    import pyarrow.dataset as ds

    with _readable(run):
        table = ds.dataset(run / "trials", format="parquet", exclude_invalid_files=False)
    name = f"score_{reward}"
    if name not in table.schema.names:
        raise SettingError(f"reference {run}: has not scored {reward}; run it with this reward (rewards or held_out)")
    with _readable(run):
        rows = table.to_table(columns=["search", name]).to_pandas()
        plain = rows[rows["search"] == "naive"]
        values = (plain if len(plain) else rows)[name].to_numpy(np.float64)
    return np.sort(values[np.isfinite(values)])


@contextmanager
def _readable(run: Path) -> Iterator[None]:
    """Context in which a damaged or foreign folder is told in one line."""
    from pyarrow import ArrowException

    try:
        yield
    except (OSError, ValueError, TypeError, ArrowException) as error:
        raise DataError(f"reference {run}: is not a run ({' '.join(str(error).split())[:160]})") from None
