"""A recorded model, whose images' rewards stand in a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from pydantic import Field

from tts.errors import SettingError
from tts.models.base import ModelSettings
from tts.plan import Condition, Plan
from tts.rewards.base import RewardSettings
from tts.settings import canonical, nearest

if TYPE_CHECKING:
    from tts.tables.table import RewardTable

NO_IMAGES = "model table: it has rewards and no images; take the model that the table was made of"


class Table(ModelSettings):
    """A table of rewards in place of a model, to replay pruning and bandit policies in seconds, without weights.

    A trial gets the row that the model would have given it, without the image. A trial that asks for something that was
    not recorded fails with a message that names it. ``tts-bench tabulate`` makes tables.
    """

    recorded: ClassVar[bool] = True
    path: Path = Field(description="the table's Parquet file")

    @property
    def table(self) -> RewardTable:
        """The table, read once.

        Raises:
            TTSError: the file cannot be read, or is not a table.
        """
        from tts.tables.table import read

        return read(self.path)

    def plan(self) -> Plan:
        """The recorded sampler's steps."""
        return self.table.plan

    def condition(self, value: object) -> Condition:
        """A condition of the table, from the condition or its label."""
        table = self.table
        if isinstance(value, int | str) and not isinstance(value, bool) and str(value) in table.named:
            return table.named[str(value)]
        raise SettingError(
            f"model table: has no trajectory of {str(value)[:100]!r}; {nearest(value, table.labels.values())}"
        )

    def conditions(self) -> tuple[Condition, ...]:
        """The conditions for which the table has trajectories, in its order."""
        return tuple(self.table.labels)

    def label(self, condition: Condition) -> str:
        """The label that the recorded model gives to a condition."""
        return self.table.labels[condition]

    def judged(self, rewards: Mapping[str, RewardSettings], given: Mapping[str, Any], metrics: Iterable[str]) -> None:
        """Refuse rewards that are not recorded, settings that differ from the recorded ones, and all metrics."""
        if any(True for _ in metrics):
            raise SettingError(f"metrics: need images. {NO_IMAGES}, or leave metrics out")
        recorded = self.table.header.rewards
        for name, settings in rewards.items():
            if name not in recorded:
                raise SettingError(f"model table: holds no reward '{name}'; {nearest(name, recorded)}")
            asked = given[name] if isinstance(given[name], dict) else {"name": given[name]}
            if asked["name"] != recorded[name].name:
                raise SettingError(f"model table: reward {name} was recorded as {recorded[name].name}; name that")
            for key, value in settings.record().items():
                was = recorded[name].settings.get(key, value)  # addresses and files are not recorded
                if key in asked and canonical(value) != canonical(was):
                    raise SettingError(
                        f"model table: reward {name} was recorded with {key} = {was!r}; give that, or leave {key} out"
                    )

    def check(self) -> None:
        """Read the table; raises a ``TTSError`` if it cannot be read."""
        _ = self.table

    def identity(self) -> dict[str, Any]:
        """The file's digest, not its path; it covers the recorded model's and rewards' identities."""
        return {"table": self.table.digest}

    def load(self, device: str = "cpu") -> NoReturn:
        """Refused: there are no images to draw.

        Raises:
            SettingError: always.
        """
        raise SettingError(NO_IMAGES)
