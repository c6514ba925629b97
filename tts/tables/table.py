"""Read and check tables of rewards, which are data of unknown origin."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from pydantic import ValidationError

from tts.errors import DataError, first_line
from tts.files.digests import sha256
from tts.noise import derive_seed
from tts.plan import Condition, Plan
from tts.search.base import INITIAL
from tts.tables.form import HEADER, REWARD, HeaderForm, schema

MOST_ROWS = 50_000_000
MOST_HEADER_BYTES = 1 << 24
DIGEST = re.compile("[0-9a-f]{64}")

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class TableProblem:
    """A problem for which a table has trajectories; :data:`tts.tables.form.COLUMNS` explains its fields."""

    condition: Condition
    label: str
    seed: int
    problem_seed: int


@dataclass(frozen=True)
class RewardTable:
    """A table in memory.

    Args:
        header: the origin of the table.
        digest: SHA-256 of the file.
        problems: the problems by their indices.
        values: values of each reward, ``[problems, candidates, steps + 1]`` float64; NaN where an image could not be
            scored or is missing.
        there: whether the table has a trajectory, ``[problems, candidates]``.
        images: SHA-256 of the pixels of final images, ``[problems, candidates]``; None: unknown.
    """

    header: HeaderForm
    digest: str
    problems: tuple[TableProblem, ...]
    values: dict[str, Values]
    there: NDArray[np.bool_]
    images: NDArray[np.object_]

    @property
    def plan(self) -> Plan:
        """The sampler's steps."""
        return self.header.plan.plan()

    @cached_property
    def labels(self) -> dict[Condition, str]:
        """The label of each condition, in the order of the problems."""
        return {problem.condition: problem.label for problem in self.problems}

    @cached_property
    def named(self) -> dict[str, Condition]:
        """Conditions by their text and by their label; if several share a name, the first counts."""
        found: dict[str, Condition] = {}
        for condition, label in self.labels.items():
            for name in (str(condition), label):
                found.setdefault(name, condition)
        return found

    def starts(self) -> dict[tuple[Condition, int], tuple[int, int]]:
        """Problem and candidate of each trajectory, by its condition and the seed of its initial noise."""
        return {
            (found.condition, derive_seed(found.problem_seed, "noise", INITIAL, candidate, 0)): (problem, candidate)
            for problem, found in enumerate(self.problems)
            for candidate in range(self.header.candidates)
            if self.there[problem, candidate]
        }


def read(path: Path) -> RewardTable:
    """Read and check a whole table; an unchanged file is read only once.

    Raises:
        DataError: the file is no table, or a damaged one; the message says what is wrong.
        WeightsError: the file is missing.
    """
    return _read(path, sha256(path, "model table: path"))


@lru_cache(maxsize=4)
def _read(path: Path, digest: str) -> RewardTable:
    where = f"model table: path {path}"
    try:
        file = pq.ParquetFile(path)
        header = _header(file.schema_arrow.metadata or {}, where)
        if file.metadata.num_rows > MOST_ROWS:
            raise DataError(f"{where}: has {file.metadata.num_rows} rows; at most {MOST_ROWS} are read")
        rows = _rows(file, header, where)
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{where}: is no Parquet file, or a damaged one ({first_line(error)})") from None
    return _table(header, digest, rows, where)


def _header(metadata: dict[bytes, bytes], where: str) -> HeaderForm:
    content = metadata.get(HEADER)
    if content is None or len(content) > MOST_HEADER_BYTES:
        raise DataError(f"{where}: is no table of rewards; tts-bench tabulate writes them")
    try:
        return HeaderForm.model_validate(json.loads(content))
    except ValidationError as error:
        first = error.errors()[0]
        raise DataError(f"{where}: its header is wrong in {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    except (ValueError, RecursionError):
        raise DataError(f"{where}: its header is no JSON") from None


def _rows(file: pq.ParquetFile, header: HeaderForm, where: str) -> pa.Table:
    """The known columns of a table, in their types; no others are read."""
    wanted = schema(header)
    missing = next((name for name in wanted.names if name not in file.schema_arrow.names), None)
    if missing is not None:
        raise DataError(f"{where}: has no column {missing}")
    twice = next((name for name in wanted.names if file.schema_arrow.names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"{where}: has several columns {twice}")
    try:
        rows = (
            file.read(wanted.names).select(wanted.names).cast(pa.schema([field.remove_metadata() for field in wanted]))
        )
    except pa.ArrowInvalid as error:
        raise DataError(f"{where}: a column is of another type ({first_line(error)})") from None
    rows.validate(full=True)  # Parquet may hold texts that are none
    for name in wanted.names:
        may_be_null = name == "image_sha256" or name.startswith(REWARD)
        if rows[name].null_count and not may_be_null:
            raise DataError(f"{where}: {name} is missing in a row")
        if name.startswith(REWARD) and not pc.all(pc.is_finite(rows[name]), min_count=0).as_py():
            raise DataError(f"{where}: {name} is no finite number in a row")
    return rows


def _table(header: HeaderForm, digest: str, rows: pa.Table, where: str) -> RewardTable:
    steps = len(header.plan.nfe_per_step)
    problem, candidate, step = (rows[name].to_numpy() for name in ("problem", "candidate", "step"))
    first = 0 if header.plan.plan().predicts(()) else 1
    bounds = ((problem, 0, len(rows)), (candidate, 0, header.candidates), (step, first, steps + 1))
    if not len(rows) or not all((low <= given).all() and (given < end).all() for given, low, end in bounds):
        raise DataError(f"{where}: a problem, candidate or step is out of range, or there is no row")
    problems = _problems(rows, problem, where)
    shape = (len(problems), header.candidates, steps + 1)
    if shape[0] * shape[1] * shape[2] > MOST_ROWS:
        raise DataError(f"{where}: {shape[0]} problems of {shape[1]} candidates are more than it can hold")
    counts = np.zeros(shape, np.int64)
    np.add.at(counts, (problem, candidate, step), 1)
    there = np.asarray(counts[:, :, first:].all(axis=2))
    if (counts > 1).any() or counts.sum() != there.sum() * (steps + 1 - first):
        raise DataError(f"{where}: a trajectory has a step twice, or lacks one")
    values = {name: np.full(shape, np.nan) for name in header.rewards}
    for name, found in values.items():
        found[problem, candidate, step] = rows[f"{REWARD}{name}"].to_numpy(zero_copy_only=False)
    images = np.full(shape[:2], None, dtype=object)
    last = step == steps
    images[problem[last], candidate[last]] = rows["image_sha256"].filter(pa.array(last)).to_pylist()
    if not all(each is None or DIGEST.fullmatch(each) for each in images.flat):
        raise DataError(f"{where}: image_sha256 is no SHA-256 in a row")
    return RewardTable(header, digest, problems, values, there, images)


def _problems(rows: pa.Table, indices: NDArray[Any], where: str) -> tuple[TableProblem, ...]:
    """The problems; all rows of a problem must agree on it."""
    names = ["problem", "condition", "label", "seed", "problem_seed"]
    found = rows.select(names).group_by(names).aggregate([]).sort_by("problem").to_pylist()
    if [row["problem"] for row in found] != list(range(len(found))) or int(indices.max()) >= len(found):
        raise DataError(f"{where}: its problems are not numbered from 0, or are told in two ways")
    problems = tuple(
        TableProblem(_condition(row["condition"], where), row["label"], row["seed"], row["problem_seed"])
        for row in found
    )
    if len({(each.condition, each.problem_seed) for each in problems}) != len(problems):
        raise DataError(f"{where}: a problem stands there twice")
    return problems


def _condition(text: str, where: str) -> Condition:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, str) or (type(value) is int and 0 <= value < 2**63):
        return value
    raise DataError(f"{where}: condition {text[:100]!r} is no JSON number or text")
