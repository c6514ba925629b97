"""What the page says, from top to bottom. A section without data says why in place of them."""

from __future__ import annotations

from typing import Any

import pandas as pd
import yaml

from bench.report.html import tables, text
from bench.report.html.analysis import POINT, SEARCHED, Analysis, search_name
from bench.report.html.blocks import Block, Chart, Code, Part, Section, Sentences, Table, Text, Tiles
from bench.report.html.charts import AXES, axes, curve_chart, line_chart, words
from bench.report.html.grids import grids
from bench.report.plots import NFE, Axis

CONFIG_CHARACTERS = 60_000
"""A configuration is cut after so many; a run may have thousands of prompts."""


class Page:
    """Collects the data of a page's charts.

    Args:
        images: bytes that all images of a part may take.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self.charts: list[dict[str, Any]] = []

    def chart(self, name: str, data: dict[str, Any], caption: str, files: list[str]) -> Chart:
        """A chart's place on the page; its data are kept."""
        self.charts.append(data)
        return Chart(f"{name}-{len(self.charts)}", len(self.charts) - 1, caption, files)


def part(analysis: Analysis, number: int, page: Page) -> Part:
    """All sections of runs whose trials may be compared.

    Args:
        analysis: the runs.
        number: of the part, from 0.
        page: which the part is on.
    """
    if analysis.finished.empty:
        sections = [Section("summary", "Summary", "Summary", [], "No trial is finished."), environment(analysis)]
    else:
        sections = [
            _summary(analysis),
            _curves(analysis, page),
            _matched(analysis),
            _significance(analysis),
            _returns(analysis, page),
            _hacking(analysis),
            _images(analysis, page),
            _trace(analysis, page),
            environment(analysis),
        ]
    prefix = f"part-{number + 1}-" if number else ""
    named = [Section(prefix + s.id, s.title, s.short, s.blocks, s.absent) for s in sections]
    return Part(f"part-{number + 1}", ", ".join(str(run.output) for run in analysis.runs), named)


def _summary(analysis: Analysis) -> Section:
    finished = analysis.finished
    items = [
        ("problems", f"{len(finished[['condition', 'seed']].drop_duplicates()):,}"),
        ("trials", f"{len(analysis.trials):,}"),
        ("failed", f"{len(analysis.failed):,}"),
        ("searches", f"{finished['search'].nunique():,}"),
        ("rewards", f"{len(analysis.scores):,}"),
        ("denoiser calls", text.large(float(finished["nfe"].sum()))),
    ]
    return Section("summary", "Summary", "Summary", [Tiles(items), Sentences(text.summary(analysis))])


def _curves(analysis: Analysis, page: Page) -> Section:
    kinds = axes(analysis.curves)
    data = curve_chart(analysis.scored, analysis.looks, analysis.about, kinds)
    names = [*(f"curves-{axis.column}" for axis in kinds), *(f"curves-on-{key}" for key in analysis.scored)]
    names = [name.replace("_", "-") for name in names if name != f"curves-on-{SEARCHED}"]
    caption = (
        "Mean of the final images' reward with its 95 % interval over problems (BCa bootstrap). Touch a point, or "
        "reach the panel by the tab key and go on with the arrow keys. Hollow points on a filled curve were not run: "
        "they are best of k, estimated from the N samples of best-of-N."
    )
    files = [f"{name}.{kind}" for name in names for kind in ("png", "svg")]
    return Section(
        "curves",
        "Reward against compute",
        "Curves",
        [page.chart("curves", data, caption, files), tables.points(analysis)],
    )


def _matched(analysis: Analysis) -> Section:
    title, short = "At equal compute", "Equal compute"
    frame = analysis.matched
    if frame.empty:
        return Section("matched", title, short, [], "No two curves reach the same number of denoiser calls.")
    blocks: list[Block] = [tables.matched(analysis, frame, "NFE", "matched-nfe.csv")]
    for axis in AXES:
        if axis.column in analysis.matched_times:
            times = analysis.matched_times[axis.column]
            file = f"matched-{axis.column.replace('_', '-')}.csv"
            blocks.append(tables.matched(analysis, times, axis.short, file, folded=len(blocks) > 1))
    return Section("matched", title, short, blocks)


def _significance(analysis: Analysis) -> Section:
    title = f"Against {search_name(analysis.baseline)}"
    if analysis.compared.empty:
        absent = f"There is nothing to compare with {search_name(analysis.baseline)}."
        return Section("significance", title, "Significance", [], absent)
    note = Text(
        "The same problems with the same initial noises; p of a sign-flip permutation test of the paired differences.",
        "note",
    )
    blocks = [note, tables.compared(analysis, largest=True), tables.compared(analysis, largest=False)]
    return Section("significance", title, "Significance", blocks)


def _returns(analysis: Analysis, page: Page) -> Section:
    title, short = "Diminishing returns", "Returns"
    if analysis.returns.empty:
        return Section("returns", title, short, [], "No curve has two points.")
    caption = "What a doubling of the denoiser calls brings, between a point and the one before it; 95 % intervals."
    data = line_chart(doublings(analysis), NFE, "gain per doubling", analysis.looks)
    blocks: list[Block] = [page.chart("returns", data, caption, ["returns.png", "returns.svg", "returns.csv"])]
    if len(analysis.saturation):
        blocks.append(tables.saturation(analysis))
    return Section("returns", title, short, blocks)


def doublings(analysis: Analysis) -> pd.DataFrame:
    """Gains per doubling as curves: ``nfe`` is the cost that they lead to."""
    names = {"to_cost": "nfe", "per_doubling": "mean"}
    return analysis.returns[analysis.returns["per_doubling"].notna()].rename(columns=names)


def _hacking(analysis: Analysis) -> Section:
    title, short = "Gain or reward hacking?", "Hacking"
    blocks: list[Block] = []
    missing = []
    if len(analysis.scores) > 1 and analysis.matrix["gain"].notna().any():
        note = (
            "A search on one reward, scored on the others: gain over naive sampling in standard deviations of naive's "
            "images. The diagonal is what was searched on; a gain there alone, at the expense of others, is a hack."
        )
        blocks += [
            Text(note, "note"),
            tables.matrix(analysis, analysis.best_scores, "Searched on x, scored on y: the best search of each reward"),
            tables.matrix(analysis, analysis.matrix, "All searches at their largest budgets", folded=True),
        ]
    else:
        missing.append("There is no second reward, or no naive sampling, to judge by.")
    if analysis.gaps is not None:
        blocks.append(tables.gaps(analysis, analysis.gaps))
    else:
        missing.append("What searches predicted is only known from a trace (trace: true).")
    found, why = _features(analysis)
    return _section("hacking", title, short, [*blocks, *found], [*missing, *why])


def _features(analysis: Analysis) -> tuple[list[Block], list[str]]:
    """What features of the images tell, and why something is missing."""
    measured = analysis.features
    if isinstance(measured, str):
        return [], [f"Diversity and distance from real images are absent: {measured[0].lower()}{measured[1:]}"]
    blocks: list[Block] = [Text(f"Features of the images: {measured.extractor}.", "note")]
    missing = []
    if measured.diversity["distance"].notna().any():
        blocks.append(tables.diversity(analysis, measured.diversity))
    else:
        missing.append("No condition has two images, so nothing can be said of diversity.")
    if measured.frechet is not None:
        blocks.append(tables.frechet(analysis, measured.frechet))
        warnings = list(dict.fromkeys(measured.frechet["warning"].dropna().astype(str)))
        blocks += [Text(f"{warning[0].upper()}{warning[1:]}.", "warning") for warning in warnings[:3]]
    return blocks, missing


def _section(name: str, title: str, short: str, blocks: list[Block], missing: list[str]) -> Section:
    """A section of which parts may be missing."""
    if not blocks:
        return Section(name, title, short, [], " ".join(missing))
    return Section(name, title, short, [*blocks, *(Text(" ".join(missing), "note") for _ in missing[:1])])


def _images(analysis: Analysis, page: Page) -> Section:
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


def step_axis(levels: list[float]) -> Axis:
    """Steps of the trajectory, named by their noise level where that is known."""
    if not levels:
        return Axis("step", "steps done before", "steps done", log=False)
    ticks = {step: f"{level:.3g}" for step, level in enumerate(levels[:-1])}
    return Axis("step", "noise level σ before the step", "σ", log=False, ticks=ticks)


def _trace(analysis: Analysis, page: Page) -> Section:
    title, short = "Inside a trial", "Trace"
    found = analysis.trace
    if found is None:
        absent = "There is no trace of single evaluations; runs with trace: true have one."
        return Section("trace", title, short, [], absent)
    steps = step_axis(analysis.levels)
    names = [f"trace-so-far.{kind}" for kind in ("png", "svg", "csv")]
    so_far = page.chart(
        "so-far",
        line_chart(found.so_far, NFE, "best reward so far", analysis.looks, bare=True),
        "Best reward of the (predicted) images so far against denoiser calls, inside the trials of each search at its "
        "largest budget; mean over trials and its 95 % interval.",
        names,
    )
    gain = page.chart(
        "gain",
        line_chart(found.gain, steps, "rise of the best reward", analysis.looks),
        "Where in the trajectory the gain arises: rise of the best reward so far during each step. Whole trajectories "
        "(best of N) count at their start.",
        [name.replace("so-far", "gain") for name in names],
    )
    blocks: list[Block] = [so_far, gain]
    both = local_share(found.wins)
    if len(both):
        blocks.append(
            page.chart(
                "wins",
                line_chart(both, steps, "share of wins", analysis.looks),
                "How often a moved (local) noise wins rather than a fresh (global) one, by step; n counts wins.",
                [name.replace("so-far", "wins-by-step") for name in names],
            )
        )
    if len(found.all_wins):
        mixed = found.all_wins.groupby(POINT)["kind"].transform("nunique") == 2
        blocks.append(tables.wins(analysis, found.all_wins[mixed] if mixed.any() else found.all_wins))
    return Section("trace", title, short, blocks)


def local_share(wins: pd.DataFrame) -> pd.DataFrame:
    """Local noises' share of the wins of each step, of searches that use both kinds; ``mean`` is the share."""
    both = wins[wins.groupby(POINT)["kind"].transform("nunique") == 2]
    total = both.groupby([*POINT, "step"])["wins"].transform("sum")
    frame = both.assign(n=total, mean=both["share"], low=float("nan"), high=float("nan"))
    return frame[(frame["kind"] == "local") & (total > 0)]


def environment(analysis: Analysis) -> Section:
    """Where it was computed, from which configuration, and how to do it again."""
    blocks: list[Block] = []
    if len(analysis.failed):
        blocks.append(tables.errors(analysis.failed))
    for run in analysis.runs:
        blocks += _provenance(run.manifest, str(run.output), analysis)
    return Section("environment", "Environment and configuration", "Environment", blocks)


def _provenance(manifest: dict[str, Any], name: str, analysis: Analysis) -> list[Block]:
    git = manifest.get("git")
    commit = "no checkout" if git is None else f"{git['commit']}{' (changed since: dirty)' if git['dirty'] else ''}"
    devices = sorted(map(str, analysis.trials["device"].dropna().unique())) or sorted(set(manifest.get("devices", [])))
    facts = {
        "identity": f"{manifest['digest']} (schema {manifest.get('schema_version', 'unknown')})",
        "begun": str(manifest.get("created", "unknown")),
        "commit": commit,
        "devices": ", ".join(map(str, devices)) or "unknown",
        "engines at the start": f"{len(manifest.get('devices', []))}",
        "FLOPs a denoiser call": "unknown" if not manifest.get("flops") else f"{manifest['flops']:.4g}",
    }
    versions = {key: str(value) for key, value in manifest.get("versions", {}).items()}
    config = _yaml(manifest["config"])
    again = (
        "To run it again: save the configuration as run.yaml and, at this commit, call: tts-bench run run.yaml "
        "--set output=results/again"
    )
    return [
        tables.pairs(f"Run {name}", facts),
        Text(again, "note"),
        Code("Configuration", config, open=True),
        Code("What it resolves to: all that changes a result", _yaml(manifest.get("resolved", {}))),
        _folded(tables.pairs("Versions", versions)),
    ]


def _folded(table: Table) -> Table:
    return Table(table.caption, table.columns, table.rows, folded=True)


def _yaml(value: Any) -> str:
    written = yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=110, default_flow_style=None)
    if len(written) <= CONFIG_CHARACTERS:
        return written
    return f"{written[:CONFIG_CHARACTERS]}\n# ... cut here; manifest.json has all of it\n"


def heading(analyses: list[Analysis]) -> tuple[str, str]:
    """The page's title, and a line below it."""
    models = list(dict.fromkeys(a.runs[0].manifest["resolved"]["model"]["name"] for a in analyses))
    rewards = list(dict.fromkeys(reward for a in analyses for reward in a.rewards))
    outputs = [str(run.output) for a in analyses for run in a.runs]
    title = f"Test-time search on {text.listed([words(str(model)) for model in models])}"
    shown = f"{', '.join(outputs[:4])}{' and others' if len(outputs) > 4 else ''}"
    about = f"Rewards searched on: {text.listed([words(reward) for reward in rewards])}." if rewards else ""
    return title, f"{about} Made by tts-bench from {shown}."
