"""A run's configuration: typed, closed to unknown keys, checked before anything is started or written."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, field_validator, model_validator

from bench.study import yaml_values
from bench.study.engines import AUTO as AUTO
from bench.study.engines import Engines as Engines
from bench.study.protocol import Problems, Protocol, with_protocol
from bench.study.scorers import Scorers as Scorers
from bench.study.trust import texts
from tts.errors import SettingError
from tts.files.addresses import refuse_secrets, tidied
from tts.files.homes import expanded
from tts.settings import Settings, nearest, parse

CONFIGS = Path(__file__).parent / "configs"

SCHEMES = ("s3", "gs")
"""Object stores that a run can be written to."""


class RunConfig(Settings):
    """A run, as a YAML file describes it."""

    model: str | dict[str, Any] = Field(description="a name, or {name: ..., setting: value}")
    rewards: list[str | dict[str, Any]] = Field(
        min_length=1,
        description="searched on one by one; all score each image; names, or {name: ..., as: ..., setting: value}",
    )
    held_out: list[str | dict[str, Any]] = Field(
        [], description="rewards that score final images and are never searched on, to tell gain from reward hacking"
    )
    metrics: list[str | dict[str, Any]] = Field(
        [], description="metrics of sets of final images, whose features are stored; names, or {name: ..., as: ...}"
    )
    protocol: Protocol = Field(
        default_factory=Protocol, description="a published protocol's name, or {name: ..., repeats: ..., quote: ...}"
    )
    searches: list[str | dict[str, Any]] = Field(
        min_length=1, description="names, or {name: ..., setting: value, budget: {setting: [value, ...]}}"
    )
    compute: Literal["search", "more-steps"] = Field(
        "search",
        description="more-steps: also draw plain samples with the steps that each budget buys, in OUTPUT/more-steps",
    )
    problems: Problems = Field(default_factory=Problems, description="what to draw")
    engines: Engines = Field(default_factory=Engines, description="where to compute")
    scorers: Scorers | None = Field(
        None, description="separate processes for slow rewards; default: engines compute all rewards"
    )
    seed: int = Field(0, ge=0, description="seed of the whole run")
    images: bool | Literal["files"] = Field(
        True, description="store each trial's image: true: in its row; files: in images/TRIAL.png; false: nowhere"
    )
    trace: bool = Field(False, description="store every evaluation of every trial, in evaluations/part-*.parquet")
    sinks: list[str | dict[str, Any]] = Field(
        [], description="services that get the run's numbers: names, or {name: ..., setting: value}; change no result"
    )
    flush_seconds: float = Field(10.0, ge=0, description="seconds after which finished trials are stored at the latest")
    store_seconds: float = Field(
        600.0, ge=0, description="seconds for which writing to a full or unreachable store is retried"
    )
    max_errors: int = Field(10, ge=0, description="a run stops when more trials than this have failed")
    shard: str | None = Field(
        None, description="'I/N', from 0: only every N-th trial, for N runs side by side that share one output"
    )
    output: Path | str = Field(description="results folder, or s3://bucket/path, gs://bucket/path")

    @field_validator("output", mode="before")
    @classmethod
    def _folder(cls, value: object) -> object:
        if not isinstance(value, str | Path):
            raise ValueError("a folder's name is a text; put it into quotation marks, inside others on a command line")  # noqa: TRY004  (pydantic's)
        if isinstance(value, str) and "://" in value:
            if value.split("://")[0] not in SCHEMES:
                raise ValueError(f"a folder, or an address that begins with {' or '.join(f'{s}://' for s in SCHEMES)}")
            return tidied(value)
        return expanded(value) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _no_secrets(cls, values: object) -> object:
        """Refuse secrets, as the configuration goes into the manifest; prompts may hold any text."""
        if isinstance(values, dict):
            for key, value in values.items():
                for text in texts(value) if key != "problems" else ():
                    if "://" in text:
                        refuse_secrets(text, key)
        return values

    @model_validator(mode="before")
    @classmethod
    def _protocol(cls, values: object) -> object:
        return with_protocol(values) if isinstance(values, dict) else values

    @field_validator("shard")
    @classmethod
    def _shard(cls, value: str | None) -> str | None:
        if value is not None:
            parts = value.split("/")
            if len(parts) != 2 or not all(part.isdecimal() for part in parts) or int(parts[0]) >= int(parts[1]):
                raise ValueError("expected I/N with 0 <= I < N, for example 0/8")
        return value

    @model_validator(mode="after")
    def _enough_seeds(self) -> RunConfig:
        if self.protocol.repeats > self.problems.last_seed + 1:
            raise ValueError(f"protocol.repeats: {self.protocol.repeats} sets need as many seeds of each condition")
        return self

    @model_validator(mode="after")
    def _gpus_of_scorers(self) -> RunConfig:
        if self.scorers is not None and self.scorers.gpus and self.engines.backend == "local":
            raise ValueError("scorers.gpus: scorers with GPUs of their own need engines.backend: ray")
        return self

    @property
    def part(self) -> tuple[int, int]:
        """This run's shard and how many there are."""
        first, _, number = (self.shard or "0/1").partition("/")
        return int(first), int(number)


def load(source: str, overrides: list[str] | None = None) -> RunConfig:
    """A configuration from a file, or by the name of one that ships with the package.

    Args:
        source: path of a YAML file, or for example ``quickstart``.
        overrides: ``key=value`` with dots into nested settings and values in YAML, for example ``engines.count=4``.

    Raises:
        SettingError: no such file, no YAML, an unknown key or an unusable value, or a cluster for local engines.
    """
    values = read_yaml(find(source))
    for override in overrides or []:
        _override(values, override)
    config = parse(RunConfig, values, source)
    if config.engines.backend == "local" and config.engines.address != "local":
        raise SettingError(
            f"{source}: engines.address = {config.engines.address}: engines.backend is local, which joins no cluster; "
            "set engines.backend=ray, or engines.address=local"
        )
    return config


def find(source: str) -> Path:
    """The file that a configuration's path or name means."""
    shipped = {path.stem: path for path in CONFIGS.glob("*.yaml")}
    if source in shipped:
        return shipped[source]
    path = Path(source)
    try:
        missing = path.is_dir() or not path.exists()  # a pipe is as good as a file
    except OSError:  # whoever opens it learns why
        missing = False
    if missing:
        raise SettingError(
            f"configuration '{source}': no such file or shipped configuration; {nearest(source, shipped)}"
        )
    return path


def read_yaml(path: Path) -> dict[str, Any]:
    """A mapping from a YAML file."""
    try:
        with path.open("rb") as file:  # it may be a pipe
            values = yaml_values.load(file.read(yaml_values.MOST_BYTES + 1))
    except OSError as error:
        raise SettingError(f"configuration {path}: cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: a date that does not exist
        raise SettingError(f"configuration {path}: not YAML ({' '.join(str(error).split())})") from None
    if not isinstance(values, dict):
        raise SettingError(f"configuration {path}: expected 'key: value' lines")
    return values


def assignments(pairs: list[str]) -> dict[str, Any]:
    """Settings from ``key=value`` texts, with values in YAML."""
    values: dict[str, Any] = {}
    for pair in pairs:
        _override(values, pair)
    return values


def _override(values: dict[str, Any], override: str) -> None:
    """Apply one ``key=value``; the nested mappings on its way are made where they are missing."""
    key, equals, text = override.partition("=")
    if not equals:
        raise SettingError(f"--set {override}: expected key=value")
    *path, last = key.strip().split(".")
    for depth, part in enumerate(path, 1):
        if part == "model" and isinstance(values.get(part), str):  # a bare name is short for {name: ...}
            values[part] = {"name": values[part]}
        values = values.setdefault(part, {})
        if not isinstance(values, dict):
            place = ".".join(path[:depth])
            raise SettingError(f"--set {override}: '{place}' holds no settings; replace it whole: --set {place}=...")
    try:
        values[last] = yaml_values.load(text)
    except yaml.MarkedYAMLError:
        raise SettingError(f"--set {override}: '{text}' is not a YAML value") from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingError(f"--set {override}: '{text}' is not a YAML value ({error})") from None


def with_batch(config: RunConfig, batch: int) -> RunConfig:
    """The configuration with another batch."""
    return config.model_copy(update={"engines": config.engines.model_copy(update={"batch": batch})})


def with_some_batch(config: RunConfig, batch: int = 8) -> RunConfig:
    """The configuration, with this batch if its own is still to be measured; for what does not depend on it."""
    return with_batch(config, batch) if config.engines.batch == AUTO else config
