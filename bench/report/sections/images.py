"""Images before and after."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from bench.report.grid import figure_images
from bench.report.html.analysis import Analysis
from bench.report.html.blocks import Section, Text
from bench.report.html.figures import File
from bench.report.html.grids import grids
from bench.report.html.names import search_name
from bench.report.html.page_data import Page
from bench.report.plots import png


def section(analysis: Analysis, page: Page) -> Section:
    """The section on the page."""
    title, short = "Images before and after", "Images"
    if not any(analysis.images.values()):
        absent = "No images are stored with these trials; tts-bench replay makes any of them again."
        return Section("images", title, short, [], absent)
    name = search_name(analysis.baseline)
    note = (
        f"Below each image is its reward, and how much it gained over {name} on the same problem; framed where no "
        "search did better. A press enlarges an image."
    )
    return Section(
        "images", title, short, [Text(note, "note"), *grids(pictures(analysis), analysis.baseline, page.images)]
    )


def pictures(analysis: Analysis) -> pd.DataFrame:
    """The trials that the grids show, with their images."""
    shown = analysis.finished[analysis.finished["trial"].isin(list(analysis.images))]
    images = [analysis.images[key] for key in shown["trial"]]
    return shown.assign(image=pd.Series(images, index=shown.index, dtype=object))


def files(analysis: Analysis) -> Iterator[File]:
    """What lies beside the page; one at a time, since pictures are large."""
    if any(analysis.images.values()):
        shown = pictures(analysis)
        for reward in analysis.rewards:  # no SVG: they are all pixels
            yield f"images-{reward.replace('_', '-')}.png", png(figure_images(shown, reward))
