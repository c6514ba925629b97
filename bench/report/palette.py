"""Style of a search in every plot: name, colour and marker."""

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
        group: what kind of search it is; those of a kind have colours of one hue.
        filled: whether the markers are.
    """

    name: str
    colour: str
    marker: str
    group: str = "others"
    line: str = "-"
    filled: bool = True


SAMPLES, STEPWISE, TREES, PARTICLES = "whole samples", "step by step", "beams and trees", "particles"
TRAJECTORIES, INITIAL, BLACK_BOX = "noises of a trajectory", "initial noise", "black box"

# The first of each group has its hue from Okabe and Ito's palette (2008), which stays apart under every common colour
# blindness; without its yellow, which does not show on white. The order is that of legends and rows, the simplest
# search first. Within a group no two have the same marker.
LOOKS = {
    "naive": CurveStyle("naive", "#333333", "D", SAMPLES),
    "best_of_n": CurveStyle("best of N", "#0072b2", "o", SAMPLES),
    "pruned": CurveStyle("best of N, pruned", "#004e7c", "s", SAMPLES),
    "rank_ensemble": CurveStyle("rank ensemble", "#2b8cbe", "P", SAMPLES),
    "random": CurveStyle("per-step random", "#56b4e9", "v", STEPWISE),
    "rbf": CurveStyle("rollover budget", "#3d9bd6", "<", STEPWISE),
    "adaptive": CurveStyle("adaptive budget", "#1f84c4", ">", STEPWISE),
    "demon": CurveStyle("Demon", "#7f9fc9", "d", STEPWISE),
    "slope": CurveStyle("slope", "#2f5fa8", "*", STEPWISE),
    "beam": CurveStyle("beam", "#009e73", "s", TREES),
    "dsearch": CurveStyle("DSearch", "#4fbf9c", "p", TREES),
    "mcts": CurveStyle("MCTS", "#cc79a7", "P", TREES),
    "dts": CurveStyle("diffusion tree", "#a5527f", "h", TREES),
    "dfs": CurveStyle("depth first", "#007a58", "8", TREES),
    "fk": CurveStyle("FK steering", "#a61c3c", "o", PARTICLES),
    "zero_order": CurveStyle("zero-order", "#e69f00", "^", TRAJECTORIES),
    "eps_greedy": CurveStyle("ε-greedy", "#d55e00", "*", TRAJECTORIES),
    "zero_order_initial": CurveStyle("zero-order, initial noise", "#b07d00", "^", INITIAL),
    "paths": CurveStyle("search over paths", "#8f6a14", "X", INITIAL),
    "evosearch": CurveStyle("EvoSearch", "#c98a3a", "p", INITIAL),
    "trs": CurveStyle("trust regions", "#7a5410", "s", INITIAL),
    "ses": CurveStyle("low band (SES)", "#d6a84a", "h", INITIAL),
    "ask_tell": CurveStyle("ask and tell", "#5b4aa2", "D", BLACK_BOX),
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
