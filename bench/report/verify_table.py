"""The output of ``tts-bench verify``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from bench.run.verify import Check, Verdict

ORDER = (Verdict.WRONG, Verdict.CLOSE, Verdict.SAME)
STYLES = {Verdict.WRONG: "red", Verdict.CLOSE: "yellow", Verdict.SAME: ""}
PIXELS = {True: "same", False: "differ", None: "not stored"}


def render(checks: Sequence[Check]) -> Table:
    """A row a trial, the wrong ones first."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("trial", "device of the row", "verdict", "pixels", "mean level apart", "rewards apart"):
        table.add_column(name, overflow="fold")
    for check in sorted(checks, key=lambda check: ORDER.index(check.verdict)):
        levels = "" if check.levels is None else f"{check.levels:.3g}"
        apart = ", ".join(f"{name} {value:+.3g}" for name, value in check.rewards.items() if value) or "none"
        cells = (check.trial[:12], check.device, check.verdict, PIXELS[check.pixels], levels, apart)
        table.add_row(*(Text(cell) for cell in cells), style=STYLES[check.verdict])
    return table


def sentence(checks: Sequence[Check]) -> str:
    """The result in a line."""
    counts = Counter(check.verdict for check in checks)
    said = [f"{counts[Verdict.SAME]} of {len(checks)} trials are the same, {_compared(checks)}"]
    if counts[Verdict.CLOSE]:
        said.append(f"{counts[Verdict.CLOSE]} differ as another kind of device does")
    if counts[Verdict.WRONG]:
        said.append(f"{counts[Verdict.WRONG]} are wrong: the row is not what its recipe gives")
    return "; ".join(said)


def _compared(checks: Sequence[Check]) -> str:
    """What was compared; a row has pixels if its image or its digest is stored."""
    known = sum(check.pixels is not None for check in checks)
    if known == len(checks):
        return "pixels and rewards"
    return "rewards only, as no pixels are stored" if not known else f"rewards, and the pixels of {known}"
