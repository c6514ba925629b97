"""Scaling studies: the numbers by hand, the table and the picture."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from command_line import size
from rich.console import Console
from scipy.stats import t as student

from bench.report import scaling as scaling
from bench.report.scale_plot import COLOURS, figure_scaling
from bench.report.scaling import Measurement, render, summary


def measured(mode: str, engines: int, repeat: int, seconds: float, busy: float = 1.0, images: int = 60) -> Measurement:
    """A run of sixty images."""
    return Measurement(mode, engines, repeat, "d", images, 10 * images, seconds, busy, "H100")


def frame(*found: Measurement) -> pd.DataFrame:
    """Measurements as a table."""
    return scaling._frame(found)


# Numbers


def test_the_summary_by_hand() -> None:
    """One engine draws 2 and 4 images/s in two measurements, two engines draw 5 and 7."""
    table = summary(
        frame(
            measured("strong", 1, 0, 30.0, 27.0),
            measured("strong", 1, 1, 15.0, 12.0),
            measured("strong", 2, 0, 12.0, 18.0),
            measured("strong", 2, 1, 60 / 7, 60 / 7),
        )
    )
    one, two = table.to_dict("records")
    assert [(row["mode"], row["engines"], row["n"], row["images"]) for row in (one, two)] == [
        ("strong", 1, 2, 60),
        ("strong", 2, 2, 60),
    ]
    assert one["images_per_second"] == pytest.approx(3.0)
    assert two["images_per_second"] == pytest.approx(6.0)
    assert one["efficiency"] == pytest.approx(1.0)
    assert two["efficiency"] == pytest.approx((5 / 6 + 7 / 6) / 2)
    assert one["utilisation"] == pytest.approx((27 / 30 + 12 / 15) / 2)
    assert two["utilisation"] == pytest.approx((18 / 24 + 1 / 2) / 2)
    assert one["seconds_per_image"] == pytest.approx((0.5 + 0.25) / 2)
    assert two["device_seconds_per_image"] == pytest.approx((24 / 60 + 120 / 7 / 60) / 2)
    half = student.ppf(0.975, 1) * math.sqrt(2) / math.sqrt(2)  # 5 and 7 have a standard deviation of sqrt(2)
    assert two["images_per_second_low"] == pytest.approx(6 - half)
    assert two["images_per_second_high"] == pytest.approx(6 + half)
    assert half == pytest.approx(12.7062, abs=1e-4)


def test_one_repeat_has_no_interval() -> None:
    [row] = summary(frame(measured("weak", 3, 0, 10.0))).to_dict("records")
    assert (row["images_per_second"], row["efficiency"]) == (6.0, 1.0)
    for name in scaling.FIGURES:
        assert math.isnan(row[f"{name}_low"])
        assert math.isnan(row[f"{name}_high"])


def test_each_mode_has_a_baseline_of_its_own_and_the_fewest_engines_are_it() -> None:
    table = summary(
        frame(
            measured("weak", 4, 0, 20.0, images=240),
            measured("weak", 2, 0, 10.0, images=60),
            measured("strong", 2, 0, 5.0),
            measured("strong", 8, 0, 2.5),
        )
    )
    assert list(table["mode"]) == ["strong", "strong", "weak", "weak"]
    assert list(table["engines"]) == [2, 8, 2, 4]
    assert list(table["efficiency"]) == pytest.approx([1.0, 0.5, 1.0, 1.0])


def test_people_see_intervals_where_there_are_any() -> None:
    console = Console(width=140)
    with console.capture() as shown:
        console.print(render(summary(frame(measured("strong", 1, 0, 30.0), measured("strong", 1, 1, 20.0)))))
        console.print(render(summary(frame(measured("weak", 1, 0, 30.0)))))
    text = shown.get()
    assert "2.50 ± 6.35" in text
    assert "│ 2.00 " in text
    assert "nan" not in text


# The picture


def test_two_panels_with_a_line_a_mode() -> None:
    table = summary(
        frame(*(measured(mode, n, k, 60 / n + k) for mode in ("strong", "weak") for n in (1, 2, 4) for k in (0, 1)))
    )
    figure = figure_scaling(table)
    throughput, efficiency = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ["images a second", "efficiency"]
    for axis, name in ((throughput, "images_per_second"), (efficiency, "efficiency")):
        assert [bars.get_label() for bars in axis.containers] == ["strong scaling", "weak scaling"]
        for bars, mode in zip(axis.containers, ("strong", "weak"), strict=True):
            [line, *_] = bars.lines
            assert list(line.get_xdata()) == [1, 2, 4]
            assert list(line.get_ydata()) == list(table.loc[table["mode"] == mode, name])
            assert line.get_color() == COLOURS[mode]
    assert [text.get_text() for text in throughput.get_legend().get_texts()] == [
        "ideal", "strong scaling", "weak scaling"
    ]  # fmt: skip
    assert figure.get_suptitle() == "Scaling on H100"
    assert [label.get_text() for label in throughput.get_xticklabels()] == ["1", "2", "4"]


@pytest.mark.usefixtures("drawn")
def test_one_measurement_is_a_picture_too(tmp_path: Path) -> None:
    figure = figure_scaling(summary(frame(measured("strong", 1, 0, 30.0))))
    figure.savefig(tmp_path / "one.png")
    assert size(tmp_path / "one.png")[0] > 500
