"""Plots: the figures' contents, and that the files are pictures."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from synthetic_trials import LABELS, png, trial, trials

from bench.report.grid import LEFT, MARGIN, TILE, TITLE
from bench.report.palette import LOOKS, MISSING, curve_styles, look, rank
from bench.report.plots import figure_curves, figure_images, plot_curves, plot_images
from bench.statistics.curves import curves
from tts.errors import SettingError
from tts.registry import SEARCHES

pytestmark = pytest.mark.usefixtures("drawn")

KNOWN = [known.name for search, known in LOOKS.items() if search in set(trials(2)["search"])]
"""Names of the searches of the made-up trials, in the order of legends."""


def pixels(path: Path) -> NDArray[np.uint8]:
    """A written picture, [H, W, 3]."""
    with Image.open(path) as image:
        assert image.format == "PNG"
        image.load()
        return np.asarray(image.convert("RGB"))


def words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def one_image(**given: object) -> pd.DataFrame:
    return pd.DataFrame([trial(**{"image": png(np.random.default_rng(0), 0.5), **given})])


def tile(path: Path, size: int = TILE) -> NDArray[np.uint8]:
    """The first image of a grid with one-line headers."""
    top = TITLE + 18
    return pixels(path)[top : top + size, LEFT : LEFT + size]


def test_curves_file_is_a_picture_with_something_on_it(tmp_path: Path) -> None:
    plot_curves(curves(trials()), tmp_path / "curves.png")
    found = pixels(tmp_path / "curves.png")
    assert found.shape[1] > 1500
    assert found.shape[0] > 500
    assert (found < 250).any(axis=2).mean() > 0.02
    assert [path.name for path in tmp_path.iterdir()] == ["curves.png"]


def test_one_panel_a_reward_with_a_log_axis() -> None:
    figure = figure_curves(curves(trials()))
    assert [axis.get_title() for axis in figure.axes] == [
        "brightness",
        "class probability",
        "compressibility",
    ]
    assert {axis.get_xscale() for axis in figure.axes} == {"log"}
    assert {axis.get_xlabel() for axis in figure.axes} == {"denoiser calls (NFE) per image"}
    assert "n = 12 problems" in figure.get_suptitle()


def test_costs_that_differ_in_their_last_bits_are_drawn(tmp_path: Path) -> None:
    """An axis without a width would divide by zero, and warnings are errors in tests."""
    found = curves(trials())
    found["nfe"] = 70.0 * (1 + 1e-15 * np.arange(len(found)))
    plot_curves(found, tmp_path / "curves.png")
    low, high = figure_curves(found).axes[0].get_xlim()
    assert low < 60 < 80 < high


def test_every_search_appears_in_every_panel_and_once_in_the_legend() -> None:
    figure = figure_curves(curves(trials()))
    names = KNOWN
    assert legend(figure) == names
    for axis in figure.axes:
        assert sorted(axis.get_legend_handles_labels()[1]) == sorted(names)


def test_a_line_shows_the_means_and_a_band_the_intervals() -> None:
    frame = curves(trials(rewards=("brightness",)))
    [axis] = figure_curves(frame).axes
    [line] = [line for line in axis.lines if line.get_label() == "beam"]
    beam = frame[frame["search"] == "beam"]
    np.testing.assert_array_equal(line.get_xydata(), beam[["nfe", "mean"]].to_numpy())
    colours = {to_hex(band.get_facecolor()[0]): band for band in axis.collections if len(band.get_facecolor())}
    [path] = colours[look("beam").colour].get_paths()
    assert {*beam["low"], *beam["high"]} <= set(path.vertices[:, 1])


def test_a_curve_of_one_point_is_a_marker_with_an_error_bar() -> None:
    [axis] = figure_curves(curves(trials(rewards=("brightness",)))).axes
    [bar] = axis.containers
    assert bar.get_label() == "naive"
    assert bar.lines[0].get_linestyle() == "None"


def test_a_search_looks_the_same_whatever_else_is_drawn() -> None:
    whole = curves(trials())
    alone = whole[whole["search"] == "mcts"]
    for frame in (whole, alone):
        [line] = [line for line in figure_curves(frame).axes[0].lines if line.get_label() == "MCTS"]
        assert (line.get_color(), line.get_marker()) == (LOOKS["mcts"].colour, LOOKS["mcts"].marker)


def test_every_registered_search_has_a_look_of_its_own() -> None:
    assert set(LOOKS) >= set(SEARCHES.targets)
    assert len({known.colour for known in LOOKS.values()}) == len(LOOKS)
    assert len({(known.group, known.marker) for known in LOOKS.values()}) == len(LOOKS)


def test_unknown_searches_keep_their_name_and_come_last() -> None:
    assert look("evolution").name == "evolution"
    assert look("evolution") == look("evolution")
    assert sorted(["evolution", "mcts", "naive"], key=rank) == ["naive", "mcts", "evolution"]


def test_curves_of_one_search_share_the_colour_and_differ_in_line_and_fill() -> None:
    pairs = [("eps_greedy", "eps_greedy lambda=0.3"), ("eps_greedy", "eps_greedy lambda=0.15")]
    first, second = curve_styles(pairs).values()
    assert (first.name, second.name) == ("ε-greedy λ=0.15", "ε-greedy λ=0.3")
    assert first.colour == second.colour
    assert (first.line, first.filled) != (second.line, second.filled)


def test_nothing_scored_cannot_be_plotted(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no trial has a value"):
        plot_curves(curves(pd.DataFrame([trial(value=None)])), tmp_path / "curves.png")
    assert not list(tmp_path.iterdir())


def test_many_rewards_wrap_into_rows() -> None:
    frame = pd.concat(curves(trials(2, ("brightness",))).assign(reward=f"reward_{k}") for k in range(6))
    figure = figure_curves(frame)
    assert len(figure.axes) == 6
    assert len({round(axis.get_subplotspec().rowspan.start) for axis in figure.axes}) == 2


def test_images_file_has_a_column_a_problem_and_a_row_a_search(tmp_path: Path) -> None:
    run = trials(12, ("brightness",), images=True)
    plot_images(run, tmp_path / "images.png")
    assert pixels(tmp_path / "images.png").shape[1] > 10 * TILE + LEFT
    text = words(figure_images(run))
    assert [word for word in text if word in LABELS] == list(LABELS)
    assert [word for word in text if word in KNOWN] == KNOWN
    assert [path.name for path in tmp_path.iterdir()] == ["images.png"]


def test_each_search_is_shown_at_its_largest_budget() -> None:
    run = trials(2, ("brightness",), images=True)
    text = words(figure_images(run))
    assert "K = 20, 2,089 NFE" in text
    assert "35 NFE" in text
    assert not any("K = 8" in word for word in text)
    shown = run[(run["search"] == "eps_greedy") & (run["budget_value"] == 20)]["value"]
    assert {f"{value:.3f}" for value in shown} <= set(text)


def test_a_block_a_reward_or_only_the_one_asked_for() -> None:
    run = trials(2, images=True)
    titles = [word for word in words(figure_images(run)) if word.startswith("searched on")]
    assert titles == [
        "searched on brightness",
        "searched on class probability",
        "searched on compressibility",
    ]
    only = [word for word in words(figure_images(run, "compressibility")) if word.startswith("searched on")]
    assert only == ["searched on compressibility"]
    with pytest.raises(SettingError, match="did you mean 'brightness'"):
        figure_images(run, "brightnes")


def test_pixels_grow_by_whole_multiples(tmp_path: Path) -> None:
    run = one_image()
    plot_images(run, tmp_path / "images.png")
    original = np.asarray(Image.open(io.BytesIO(run["image"][0])))
    np.testing.assert_array_equal(tile(tmp_path / "images.png"), original.repeat(4, 0).repeat(4, 1))


def test_large_images_are_made_to_fit(tmp_path: Path) -> None:
    plot_images(one_image(image=png(np.random.default_rng(0), 0.5, 512)), tmp_path / "images.png")
    assert pixels(tmp_path / "images.png").shape[1] == LEFT + TILE + MARGIN


def test_a_missing_image_is_a_grey_tile_and_a_missing_value_says_so(tmp_path: Path) -> None:
    run = one_image(image=None, value=None)
    plot_images(run, tmp_path / "images.png")
    corner = tile(tmp_path / "images.png")[:30, :30]
    assert {to_hex(pixel / 255) for pixel in corner.reshape(-1, 3)} == {MISSING}
    assert {"no image", "unscored"} <= set(words(figure_images(run)))


def test_problems_go_by_number_and_seeds_are_named_when_there_are_several() -> None:
    run = pd.concat(one_image(condition=c, label=f"class {c}", seed=s) for s in (1, 0) for c in (10, 2, 9))
    text = words(figure_images(run, problems=4))
    assert [word for word in text if word.startswith("class")] == [
        "class 2 #0",
        "class 9 #0",
        "class 10 #0",
        "class 2 #1",
    ]


def test_prompts_are_wrapped_and_dollars_are_no_formulas() -> None:
    prompt = "a $5 note and a $10 note on a wooden table in the evening sun"
    [label] = [word for word in words(figure_images(one_image(condition=prompt, label=prompt))) if "$5" in word]
    assert label.count("\n") == 2
    assert label.endswith("…")
    figure_images(one_image(condition=prompt, label=prompt)).canvas.draw()


def test_no_trials_no_images() -> None:
    with pytest.raises(SettingError, match="no images to plot"):
        figure_images(trials().iloc[:0])
