"""The report: what the page says and omits, that a run cannot inject code into it, and the files beside it."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import bench, refused
from matplotlib.figure import Figure
from PIL import Image
from report_runs import HOSTILE, hostile, rewrite, small_run

from bench.report.html.analysis import Analysis, load
from bench.report.html.cells import cost, measured, p_value, value
from bench.report.html.charts import colours, markers, number
from bench.report.html.grids import encoded
from bench.report.html.page import PAGE_BYTES, embedded, render, write_report
from bench.report.html.text import summary
from bench.report.palette import LOOKS, OTHERS


class Reader(HTMLParser):
    """Records a page's elements, its text and every address in it."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.addresses += [found or "" for name, found in attrs if name in ("src", "href", "srcset", "data")]
        self.handlers += [name for name, _ in attrs if name.startswith("on")]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_run(tmp_path_factory.mktemp("report") / "run")


@pytest.fixture(scope="module")
def written(run: Path, undrawn: Callable[..., None]) -> Path:
    """The report of the run, by the command line, with its figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", undrawn)
        result = bench("report", run, "--no-features")
    assert (result.code, result.err) == (0, "")
    assert "report.html" in result.words
    return run


def page_of(run: Path) -> str:
    return render(load([run], "naive", features=False))


# The files


def test_the_page_needs_nothing_else(written: Path) -> None:
    page = Reader((written / "report.html").read_text())
    outside = [address for address in page.addresses if not address.startswith(("data:", "#", "report/"))]
    assert outside == []
    assert page.handlers == []
    assert "default-src 'none'" in (written / "report.html").read_text()


def test_every_file_that_the_page_links_to_is_there_and_no_other(written: Path) -> None:
    page = Reader((written / "report.html").read_text())
    linked = {address for address in page.addresses if address.startswith("report/")}
    assert linked == {f"report/{path.name}" for path in (written / "report").iterdir()}
    for path in (written / "report").iterdir():
        content = path.read_bytes()
        if path.suffix == ".csv":
            assert len(pd.read_csv(path))
        else:
            assert content.startswith(b"\x89PNG" if path.suffix == ".png" else b"<?xml")


def test_the_report_goes_where_it_is_asked_to(written: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.report.html.page.files", lambda analysis: iter([("table.csv", b"a,b")]))
    for to, name in (("out/mine.html", "out/mine.html"), ("folder", "folder/report.html")):
        found = write_report([written], str(tmp_path / to), features=False)
        assert (found.page, found.files) == (f"{tmp_path}/{name}", 1)
        assert found.size == (tmp_path / name).stat().st_size
        assert (tmp_path / name).with_suffix("").joinpath("table.csv").read_bytes() == b"a,b"


def test_mistakes_are_one_line(run: Path, tmp_path: Path) -> None:
    refused("--baseline naiv: no trial of this search; did you mean 'naive'?", "report", run, "--baseline", "naiv")
    refused("not a results folder", "report", tmp_path)
    (tmp_path / "file").touch()
    refused("cannot be written to", "report", run, "--output", tmp_path / "file")


# What it says


def test_all_sections_are_there_in_order(written: Path) -> None:
    html = (written / "report.html").read_text()
    found = re.findall(r'<section id="([a-z]+)"( class="absent")?>', html)
    assert [name for name, _ in found] == [
        "summary", "protocol", "curves", "matched", "significance", "returns", "sensitivity", "hacking", "metrics",
        "images", "trace", "environment",
    ]  # fmt: skip
    assert [name for name, absent in found if absent] == ["protocol", "sensitivity", "metrics"]


def test_the_summary_says_who_wins_by_how_much_and_from_how_much(run: Path) -> None:
    [analysis] = load([run], "naive", features=False)
    said = dict(summary(analysis))
    number_of = r"−?[\d.]+ \[−?[\d.]+, −?[\d.]+\]"
    assert re.match(
        rf"At \d+ NFE .* is ahead of \d+ others with {number_of}, .*Holm's correction\)", said["Brightness"]
    )
    assert "20 problems, 3 searches" in said["Basis"]
    assert "none failed" in said["Basis"]
    assert "significantly better" in said["Against naive"]
    assert re.search(r"compressibility by [+−].* \(held out\)", said["Searched on brightness, scored on others"])
    analysis.__dict__["matched"] = analysis.matched.assign(gain=-0.2, gain_low=-0.3, gain_high=-0.1)
    assert " and differs from naive by −0.20 [−0.30, −0.10]." in dict(summary(analysis))["Brightness"]


def test_sections_without_data_say_why(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", held_out=[], searches=[{"name": "random", "N": 2}])
    for trace in (run / "evaluations").iterdir():
        trace.unlink()

    def without_images(trials: pd.DataFrame) -> pd.DataFrame:
        return trials.assign(image=None)

    rewrite(run, without_images)
    text = " ".join(Reader(render(load([run], "random", features=False))).text.split())
    for reason in (
        "No two curves can be compared at the same number of denoiser calls.",
        "There is nothing to compare with per-step random.",
        "No curve has two points.",
        "No search was run with three values of a setting at one cost.",
        "There is no second reward, or no naive sampling, to judge by.",
        "No images are stored with these trials",
        "No run computes metrics (setting metrics).",
        "There is no trace of single evaluations; runs with trace: true have one.",
    ):
        assert reason in text


def test_a_run_of_which_everything_failed_is_reported(tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", held_out=[], searches=["naive"])

    def failed(trials: pd.DataFrame) -> pd.DataFrame:
        return trials.assign(error="out of memory", value=None, score_brightness=None, samples=None)

    rewrite(run, failed)
    found = write_report([run], features=False)
    assert (found.failed, found.files) == (100, 1)
    text = Reader((run / "report.html").read_text()).text
    assert "No trial is finished." in text
    assert "out of memory" in text


def test_runs_that_cannot_be_compared_have_parts_of_their_own(run: Path, tmp_path: Path) -> None:
    other = small_run(tmp_path / "other", held_out=[], searches=["naive", {"name": "random", "N": 2}])
    html = render(load([run, other], "naive", features=False))
    assert html.count('<section id="summary"') == html.count('<section id="part-2-summary"') == 1
    assert "report/2/curves.csv" in html


def test_files_are_linked_to_whatever_their_folder_is_called(run: Path) -> None:
    assert 'href="a%20b%231/curves.csv"' in render(load([run], "naive", features=False), "a b#1")


def test_runs_that_can_be_compared_share_a_part(run: Path, tmp_path: Path) -> None:
    more = small_run(tmp_path / "more", searches=["naive", {"name": "random", "N": 2}])
    [analysis] = load([run, more], "naive", features=False)
    assert set(analysis.curves["search"]) == {"naive", "best_of_n", "eps_greedy", "random"}
    assert sorted(set(analysis.finished["run"])) == [0, 1]


# Hostile runs


@pytest.fixture(scope="module")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> str:
    run = small_run(tmp_path_factory.mktemp("hostile") / "run")
    rewrite(run, hostile)
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["config"]["problems"]["conditions"] = [HOSTILE]
    manifest["devices"], manifest["created"] = [HOSTILE], HOSTILE
    (run / "manifest.json").write_text(json.dumps(manifest))
    return page_of(run)


def test_texts_of_a_run_are_never_markup(attacked: str) -> None:
    page = Reader(attacked)
    assert page.text.count(HOSTILE) >= 3  # the problem, the error, the configuration
    assert page.tags.count("script") == 2
    assert page.handlers == []
    assert all(address.startswith(("data:", "#", "report/")) for address in page.addresses)


def test_data_inside_the_page_survive_their_escape() -> None:
    texts = [HOSTILE, "<!-- <script>", "]]>", "\u2028\u2029", "&amp;"]
    written = str(embedded(texts))
    assert json.loads(written) == texts
    assert not set("<>&\u2028\u2029") & set(written)


# Images and sizes


def test_images_are_small_enough_whatever_they_are() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (512, 512, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    for limit in (60_000, 20_000, 3_000):
        address, squares = encoded(buffer.getvalue(), limit)
        assert address is not None
        kind, content = address.split(",")
        assert (kind, squares) == ("data:image/jpeg;base64", False)
        assert len(base64.b64decode(content)) <= limit
    assert encoded(buffer.getvalue(), 100) == (None, False)


def test_a_small_image_keeps_its_pixels() -> None:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((32, 32, 3), np.uint8)).save(buffer, "PNG")
    address, squares = encoded(buffer.getvalue(), 5_000)
    assert squares
    assert address == f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_the_page_is_no_larger_than_it_may_be(written: Path) -> None:
    assert (written / "report.html").stat().st_size < PAGE_BYTES / 10


# Numbers and appearance


def test_numbers_are_short() -> None:
    assert measured(0.123456, 0.1, 0.15) == ("0.123", "[0.100, 0.150]")
    assert measured(-0.00123456, -0.0015, -0.001) == ("−0.00123", "[−0.00150, −0.00100]")
    assert measured(0.5, np.nan, np.nan) == ("0.500", "")
    assert (value(np.nan), cost(1234.5), cost(0.01234), cost(None)) == ("–", "1,234", "0.0123", "–")
    assert [p_value(p) for p in (0.0001, 0.04, np.nan)] == ["< 0.001", "0.040", "–"]
    assert [number(x) for x in (np.nan, np.inf, None, 2.0, 0.1234567)] == [None, None, None, 2, 0.123457]


def test_every_marker_is_a_path() -> None:
    found = markers([*(look.marker for look in LOOKS.values()), *(marker for _, marker in OTHERS)])
    assert all(re.fullmatch(r"M[-\d. MLQCZ]+", path) for path in found.values())


def test_every_colour_shows_on_the_dark_page() -> None:
    light, dark = colours("#333333")
    assert light == "#333333"
    assert int(dark[1:3], 16) > 0x66
    assert colours("#56b4e9") == ("#56b4e9", "#56b4e9")


def test_the_points_in_the_page_are_those_of_the_curves(run: Path) -> None:
    html = page_of(run)
    [data] = re.findall(r'<script type="application/json" id="data">(.*?)</script>', html, re.DOTALL)
    chart = json.loads(data)["charts"][0]
    [analysis] = load([run], "naive", features=False)
    assert [axis["key"] for axis in chart["xs"]] == ["nfe", "flops", "device_seconds", "wall_seconds"]
    assert [score["key"] for score in chart["ys"]] == ["searched", "brightness", "compressibility"]
    points = [point for panel in chart["panels"] for point in panel["points"]]
    assert len(points) == len(analysis.curves)
    assert sum(point.get("hollow", False) for point in points) == analysis.curves["derived"].sum() > 0
    assert sorted(point["y"]["searched"]["m"] for point in points) == pytest.approx(
        sorted(analysis.curves["mean"]), rel=1e-5
    )


def test_an_analysis_counts_a_trial_once(run: Path) -> None:
    [analysis] = load([run, run], "naive", features=False)
    assert isinstance(analysis, Analysis)
    assert len(analysis.trials) == len(load([run], "naive", features=False)[0].trials) == 100
