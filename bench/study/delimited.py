"""CSV and TSV as spreadsheets and other programs write them."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tts.errors import SettingError


def rows(path: Path, text: str, delimiter: str, column: str | None) -> tuple[list[dict[str, Any]], list[int]]:
    """Rows of a table by its header, and the line that each ends in, from 1.

    Args:
        path: where it is from, for messages.
        text: the table.
        delimiter: the usual one of such a file; semicolons, tabs and commas are tried where it splits nothing.
        column: a column that is known to be there.

    Raises:
        ValueError: a row has more cells than the header, or quotation marks are not closed.
        SettingError: the first line may be a header or a prompt.
    """
    cells, lines = _cells(text, delimiter)
    if cells and len(cells[0]) == 1:
        cells, lines = _by_another_delimiter(text, delimiter) or (cells, lines)
    if not cells:
        return [], []
    header, first = cells[0], 1
    if len(header) == 1 and column != header[0] and len(header[0].split()) > 1:
        if len(header[0].split()) == 2:
            raise SettingError(
                f"problems.conditions: '{header[0]}', the first line of {path}, may be its header or a prompt; "
                "set column to it, or begin with a line 'prompt'"
            )
        header, first = ["prompt"], 0  # a sentence is no header
    _refuse_ragged(cells, lines, len(header))
    kept = [(row, line) for row, line in zip(cells[first:], lines[first:], strict=True) if any(row)]
    padded = [[*row, *[""] * (len(header) - len(row))] for row, _ in kept]
    return [dict(zip(header, row, strict=True)) for row in padded], [line for _, line in kept]


def _refuse_ragged(cells: list[list[str]], lines: list[int], width: int) -> None:
    for row, line in zip(cells, lines, strict=True):
        if len(row) > width:
            raise ValueError(f"line {line} has {len(row)} columns, and the first {width}")


def _cells(text: str, delimiter: str) -> tuple[list[list[str]], list[int]]:
    """The cells of each line, and the lines' numbers.

    Quotation marks of a table with tabs belong to the prompts, as PartiPrompts is published, unless a program that
    puts cells into quotation marks would have written the very same.
    """
    if delimiter == "\t" and not _is_quoted(text):
        return _split(text, delimiter=delimiter, quoting=csv.QUOTE_NONE)
    return _split(text, delimiter=delimiter)


def _split(text: str, **dialect: Any) -> tuple[list[list[str]], list[int]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, **dialect)
    found = [(row, reader.line_num) for row in reader]
    return [row for row, _ in found], [line for _, line in found]


def _is_quoted(text: str) -> bool:
    try:
        rows, _ = _split(text, delimiter="\t")
    except csv.Error:
        return False
    plain = text.replace("\r\n", "\n").rstrip("\n")
    return any(_rewritten(rows, quoting).replace("\r\n", "\n").rstrip("\n") == plain for quoting in QUOTINGS)


QUOTINGS = (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)


def _rewritten(rows: Iterable[Sequence[str]], quoting: int) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, delimiter="\t", quoting=quoting, lineterminator="\n").writerows(rows)  # type: ignore[arg-type]
    return out.getvalue()


def _by_another_delimiter(text: str, delimiter: str) -> tuple[list[list[str]], list[int]] | None:
    """The cells between semicolons or tabs, if these split the header and every other line alike."""
    for other in {";", "\t", ","} - {delimiter}:
        if other not in text.split("\n", 1)[0]:
            continue
        try:
            cells, lines = _cells(text, other)
        except csv.Error:
            continue
        if len({len(row) for row in cells if any(row)}) == 1:
            return cells, lines
    return None
