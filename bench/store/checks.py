"""What a results folder says is data from anywhere: its form is checked before it is used."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.store.plain import plain_values

M = TypeVar("M", bound=BaseModel)

Count = Annotated[int, Field(ge=0, le=1 << 62)]
Rate = Annotated[float, Field(ge=0, le=1e15)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="allow", allow_inf_nan=False)


class _Model(_Form):
    name: str


class _Resolved(_Form):
    model: _Model
    rewards: dict[str, Any] = {}
    numerics: dict[str, Any] = {}


class _Git(_Form):
    commit: str
    dirty: bool


class ManifestForm(_Form):
    """What commands need of a manifest, of whatever version."""

    digest: str
    config: dict[str, Any]
    resolved: _Resolved | None = None
    schema_version: int = 1
    trials: Count = 0
    devices: list[str] = []
    flops: Rate | None = None
    levels: list[float] = []
    versions: dict[str, Any] = {}
    git: _Git | None = None


class _Engine(_Form):
    engine: Count
    device: str | None
    host: str
    rows_per_second: Rate
    busy: float
    waiting: float = 0.0
    losses: Count


class StatusForm(_Form):
    """What ``tts-bench status`` needs of a status file."""

    state: str
    shard: str | None = Field(pattern=r"^\d{1,9}/\d{1,9}$")
    updated: Annotated[float, Field(ge=0, le=1e11)]
    done: Count
    failed: Count
    trials: Count
    nfe_per_second: Rate
    seconds_left: Annotated[float, Field(ge=0, le=1e11)] | None
    last_error: str
    sinks: dict[str, str] = {}
    engines: list[_Engine]


def parsed(content: bytes, form: type[M]) -> dict[str, Any]:
    """JSON of a form, its texts without control characters.

    Raises:
        ValueError: it is no JSON, or of another form; the message says where.
    """
    try:
        value = plain_values(json.loads(content))
        form.model_validate(value)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    assert isinstance(value, dict)  # a form is a mapping
    return value
