"""What a run draws: lists, files of prompts, classes of ImageNet."""

from __future__ import annotations

import csv
import io
import json
import random
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import Field, StrictInt

from tts.errors import DataError, SettingError
from tts.models.base import ModelSettings, with_article
from tts.noise import derive_seed
from tts.settings import Settings, nearest, parse

T = TypeVar("T")

FORMATS = {
    "drawbench": {"Prompts", "Category"},
    "partiprompts": {"Prompt", "Category", "Challenge"},
    "geneval": {"prompt", "tag"},
}
"""Columns by which the published lists of prompts are known."""
PROMPTS = {"drawbench": "Prompts", "partiprompts": "Prompt", "geneval": "prompt"}
"""Which of their columns holds the prompts."""

Rows = list[dict[str, str]]


class Selection(Settings):
    """Which of the conditions to take; all, when left out."""

    first: int | None = Field(None, ge=1, description="only so many, from the beginning")
    sample: int | None = Field(None, ge=1, description="only so many, drawn once and for all, in their own order")
    sample_seed: int = Field(0, ge=0, description="another seed, another sample")

    def select(self, items: list[T]) -> list[T]:
        """Those taken.

        Raises:
            SettingError: there are fewer than asked for.
        """
        wanted = max(self.first or 0, self.sample or 0)
        if wanted > len(items):
            raise SettingError(f"problems.conditions: {wanted} are asked for, and there are {len(items)}")
        items = items[: self.first]
        if self.sample is None:
            return items
        if self.sample > len(items):
            raise SettingError(f"problems.conditions: sample = {self.sample} is more than first = {self.first}")
        draw = random.Random(derive_seed("sample", self.sample_seed))  # noqa: S311  (not for secrets)
        return [items[place] for place in sorted(draw.sample(range(len(items)), self.sample))]


class PromptFile(Selection):
    """Prompts from a file: lines of text, or a column of CSV, TSV, JSON lines or Parquet. Repeated ones count once."""

    file: Path = Field(description="path; without a suffix of a table, each line is a prompt, # begins a comment")
    column: str | None = Field(None, description="of a table; left out: the published lists' own, or the only one")
    format: Literal["drawbench", "partiprompts", "geneval"] | None = Field(
        None, description="published list that the file must be; left out: known by its columns"
    )
    where: dict[str, StrictInt | str | list[StrictInt | str]] = Field(
        {}, description="keep only rows with these values, {column: value or values}"
    )

    def conditions(self, model: ModelSettings) -> list[Any]:
        """The prompts.

        Raises:
            SettingError: a column or a value is not there.
            DataError: the file is not there, or not what its name says.
        """
        rows, lines = _read(self.file.expanduser())
        column = self._column(list(rows[0]))
        kept = [(line, row) for line, row in zip(lines, rows, strict=True) if self._keeps(row)]
        if not kept:
            raise SettingError(f"problems.conditions: no row of {self.file} has {self.where}")
        for line, row in kept:
            if not row[column].strip():
                raise DataError(f"{self.file}, line {line}: has no {column}")
        return self.select(list(dict.fromkeys(row[column].strip() for _, row in kept)))

    def _column(self, columns: list[str]) -> str:
        for name in [self.column, *self.where]:
            if name is not None and name not in columns:
                raise SettingError(f"problems.conditions: {self.file} has no column '{name}'; {nearest(name, columns)}")
        known = [name for name, needed in FORMATS.items() if needed <= set(columns)]
        if self.format is not None and self.format not in known:
            raise DataError(f"{self.file}: is no {self.format} list; its columns are {', '.join(columns)}")
        if self.column is not None:
            return self.column
        if known:
            return PROMPTS[self.format or known[0]]
        if len(columns) > 1:
            raise SettingError(f"problems.conditions: column is missing; {self.file} has {', '.join(columns)}")
        return columns[0]

    def _keeps(self, row: dict[str, str]) -> bool:
        wanted = {name: value if isinstance(value, list) else [value] for name, value in self.where.items()}
        return all(row[name] in map(str, values) for name, values in wanted.items())


class ImageNetClasses(Selection):
    """Classes of ImageNet: indices for a class-conditional model, texts of their names for one that draws prompts."""

    imagenet: Literal["all"] | list[StrictInt | str] = Field(description="all, or indices, names and ranges as '10-19'")
    template: str = Field("{a} {name}", description="prompt of a class; {name}, and {a} for 'a' or 'an'")

    def conditions(self, model: ModelSettings) -> list[Any]:
        """Class indices, or prompts.

        Raises:
            SettingError: no such class, a wrong template, or a model of other classes.
        """
        from tts import imagenet

        drawn = len(model.conditions())
        if drawn not in (0, imagenet.CLASSES):
            raise SettingError(f"problems.conditions: imagenet has {imagenet.CLASSES} classes, and the model {drawn}")
        chosen = self.select(imagenet.indices(self.imagenet))
        return list(chosen) if drawn else [self._prompt(imagenet.names()[place]) for place in chosen]

    def _prompt(self, name: str) -> str:
        try:
            return self.template.format(name=name, a=with_article(name).split(" ", 1)[0])
        except (KeyError, IndexError, ValueError) as error:
            raise SettingError(
                f"problems.conditions: template '{self.template}' may hold {{name}} and {{a}} only ({error})"
            ) from None


def resolve(given: dict[str, Any], model: ModelSettings) -> list[Any]:
    """The conditions that a mapping describes.

    Raises:
        SettingError: it describes none, or what it describes is not there.
        DataError: a file cannot be used.
    """
    kinds: dict[str, type[PromptFile] | type[ImageNetClasses]] = {"file": PromptFile, "imagenet": ImageNetClasses}
    found = [kind for key, kind in kinds.items() if key in given]
    if len(found) != 1:
        raise SettingError("problems.conditions: say where they are from: 'file: PATH' or 'imagenet: all'")
    return parse(found[0], given, "problems.conditions").conditions(model)


def _read(path: Path) -> tuple[Rows, list[int]]:
    """Rows of a file and the lines (of Parquet: rows) that they stand in, counted from 1.

    Raises:
        DataError: it cannot be read, or has no row.
    """
    try:
        if path.suffix == ".parquet":
            rows, lines = _parquet(path)
        else:
            text = path.read_bytes().decode("utf-8-sig")
            rows, lines = {".csv": _table, ".tsv": _tabs, ".jsonl": _json}.get(path.suffix, _lines)(text)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, csv.Error) as error:  # also: not UTF-8, not JSON, not Parquet
        raise DataError(f"{path}: is not a {path.suffix or 'text'} file in UTF-8 ({error})") from None
    if not rows:
        raise DataError(f"{path}: has no prompts")
    return rows, lines


def _lines(text: str) -> tuple[Rows, list[int]]:
    found = [(number, line.strip()) for number, line in enumerate(text.splitlines(), 1)]
    kept = [(number, line) for number, line in found if line and not line.startswith("#")]
    return [{"prompt": line} for _, line in kept], [number for number, _ in kept]


def _table(text: str, **dialect: Any) -> tuple[Rows, list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    header, rows, lines = next(reader, []), [], []
    for cells in reader:
        if len(cells) > len(header):
            raise ValueError(f"line {reader.line_num} has {len(cells)} columns, and the first {len(header)}")
        if any(cells):
            rows.append(dict(zip(header, [*cells, *[""] * (len(header) - len(cells))], strict=True)))
            lines.append(reader.line_num)
    return rows, lines


def _tabs(text: str) -> tuple[Rows, list[int]]:
    return _table(text, delimiter="\t", quoting=csv.QUOTE_NONE)  # quotation marks are part of the prompts there


def _json(text: str) -> tuple[Rows, list[int]]:
    found = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows, lines = [json.loads(line) for _, line in found], [number for number, _ in found]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line holds no object")
    columns = {name for row in rows for name in row}
    return [{name: _text(row.get(name, "")) for name in sorted(columns)} for row in rows], lines


def _parquet(path: Path) -> tuple[Rows, list[int]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    texts = [name for name, kind in zip(table.column_names, table.schema.types, strict=True) if _is_text(kind)]
    if not texts:
        raise ValueError("no column of it holds text")
    rows = [{name: _text(value) for name, value in row.items()} for row in table.select(texts).to_pylist()]
    return rows, list(range(1, len(rows) + 1))


def _is_text(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_string(kind) or types.is_large_string(kind))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else json.dumps(value)
