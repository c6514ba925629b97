"""A scaling study as a picture: throughput against its ideal, and efficiency."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from bench.report.palette import FAINT, INK

COLOURS = {"strong": "#0072b2", "weak": "#d55e00"}
MARKERS = {"strong": "o", "weak": "s"}


def figure_scaling(table: pd.DataFrame) -> Figure:
    """Two panels over the number of engines, one line a mode, bars for 95 % intervals.

    Args:
        table: :func:`bench.report.scaling.summary`.
    """
    figure = Figure((9.5, 4.2), dpi=160, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08), facecolor="white")
    throughput, efficiency = figure.subplots(1, 2)
    for mode, points in table.groupby("mode", sort=True):
        _line(throughput, points, "images_per_second", str(mode))
        _line(efficiency, points, "efficiency", str(mode))
    fewest = table[table["engines"] == table["engines"].min()]
    engines = sorted(set(table["engines"]))
    ideal = [float(fewest["images_per_second"].mean()) * n / engines[0] for n in engines]
    throughput.plot(engines, ideal, color=FAINT, linestyle=":", label="ideal")
    efficiency.axhline(1, color=FAINT, linestyle=":")
    throughput.set_xscale("log", base=2)
    throughput.set_yscale("log", base=2)
    efficiency.set_xscale("log", base=2)
    efficiency.set_ylim(0, max(1.1, 1.05 * float(table["efficiency"].max())))
    for axis, title in ((throughput, "images a second"), (efficiency, "efficiency")):
        axis.set_title(title, fontsize=11, fontweight="bold", color=INK)
        axis.set_xlabel("engines", color=INK, fontsize=9)
        axis.set_xticks(engines, [str(n) for n in engines])
        axis.minorticks_off()
        axis.grid(color="#e9e9e9", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    throughput.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
    throughput.legend(frameon=False, fontsize=9, labelcolor=INK)
    figure.suptitle(f"Scaling on {', '.join(sorted(set(table['devices'])))}", fontsize=12, color=INK)
    return figure


def _line(axis: Axes, points: pd.DataFrame, name: str, mode: str) -> None:
    mean = points[name].to_numpy(float)
    reach = (points[f"{name}_high"] - points[name]).fillna(0.0).to_numpy(float)
    axis.errorbar(
        points["engines"].to_numpy(float),
        mean,
        yerr=reach,
        label=f"{mode} scaling",
        color=COLOURS[mode],
        marker=MARKERS[mode],
        linewidth=1.7,
        capsize=3,
    )
