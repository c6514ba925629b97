"""Tables of prompts: lines of text, CSV, TSV, JSON, JSON lines and Parquet, as rows of named cells."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from bench.study import delimited
from tts.errors import DataError, SettingError, TTSError

Cell: TypeAlias = str | list[str] | None
"""A text, a plain value as a text, or several texts."""

Parsed: TypeAlias = tuple[list[dict[str, Any]], list[int]]
"""Rows of any values, and the line or row that each begins in, from 1."""

SUFFIXES = (".txt", ".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".parquet")
"""Suffixes of the files that are read from a folder."""

KNOWN = {"prompt", "prompts", "caption", "captions", "text", "texts"}
"""Columns by which a table is known in a file whose name does not say so."""


@dataclass(frozen=True)
class PromptTable:
    """What a file holds.

    Args:
        rows: by column; structures are flattened to ``outer.inner``.
        lines: where each row stands, from 1.
        unit: what ``lines`` counts: ``line`` or ``row``.
        texts: columns that hold texts, or lists of them.
        plain: columns of numbers, truth values and nothing; the others hold what cannot be a prompt (images, numbers).
    """

    rows: list[dict[str, Cell]]
    lines: list[int]
    unit: str
    texts: list[str]
    plain: list[str]
    others: list[str]

    @property
    def columns(self) -> list[str]:
        """All columns, those with texts first."""
        return [*self.texts, *self.plain, *self.others]


def read(path: Path, column: str | None = None) -> PromptTable:
    """The table that a file holds; its suffix, in either case, says in which form.

    Args:
        column: the column with the prompts, if it is named; tells the lists of a JSON document apart.

    Raises:
        DataError: it cannot be read, is not what its suffix says, or has no row.
        SettingError: its form cannot be told.
    """
    try:
        table = _folder(path, column) if path.is_dir() else _file(path, column)
    except TTSError:  # some are OSErrors or ValueErrors, too, and say more
        raise
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
    except (ValueError, RecursionError, csv.Error) as error:  # also: not UTF-8, not JSON, not Parquet
        raise DataError(f"{path}: is not a {path.suffix.lower() or 'text'} file in UTF-8 ({error})") from None
    if not table.rows:
        raise DataError(f"{path}: has no prompts")
    return table


def _file(path: Path, column: str | None) -> PromptTable:
    suffix = path.suffix.lower()
    if suffix == ".parquet":
        return _parquet(path)
    text = path.read_bytes().decode("utf-8-sig")
    return _table(_parsed(path, suffix, text, column), "row" if suffix == ".json" else "line")


def _folder(path: Path, column: str | None) -> PromptTable:
    """The tables of a folder's files as one; the column ``file`` has their names without suffix."""
    files = [file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES]
    if not files:
        raise DataError(f"{path}: the folder has no file of prompts ({', '.join(SUFFIXES)})")
    tables = [(file.stem, read(file, column)) for file in files]
    empty: dict[str, Cell] = dict.fromkeys(name for _, table in tables for name in table.columns)
    rows = [{**empty, **row, "file": name} for name, table in tables for row in table.rows]
    lines = [line for _, table in tables for line in table.lines]
    texts, plain, others = (
        list(dict.fromkeys(name for _, table in tables for name in getattr(table, kind)))
        for kind in ("texts", "plain", "others")
    )
    return PromptTable(rows, lines, "line", texts, [*plain, "file"], others)


def _parsed(path: Path, suffix: str, text: str, column: str | None) -> Parsed:
    if suffix == ".json":
        return _document(path, json.loads(text), column)
    if suffix in (".jsonl", ".ndjson"):
        return _json_lines(text)
    if suffix in (".csv", ".tsv"):
        return delimited.rows(path, text, "," if suffix == ".csv" else "\t", column)
    return _lines(path, text)


# Lines


def _lines(path: Path, text: str) -> Parsed:
    found = [(number, line.strip()) for number, line in enumerate(re.split(r"\r\n|\r|\n", text), 1)]
    kept = [(number, line) for number, line in found if line and not line.startswith("#")]
    form = _form([line for _, line in kept])
    if form is not None:
        raise SettingError(
            f"problems.conditions: {path} looks like {form}, and lines of text are read from it; name it so, or put "
            "each prompt on a line of its own"
        )
    return [{"prompt": line} for _, line in kept], [number for number, _ in kept]


def _form(lines: list[str]) -> str | None:
    """The other form that some lines of text look like."""
    first = lines[0] if lines else ""
    if first[:1] in ("[", "{") and (_is_json("\n".join(lines)) or _is_json(first)):
        return "JSON (.json, or .jsonl for one object a line)"
    for delimiter, name in (("\t", "a table with tabs (.tsv)"), (",", "a table (.csv)"), (";", "a table (.csv)")):
        cells = [cell.strip('" ').lower() for cell in first.split(delimiter)]
        if len(cells) > 1 and set(cells) & KNOWN and all(line.count(delimiter) for line in lines):
            return name
    return None


def _is_json(text: str) -> bool:
    try:
        return isinstance(json.loads(text), list | dict)
    except (ValueError, RecursionError):
        return False


# JSON


def _json_lines(text: str) -> Parsed:
    found = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    rows, lines = [json.loads(line) for _, line in found], [number for number, _ in found]
    if not all(isinstance(row, dict) for row in rows):
        raise ValueError("a line holds no object")
    return rows, lines


def _document(path: Path, found: Any, column: str | None) -> Parsed:
    if isinstance(found, dict):
        found = _one_list(path, found, column)
    if isinstance(found, list) and all(isinstance(entry, str) for entry in found):
        found = [{"prompt": entry} for entry in found]
    if not isinstance(found, list) or not all(isinstance(entry, dict) for entry in found):
        raise ValueError("neither a list of texts nor one of objects")
    return found, list(range(1, len(found) + 1))


def _one_list(path: Path, found: dict[str, Any], column: str | None) -> list[Any]:
    """The list of an object that has a column, or its only one."""
    lists = {name: value for name, value in found.items() if isinstance(value, list) and value}
    named = {name: value for name, value in lists.items() if column is None or column in _names(value)}
    if len(named) != 1:
        about = "; ".join(f"{name} ({', '.join(_names(value)) or 'texts'})" for name, value in lists.items())
        raise SettingError(
            f"problems.conditions: {path} is a JSON object, and column must name what is in one list of it; it has "
            f"{about or 'no list'}"
        )
    return next(iter(named.values()))


def _names(rows: list[Any]) -> list[str]:
    return list(_flat(rows[0])) if isinstance(rows[0], dict) else []


def _flat(value: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Objects inside objects, and lists of them, under ``outer.inner``."""
    flat: dict[str, Any] = {}
    for name, inner in value.items():
        if isinstance(inner, dict):
            flat |= _flat(inner, f"{prefix}{name}.")
        elif isinstance(inner, list) and inner and all(isinstance(entry, dict) for entry in inner):
            keys = dict.fromkeys(key for entry in inner for key in entry)
            flat |= {f"{prefix}{name}.{key}": [entry.get(key) for entry in inner] for key in keys}
        else:
            flat[f"{prefix}{name}"] = inner
    return flat


# Parquet


def _parquet(path: Path) -> PromptTable:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, partitioning=None)
        while any(pa.types.is_struct(kind) for kind in table.schema.types):
            table = table.flatten()
        binary = [name for name in table.column_names if _is_binary(table.schema.field(name).type)]
        rows = table.drop_columns(binary).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(str(error).splitlines()[0]) from None
    return _table((rows, list(range(1, len(rows) + 1))), "row", binary)


def _is_binary(kind: Any) -> bool:
    import pyarrow.types as types

    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))


# Cells


def _table(parsed: Parsed, unit: str, binary: Sequence[str] = ()) -> PromptTable:
    rows = [_flat(row) for row in parsed[0]]
    columns = dict.fromkeys(name for row in rows for name in row)
    kinds = {name: {_kind(row.get(name)) for row in rows} - {"none"} for name in columns}
    texts = [name for name, found in kinds.items() if "text" in found and not found & {"other"}]
    plain = [name for name, found in kinds.items() if found <= {"plain"}]
    others = [name for name in columns if name not in texts and name not in plain]
    cells = [{name: _cell(row.get(name)) for name in columns} for row in rows]
    return PromptTable(cells, parsed[1], unit, texts, plain, [*others, *binary])


def _kind(value: Any) -> str:
    if value is None or value == []:
        return "none"
    if isinstance(value, list):
        return "text" if all(isinstance(entry, str) for entry in value) else "other"
    return "text" if isinstance(value, str) else "plain"


def _cell(value: Any) -> Cell:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return value
    how: Callable[[Any], str] = str
    return json.dumps(value, default=how, ensure_ascii=False)


def whole(text: str) -> bool:
    """Whether a text has no half characters (lone surrogates), which no file can hold in UTF-8."""
    return not any("\ud800" <= character <= "\udfff" for character in text)
