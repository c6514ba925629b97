"""How a search looks in every plot: name, colour and marker."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace

INK, FAINT, EDGE, MISSING = "#222222", "#777777", "#d4d4d4", "#ececec"


@dataclass(frozen=True)
class CurveStyle:
    """How a curve is drawn.

    Args:
        name: for people.
        colour: ``#rrggbb``.
        marker, line: as matplotlib names them.
        filled: whether the markers are.
    """

    name: str
    colour: str
    marker: str
    line: str = "-"
    filled: bool = True


# Okabe and Ito's palette (2008), which stays apart under every common colour blindness; without its yellow,
# which does not show on white. The order is that of legends and rows, the simplest search first.
LOOKS = {
    "naive": CurveStyle("naive", "#333333", "D"),
    "best_of_n": CurveStyle("best of N", "#0072b2", "o"),
    "random": CurveStyle("per-step random", "#56b4e9", "v"),
    "beam": CurveStyle("beam", "#009e73", "s"),
    "mcts": CurveStyle("MCTS", "#cc79a7", "P"),
    "zero_order": CurveStyle("zero-order", "#e69f00", "^"),
    "eps_greedy": CurveStyle("ε-greedy", "#d55e00", "*"),
    "fk": CurveStyle("FK steering", "#5c4d9e", "p"),
}
OTHERS = (
    ("#7f5539", "X"),
    ("#6a3d9a", "p"),
    ("#808000", "h"),
    ("#8b1e3f", "<"),
    ("#1b6e6e", ">"),
    ("#7a7a7a", "d"),
)
LINES = ("-", "--", ":", "-.")
SYMBOLS = {"eps": "ε", "lambda": "λ"}


def look(search: str) -> CurveStyle:
    """The look of a search; that of another package's search follows from its name, so it never changes."""
    if search in LOOKS:
        return LOOKS[search]
    colour, marker = OTHERS[zlib.crc32(search.encode()) % len(OTHERS)]
    return CurveStyle(search, colour, marker)


def rank(search: str) -> tuple[int, str]:
    """Sorts searches as people expect them; unknown ones come last, by name."""
    return (list(LOOKS).index(search) if search in LOOKS else len(LOOKS), search)


def curve_styles(curves: list[tuple[str, str]]) -> dict[str, CurveStyle]:
    """The looks of curves, sorted for a legend; a search's second curve is dashed with hollow markers.

    Args:
        curves: (search, label) pairs.
    """
    looks: dict[str, CurveStyle] = {}
    seen: dict[str, int] = {}
    for search, label in sorted(set(curves), key=lambda curve: (rank(curve[0]), curve[1])):
        place = seen[search] = seen.get(search, -1) + 1
        name = " ".join([look(search).name, *map(_symbol, label.removeprefix(search).split())])
        looks[label] = replace(look(search), name=name, line=LINES[place % len(LINES)], filled=place == 0)
    return looks


def _symbol(setting: str) -> str:
    """``λ=0.3`` for ``lambda=0.3``."""
    name, equals, value = setting.partition("=")
    return f"{SYMBOLS.get(name, name)}{equals}{value}"
