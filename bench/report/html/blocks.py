"""Blocks of a page: plain values, which the template turns into HTML (and escapes)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

Colours = tuple[str, str]
"""The same colour on white and on black, ``#rrggbb``."""


@dataclass(frozen=True)
class Tiles:
    """A few numbers in large type: (name, value)."""

    items: list[tuple[str, str]]
    kind: ClassVar[str] = "tiles"


@dataclass(frozen=True)
class Text:
    """A paragraph; style ``note`` or ``warning``."""

    text: str
    style: str = ""
    kind: ClassVar[str] = "text"


@dataclass(frozen=True)
class Sentences:
    """A list: what a sentence is about, and the sentence."""

    sentences: list[tuple[str, str]]
    kind: ClassVar[str] = "list"


@dataclass(frozen=True)
class Code:
    """Text as it is, behind a click unless ``open``."""

    caption: str
    text: str
    open: bool = False
    kind: ClassVar[str] = "code"


@dataclass(frozen=True)
class Chart:
    """Curves that answer to the pointer.

    Args:
        id: of the element.
        number: place of the data among those of the page.
        caption: what it shows.
        files: names of the same figure in the folder beside the page.
    """

    id: str
    number: int
    caption: str
    files: list[str] = field(default_factory=list)
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Column:
    """A table's column; align ``left``, ``right`` or, for long texts, ``wrap``."""

    name: str
    align: str = "left"
    help: str = ""


@dataclass(frozen=True)
class Cell:
    """A table's cell.

    Args:
        text: in it; ``note`` follows in small type, ``title`` appears under the pointer.
        strong: whether it is bold.
        heat: -1 to 1, how much colour is behind it, a warm one below 0; None: no heat table.
        colour: of a swatch before the text.
    """

    text: str
    note: str = ""
    title: str = ""
    strong: bool = False
    heat: float | None = None
    colour: Colours | None = None


@dataclass(frozen=True)
class Table:
    """Rows of cells below columns; ``folded``: behind a click."""

    caption: str
    columns: list[Column]
    rows: list[list[Cell]]
    files: list[str] = field(default_factory=list)
    style: str = ""
    folded: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Picture:
    """An image of a grid.

    Args:
        source: a data address; None: it is not stored.
        alt: what it is, in words.
        value: its reward, for people.
        gain: reward less the baseline's on the same problem; empty: unknown.
        better: whether that is positive.
        best: whether no search of the grid did better on the problem.
        pixelated: whether its few pixels are drawn as squares.
    """

    source: str | None
    alt: str
    value: str
    gain: str
    better: bool
    best: bool
    pixelated: bool


@dataclass(frozen=True)
class GridRow:
    """One search's images; None where it has no trial of a problem."""

    name: str
    detail: str
    colour: Colours
    pictures: list[Picture | None]


@dataclass(frozen=True)
class Grid:
    """Problems across, searches down."""

    caption: str
    problems: list[str]
    rows: list[GridRow]
    files: list[str] = field(default_factory=list)
    kind: ClassVar[str] = "grid"


Block = Tiles | Text | Sentences | Code | Chart | Table | Grid


@dataclass(frozen=True)
class Section:
    """A section of the page.

    Args:
        id: of the element.
        title: its heading; ``short``: its name in the bar at the top.
        blocks: what it holds; none: the section is absent.
        absent: why.
    """

    id: str
    title: str
    short: str
    blocks: list[Any]
    absent: str = ""


@dataclass(frozen=True)
class Part:
    """Sections of runs whose trials may be compared."""

    id: str
    name: str
    sections: list[Section]
