"""The table of ``docs/noises.md``: the exact effect of each kind of injected noise on the samples.

``python tests/noise_table.py`` writes the page. The exact denoiser of Gaussian data N(m, d^2) is linear, so a step is a
linear map of the state and of its noise, and the samples' deviation is a sum; nothing is drawn. With d = 0, the data
are a single point, and the deviation is the noise that is left in the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from tts.samplers.interpolant import Interpolant, InterpolantSettings
from tts.samplers.schedules import FlowLevels

PAGE = Path(__file__).parents[1] / "docs" / "noises.md"

MEAN, DEVIATION = 0.3, 0.5
STEPS = (10, 28)
KINDS: dict[str, dict[str, object]] = {
    "none (the ODE)": {"share": 0},
    "`ancestral`, share 0.5": {"share": 0.5},
    "`ancestral`, share 0.7": {"share": 0.7},
    "`ancestral`, share 1": {},
    "`cps`, share 0.3": {"kind": "cps", "share": 0.3},
    "`cps`, share 0.7": {"kind": "cps"},
    "`renewal`": {"kind": "renewal"},
    "`flow_grpo`, share 0.7": {"kind": "flow_grpo"},
    "`flow_grpo_held`, share 0.7": {"kind": "flow_grpo_held"},
    "`dance_grpo`, share 0.3": {"kind": "dance_grpo"},
    "`dance_grpo_held`, share 0.3": {"kind": "dance_grpo_held"},
    "`sit`": {"kind": "sit"},
    "`sit_held`": {"kind": "sit_held"},
}


@dataclass(frozen=True)
class Shifted(FlowLevels):
    """Even levels from 1 to 0, shifted like Stable Diffusion 3's (Esser et al. 2024, arXiv 2403.03206, Eq. 23)."""

    shift: float = 3.0

    def levels(self, steps: int) -> tuple[float, ...]:
        """``steps + 1`` levels from 1 to 0."""
        even = (1 - k / steps for k in range(steps + 1))
        return tuple(self.shift * s / (1 + (self.shift - 1) * s) for s in even)


class Spread(NamedTuple):
    """Moments of samples: the mean, and the deviations due to the initial noise and to the injected noises."""

    mean: float
    initial: float
    injected: float

    @property
    def deviation(self) -> float:
        """Deviation due to all noises together."""
        return math.hypot(self.initial, self.injected)


def sampler(noise: dict[str, object], steps: int) -> Interpolant:
    """The sampler on shifted levels."""
    return InterpolantSettings.model_validate({"steps": steps, "noise": noise}).on(Shifted())


def spread(by: Interpolant, mean: float = MEAN, deviation: float = DEVIATION) -> Spread:
    """Moments of the samples for Gaussian data, with the exact denoiser ``D = mean + gain (x - a mean)``."""
    at = Spread(0.0, 1.0, 0.0)
    for index, injects in enumerate(by.plan.injects):
        w = by.weights(index, injects)
        gain = w.signal * deviation**2 / ((w.signal * deviation) ** 2 + w.noise**2)
        of_state = w.clean * gain + w.kept * (1 - w.signal * gain) / w.noise
        constant = (w.clean - w.kept * w.signal / w.noise) * mean * (1 - w.signal * gain)
        at = Spread(of_state * at.mean + constant, of_state * at.initial, math.hypot(of_state * at.injected, w.fresh))
    return at


def row(name: str) -> list[str]:
    """Cells of the row of a kind."""
    cells = [name]
    for steps in STEPS:
        by = sampler(KINDS[name], steps)
        found, point = spread(by), spread(by, deviation=0.0)
        cells += [
            f"{100 * (found.deviation / DEVIATION - 1):+.1f} %",
            f"{point.deviation:.3f}",
            f"{100 * (found.injected / found.deviation) ** 2:.0f} %",
            str(len(by.plan.noisy_steps)),
        ]
    return cells


INTRODUCTION = """\
# Kinds of injected noise

A step of the sampler `interpolant` makes `x' = a' D + k e + w z` of the state `x = a D + s e` with prediction D: `z` is
the step's noise, by which a search chooses. `model: {..., sampler: {name: interpolant, steps: 28, noise: {kind:
ancestral, share: 1}}}` says how large `w` is. Share 0 is the ODE, which leaves nothing to a search over noises.

The table is exact: data N(0.3, 0.5^2) with its exact denoiser, levels from 1 to 0 with shift 3. **Spread**: deviation
of the samples against the data's. **Grain**: deviation of the noise that is left in the image where the data is one
point. **Decided**: share of the samples' variance that the injected noises decide; the rest is the initial noise's.
**Steps**: how many inject; where `w` is below 0.02 a step is the deterministic one, as nobody would see the noise.
`python tests/noise_table.py` writes this page.
"""

READING = """\

The ancestral family converges to the data at any share, leaves no noise behind, and at one spread lets a search decide
as much as any other: it is the default, with share 1 as DDIM's here; 0.5 where the ODE's images matter more. `cps` and
`renewal` keep an error for ever; `renewal` is what consistency models (LCM, Sana-Sprint) were distilled for. The
Euler-Maruyama steps of `flow_grpo` and `dance_grpo` inject on the last step, too, and leave grain in the image; with
the prediction held over the step they do not.

Where a schedule starts from pure noise (s = 1, as all flows do), share 1 replaces all of the initial noise at the first
step, but for its trace in the prediction. A search that moves the initial noise alone then moves next to nothing: let
it run on the ODE, `noise: {share: 0}`.

`sit` takes its last step without noise, as Euler's of the ODE, the option "Euler" of SiT's program; its default
("Mean") takes the SDE's drift there, which moves the image by .04 of the noise's deviation.

SDE-DPM-Solver++(2M) (Lu et al. 2022, arXiv 2211.01095) is share 1 of `ancestral` with the last step's prediction taken
into account; by the same table its spread is -22.1 % at 10 steps and +3.7 % at 28. It is not among the kinds: each
state that engines hold would be larger by half (x, D and the last D), and a way back or a long step of a look-ahead
would leave no last prediction that belongs to it.
"""


def page() -> str:
    """The whole page."""
    head = ["noise"] + [f"{what}, {steps}" for steps in STEPS for what in ("spread", "grain", "decided", "steps")]
    lines = [head, ["---"] * len(head), *(row(name) for name in KINDS)]
    return "\n".join([INTRODUCTION, *(f"| {' | '.join(cells)} |" for cells in lines), READING])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
