"""``make chaos``: a thousand mishaps, whose counts and result become ``results/chaos.md``."""

from __future__ import annotations

import argparse
import os
import random
import secrets
import sys
import tempfile
import time
from pathlib import Path

FOLDER = tempfile.TemporaryDirectory(prefix="tts-bench-chaos-")
# Read when modules are imported, Ray's by Ray; engines and drivers inherit them.
os.environ |= {"TTS_BENCH_TEST_LOCKS": FOLDER.name, "TTS_CACHE": f"{FOLDER.name}/cache"}
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
os.environ |= {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from tiny_study import save_weights  # noqa: E402

from chaos import engines, processes, simulated, stores  # noqa: E402
from chaos.clocks import JUMP  # noqa: E402
from chaos.page import page  # noqa: E402
from chaos.quota import Outcome, Quota  # noqa: E402

PAGE = Path(__file__).parents[2] / "results" / "chaos.md"
SIMULATED = "simulated: "
ANYWHERE = {simulated.END: 55, stores.KILL: 45, stores.FAULT: 55, JUMP: 30}
ON_ENGINES = {**ANYWHERE, engines.ENGINE: 45, engines.NODE: 45, engines.FROZEN: 30}
COUNTS = {
    "simulated: engines, into a folder": ON_ENGINES,
    "simulated: search workers, into a folder": {**ANYWHERE, engines.WORKER: 66},
    "simulated: engines, into an object store": {**ON_ENGINES, simulated.REPLACED: 35},
    "driver processes": {processes.KILL: 60, processes.FREEZE: 10, processes.DISK: 10},
    "a Ray cluster": {
        "engine killed (SIGKILL)": 8,
        "engine frozen (SIGSTOP)": 4,
        "node taken away": 6,
        processes.KILL: 6,
    },
}
"""How often what befalls each world."""


def simulate(name: str, folder: Path, quota: Quota) -> Outcome:
    """Run a simulated world through all that is to come."""
    [world] = [world for world in simulated.worlds() if SIMULATED + world.name == name]
    begin, campaign = time.monotonic(), simulated.Campaign(world, folder, quota)
    while quota.open(world.kinds):
        campaign.run(campaign.outcome.runs)
    campaign.outcome.seconds = time.monotonic() - begin
    return campaign.outcome


def world(name: str, folder: Path, quota: Quota) -> Outcome:
    """Run a world through all that is to come."""
    if name.startswith(SIMULATED):
        return simulate(name, folder, quota)
    if name == "driver processes":
        return processes.disturbed(folder, quota, random.Random())
    from chaos import cluster  # it takes seconds

    return cluster.disturbed(folder, quota, random.Random())


def main() -> int:
    """Run it."""
    ask = argparse.ArgumentParser(description=__doc__)
    ask.add_argument("--share", type=float, default=1.0, help="of the thousand, rounded up in each kind")
    ask.add_argument("--only", default="", help="worlds whose names hold this")
    ask.add_argument("--write", type=Path, default=PAGE, help="the page")
    asked = ask.parse_args()
    save_weights()
    quotas = {
        name: Quota({kind: -int(-count * asked.share // 1) for kind, count in counts.items()})
        for name, counts in COUNTS.items()
        if asked.only in name
    }
    outcomes = dict[str, Outcome]()
    for number, (name, quota) in enumerate(quotas.items()):
        outcomes[name] = world(name, Path(FOLDER.name) / str(number), quota)
        sys.stderr.write(f"{name}: {quota.came.total()} mishaps, {outcomes[name]}\n")
        asked.write.write_text(page(quotas, outcomes, "make chaos", os.cpu_count()), encoding="utf-8")
    return not all(outcome.sound for outcome in outcomes.values())


if __name__ == "__main__":
    sys.exit(main())
