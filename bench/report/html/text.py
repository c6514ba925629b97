"""The report's sentences."""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.html.analysis import Analysis
from bench.report.html.cells import LEVEL, cost, measured, p_value, signed
from bench.report.html.charts import words
from bench.report.html.names import point_name, search_name
from bench.report.summary import notes

Said = tuple[str, str]
"""What a sentence is about, and the sentence."""


def summary(analysis: Analysis) -> list[Said]:
    """The findings of the runs, the most important first."""
    return [
        *_winners(analysis),
        *_seconds(analysis),
        *_significance(analysis),
        *_other_rewards(analysis),
        *_saturation(analysis),
        *_size(analysis),
        *(("Note", f"{note[0].upper()}{note[1:]}.") for note in notes(analysis.trials)),
    ]


def _size(analysis: Analysis) -> list[Said]:
    """How much there is, and how much is missing."""
    finished = analysis.finished.drop_duplicates("trial")
    problems = len(finished[["condition", "seed"]].drop_duplicates())
    unscored = int(finished["value"].isna().sum())
    said = (
        f"{count(analysis.trials['trial'].nunique(), 'trial')}: {count(problems, 'problem')}, "
        f"{count(finished['search'].nunique(), 'search', 'searches')} at all budgets, "
        f"{count(len(analysis.rewards), 'reward')} searched on; "
        f"{f'{len(analysis.failed):,}' if len(analysis.failed) else 'none'} failed"
        f"{f', {unscored:,} could not be scored' if unscored else ''}."
    )
    planned = sum(int(run.manifest.get("trials", 0)) for run in analysis.runs)
    found = sum(len(run.trials) for run in analysis.runs)
    missing = ("Unfinished", f"{found:,} of {planned:,} planned trials are done; what is missing may change this.")
    spread = (
        "Intervals",
        "Those of rewards, and the tests, are over conditions, each with all its seeds: they speak of other conditions "
        "like these. Those of rewards against one another, of evaluations and of fitted curves are over problems.",
    )
    over = [spread] if analysis.over == "conditions" else []
    return [("Basis", said), *([missing] if found < planned else []), *over]


def count(number: int, one: str, many: str | None = None) -> str:
    """``1 trial``, ``2 trials``."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def _winners(analysis: Analysis) -> list[Said]:
    """For each reward who is ahead where most curves can be compared, and elsewhere."""
    frame = analysis.matched
    groups = () if frame.empty else frame[frame["curves"] > 1].groupby("reward", sort=False)
    return [(words(str(reward)).capitalize(), _winner(analysis, group.to_dict("records"))) for reward, group in groups]


def _winner(analysis: Analysis, rows: list[dict[Any, Any]]) -> str:
    main = max(rows, key=lambda row: (row["curves"] - row["carried"], row["at"]))
    said = (
        f"At {cost(main['at'])} NFE {analysis.name(main['winner'])}{_spent(main, 'winner')} is ahead of "
        f"{count(main['curves'] - 1, 'other')} with {_measured(main, 'mean', 'low', 'high')}, "
        f"{_lead(analysis, main)}{_gain(analysis, main)}."
    )
    ahead: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: float(row["at"])):
        if row is not main:
            ahead.setdefault(analysis.name(row["winner"]), []).append(cost(row["at"]))
    if set(ahead) - {analysis.name(main["winner"])}:
        return f"{said} Elsewhere: {'; '.join(f'{name} at {listed(costs)}' for name, costs in ahead.items())}."
    return f"{said} It is ahead at all {len(rows)} costs compared." if len(rows) > 2 else said


def _measured(row: dict[Any, Any], name: str, low: str, high: str) -> str:
    return " ".join(measured(row[name], row[low], row[high])).strip()


def _lead(analysis: Analysis, row: dict[Any, Any]) -> str:
    p = row["lead_p_holm"]
    verdict = "too few problems to tell" if pd.isna(p) else "significant" if p < LEVEL else "not significant"
    tested = "" if pd.isna(p) else f", p {p_value(p) if p < 0.001 else '= ' + p_value(p)} after Holm's correction"
    lead, other = _measured(row, "lead", "lead_low", "lead_high"), analysis.name(row["runner_up"])
    other += _spent(row, "runner_up")
    if row["lead"] < 0:  # another set of problems than that of the means
        return f"but on the same problems it differs from {other} by {lead} ({verdict}{tested})"
    return f"{lead} more than {other} ({verdict}{tested})"


def _spent(row: dict[Any, Any], who: str) -> str:
    """The cost of a curve that ends before the cost at which it is compared."""
    spent = row[f"{who}_spent"]
    return f" (with {cost(spent)})" if spent < row["at"] else ""


def _gain(analysis: Analysis, row: dict[Any, Any]) -> str:
    base = search_name(analysis.baseline)
    if pd.isna(row["gain"]) or analysis.name(row["runner_up"]) == base:  # the sentence on the lead says it already
        return ""
    gain = _measured(row, "gain", "gain_low", "gain_high")
    return f" and differs from {base} by {gain}" if row["gain"] < 0 else f" and {gain} more than {base}"


def _seconds(analysis: Analysis) -> list[Said]:
    """Who is ahead at equal time, in one sentence."""
    frame = analysis.matched_times.get("device_seconds", pd.DataFrame(columns=["curves"]))
    frame = frame[frame["curves"] > 1]
    if frame.empty:
        return []
    frame = frame.assign(there=frame["curves"] - frame["carried"])
    last = frame.sort_values(["there", "at"]).drop_duplicates("reward", keep="last").sort_values("reward")
    said = [
        f"{analysis.name(row['winner'])}{_spent(row, 'winner')} for {words(row['reward'])} (at {cost(row['at'])} s)"
        for row in last.to_dict("records")
    ]
    return [("At equal device-seconds", f"The highest means are those of {listed(said)}.")]


def _significance(analysis: Analysis) -> list[Said]:
    frame = analysis.compared
    if frame.empty:
        return []
    significant = frame["p_holm"] < LEVEL
    better = int((significant & (frame["difference"] > 0)).sum())
    worse = int((significant & (frame["difference"] < 0)).sum())
    rest = "; for the others the difference may be chance" if better + worse < len(frame) else ""
    said = (
        f"Of {count(len(frame), 'point')} compared on the same problems, {better} are significantly better and {worse} "
        f"significantly worse at 5 % after Holm's correction{rest}."
    )
    return [(f"Against {search_name(analysis.baseline)}", said)]


def _other_rewards(analysis: Analysis) -> list[Said]:
    """Whether what was searched on went up at the expense of what was not."""
    frame = analysis.best_scores
    said = []
    for (reward, _), group in () if frame.empty else frame.groupby(["reward", "curve"], sort=False):
        rows = group.to_dict("records")
        own = next((row for row in rows if row["scored_on"] == reward), None)
        others = [row for row in rows if row["scored_on"] != reward and not pd.isna(row["gain"])]
        if own is None or pd.isna(own["gain"]) or not others:
            continue
        parts = [
            f"{words(row['scored_on'])} by {signed(row['gain'])}{' (held out)' if row['held_out'] else ''}"
            for row in sorted(others, key=lambda row: not row["held_out"])
        ]
        by = point_name(own, analysis.name(own["curve"]))
        about = f"Searched on {words(str(reward))}, scored on others"
        said.append(
            (
                about,
                f"With {by}, it moves by {signed(own['gain'])} standard deviations of naive's images; the other "
                f"rewards move too: {listed(parts)}.",
            )
        )
    return said


def _saturation(analysis: Analysis) -> list[Said]:
    frame = analysis.saturation
    if frame.empty:
        return []
    fits = frame[frame["fits"].astype(bool)]
    if fits.empty:
        few = frame["reason"].astype(str).str.contains("too few points").all()
        reason = "has the four points that a fit needs" if few else "can be fitted by one that levels off"
        return [("Saturation", f"No curve {reason}.")]
    said = [
        f"{analysis.name(row['curve'])} on {words(row['reward'])} towards {_measured(row, 'a', 'a_low', 'a_high')}"
        for row in fits.to_dict("records")[:6]
    ]
    more = f", and {len(fits) - 6} others" if len(fits) > 6 else ""
    return [("Saturation", f"{len(fits)} of {count(len(frame), 'curve')} level off: {listed(said)}{more}.")]


def listed(parts: list[str]) -> str:
    """``a, b and c``."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}" if parts else ""


def large(number: float) -> str:
    """A number of many digits with k, M, G or T."""
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e4, "k")):
        if number >= size:
            return f"{number / (1e3 if letter == 'k' else size):.3g} {letter}"
    return f"{number:,.0f}"
