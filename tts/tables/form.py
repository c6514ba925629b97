"""The form of a table of rewards: one row for each (problem, candidate, step), and a header in the metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from tts.plan import Plan

if TYPE_CHECKING:
    import pyarrow as pa

VERSION = 1
HEADER = b"reward_table"
"""Key of the header in the schema's metadata."""

REWARD = "reward_"
"""Prefix of the columns of rewards."""

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("problem", "int32", "index of the problem, from 0"),
    ("condition", "string", "class index or prompt, JSON"),
    ("label", "string", "the condition's name"),
    ("seed", "int64", "index of the problem's seed"),
    ("problem_seed", "int64", "names all randomness of the problem"),
    ("candidate", "int32", "index of the problem's trajectory, from 0; each has its own noises"),
    ("step", "int32", "steps done; 0: at the initial noise, if the sampler predicts there"),
    ("image_sha256", "string", "SHA-256 of the final image's pixels; null: before the last step"),
)
"""Name, type and meaning of the columns; each reward also has ``reward_<name>``, float64."""

REWARD_MEANING = (
    "reward of the image predicted after this step, or of the final image; null: could not be scored, or (before the "
    "last step) a held-out reward"
)

MOST_STEPS = 10_000
MOST_CANDIDATES = 1 << 20

Count = Annotated[int, Field(ge=0, le=1 << 40)]
Level = Annotated[float, Field(ge=0, le=1e12)]


class _Form(BaseModel):
    """Data of unknown origin; unknown entries, as of later versions, are allowed."""

    model_config = ConfigDict(extra="ignore", allow_inf_nan=False, frozen=True)


class PlanForm(_Form):
    """The sampler's steps, in the form of :class:`tts.plan.Plan`."""

    nfe_per_step: tuple[Count, ...] = Field(min_length=1, max_length=MOST_STEPS)
    injects: tuple[bool, ...]
    initial_nfe: Count = 0
    levels: tuple[Level, ...] = ()
    back: Count = 0
    leaps: tuple[Count, ...] = ()
    forgets_start: bool = False

    @model_validator(mode="after")
    def _fits(self) -> PlanForm:
        steps = len(self.nfe_per_step)
        if len(self.injects) != steps or len(self.leaps) not in (0, steps) or len(self.levels) not in (0, steps + 1):
            raise ValueError("injects, leaps and levels must be of as many steps as nfe_per_step")
        if not self.initial_nfe + sum(self.nfe_per_step):
            raise ValueError("a trajectory must take a denoiser forward")
        return self

    def plan(self) -> Plan:
        """The plan."""
        return Plan(**dict(self))


class RewardForm(_Form):
    """A reward that the table holds.

    Args:
        name: name of the plug-in.
        settings: its settings, in the form of a configuration with all defaults.
        identity: everything that changes its values, with the digests of its weights.
        predicted: whether every step's image was scored; False: only the final one, as for a held-out reward.
    """

    name: str
    settings: dict[str, Any]
    identity: dict[str, Any]
    predicted: bool


class HeaderForm(_Form):
    """The origin of a table.

    Args:
        version: version of this form.
        model: name and identity of the model, with the digests of its weights and all settings of its sampler.
        rewards: rewards by the names that searches use.
        plan: the sampler's steps.
        numerics: batch, threads and device of the engines.
        seed: seed of the recording run; a study on the table needs the same.
        candidates: number of trajectories of each problem.
        devices: devices of the recording run.
        flops: FLOPs of one denoiser forward of one image; None: unknown.
        versions, git: packages and commit of the recording run.
    """

    version: Literal[1]
    model: dict[str, Any]
    rewards: dict[str, RewardForm] = Field(min_length=1)
    plan: PlanForm
    numerics: dict[str, Any]
    seed: int = Field(ge=0)
    candidates: int = Field(ge=1, le=MOST_CANDIDATES)
    devices: list[str] = []
    flops: Level | None = None
    versions: dict[str, str] = {}
    git: dict[str, Any] | None = None

    @field_validator("rewards")
    @classmethod
    def _names(cls, value: dict[str, RewardForm]) -> dict[str, RewardForm]:
        wrong = next((name for name in value if not name.isidentifier()), None)
        if wrong is not None:
            raise ValueError(f"{wrong[:100]!r} is no name of a reward")
        return value


def schema(header: HeaderForm) -> pa.Schema:
    """The columns, documented, and the header."""
    import pyarrow as pa

    rewards = [(f"{REWARD}{name}", "float64", f"{name} {REWARD_MEANING}") for name in header.rewards]
    fields = [
        pa.field(name, pa.type_for_alias(kind), metadata={"doc": meaning})
        for name, kind, meaning in (*COLUMNS, *rewards)
    ]
    return pa.schema(fields, metadata={HEADER: header.model_dump_json().encode()})
