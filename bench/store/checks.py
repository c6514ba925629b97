"""What a results folder says is data from anywhere: its form is checked before it is used."""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bench.store.plain import plain_values
from tts.errors import DataError

SCORE = "score_"
CONTROL = "[\x00-\x08\x0b-\x1f\x7f-\x9f]"
"""Characters that a terminal obeys."""

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


def check_columns(names: list[str], where: object) -> None:
    """Refuse columns of rewards whose names are no identifiers, since they become names of files.

    Raises:
        DataError: there is one.
    """
    for name in names:
        if name.startswith(SCORE) and not name.removeprefix(SCORE).isidentifier():
            raise DataError(f"{where}: a column holds a reward called {name[:100]!r}, which is no name")


def check_rows(trials: pd.DataFrame, where: object) -> pd.DataFrame:
    """Trials whose names can be trusted to be names, and whose texts can be printed.

    Args:
        trials: any of the columns of a run's trials.
        where: the run, for messages.

    Raises:
        DataError: a reward is no identifier, or settings are no JSON mapping.
    """
    check_columns(list(trials.columns), where)
    for name in trials["reward"].dropna().unique() if "reward" in trials else ():
        if not str(name).isidentifier():
            raise DataError(f"{where}: a row names the reward {str(name)[:100]!r}, which is no name")
    for text in trials["settings"].dropna().unique() if "settings" in trials else ():
        if not _is_mapping(str(text)):
            raise DataError(f"{where}: a row has the settings {str(text)[:100]!r}, which are no JSON mapping")
    columns = [name for name in ("search", "budget", "label", "error", "device") if name in trials]
    foul = [name for name in columns if trials[name].astype("string").str.contains(CONTROL, na=False).any()]
    return trials.assign(
        **{
            name: trials[name].astype("string").str.replace(CONTROL, "\ufffd", regex=True).astype(object)
            for name in foul
        }
    )


def _is_mapping(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
