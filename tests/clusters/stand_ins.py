"""Stand-ins for Slurm, Ray and ``tts-bench`` that record their calls, and a home folder that holds them."""

from __future__ import annotations

import shlex
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cluster_files import CLUSTERS
from ray.scripts.scripts import cli as ray_cli

from bench.study.config import RunConfig, load

CLUSTER = CLUSTERS / "slurm.sbatch"
ARRAY = CLUSTERS / "slurm-array.sbatch"

STEP = 0.05
DEADLINE = 20.0
"""Seconds between two checks, and until a test gives up."""

LOG = """#!/usr/bin/env bash
name=$(basename "$0")
printf -v words '%q ' "$@"
printf '%s %s\\n' "$name" "$words" >>"$STATE/calls"  # at once: several call at a time
"""

STAND_INS = {
    # As many Ray processes as there are tasks; a signal ends them.
    "srun": LOG
    + """
tasks=1
for argument in "$@"; do [[ $argument != --ntasks=* ]] || tasks=${argument#--ntasks=}; done
while [[ $1 == -* ]]; do shift; done
children=()
for ((task = 0; task < tasks; task++)); do "$@" & children+=($!); done
trap 'kill "${children[@]}"' TERM
code=0
wait || code=$?
exit "$code"
""",
    # A node that is up while the process runs.
    "ray": LOG
    + """
[[ ! -e $STATE/ray-fails ]] || exit 1
stat -c %a "${RAY_AUTH_TOKEN_PATH:-$HOME/.ray/auth_token}" >>"$STATE/modes"
echo "$RAY_AUTH_MODE" >>"$STATE/auth"
[[ " $* " == *" --block "* && ! -e $STATE/once ]] || exit 0
[[ -e $STATE/ray-is-slow ]] || touch "$STATE/node-$$"
trap 'rm -f "$STATE/node-$$"; exit 0' TERM
while true; do /bin/sleep 0.02; done
""",
    # Prints this machine's address, or the number of nodes that are up.
    "python": """#!/usr/bin/env bash
if [[ $* == *get_node_ip_address* ]]; then echo 10.0.0.7; else find "$STATE" -name 'node-*' | wc -l; fi
""",
    # A run; with 'long' it ends only on a signal.
    "tts-bench": LOG
    + """
stat -c %a "${RAY_AUTH_TOKEN_PATH:-/}" >>"$STATE/modes"
echo "$RAY_AUTH_MODE" >>"$STATE/auth"
wc -c <"${RAY_AUTH_TOKEN_PATH:-/dev/null}" >"$STATE/token-length"
[[ -e $STATE/long ]] || exit "$(cat "$STATE/code")"
trap 'echo "tts-bench TERM" >>"$STATE/calls"; exit "$(cat "$STATE/code")"' TERM
touch "$STATE/running"
while true; do /bin/sleep 0.02; done
""",
    "scontrol": LOG,
    # Each node has its own /tmp, where this test makes nothing.
    "mkdir": """#!/usr/bin/env bash
[[ $1 == -m ]] || exec /bin/mkdir "$@"
echo "$2 $3" >>"$STATE/folders"
[[ ! -e $STATE/folder-is-taken ]]
""",
    "sleep": '#!/usr/bin/env bash\nexec /bin/sleep "0.0$1"\n',
}


@dataclass
class Site:
    """A home folder with stand-ins where a script looks for its programs."""

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    started: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def output(self) -> Path:
        return self.home / "output"

    @property
    def state(self) -> Path:
        return self.home / "state"

    def mark(self, name: str, content: str = "") -> None:
        (self.state / name).write_text(content)

    def start(self, script: Path, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            "HOME": str(self.home),
            "STATE": str(self.state),
            "PATH": f"{self.home}/stand-ins:/usr/bin:/bin",
            "RAY_AUTH_TOKEN": "of another cluster",
            "RAY_ADDRESS": "another.cluster:6379",
            **self.variables,
        }
        with self.output.open("w") as output:
            command = ["bash", script, *arguments]
            process = subprocess.Popen(command, env=environment, stdout=output, stderr=output, cwd=self.home)
        self.started.append(process)
        return process

    def end(self, process: subprocess.Popen[bytes]) -> tuple[int, str]:
        return process.wait(DEADLINE), self.output.read_text()

    def run(self, script: Path, *arguments: str) -> tuple[int, str]:
        return self.end(self.start(script, *arguments))

    def calls(self, program: str = "") -> list[list[str]]:
        """Calls of the stand-ins, in order."""
        path = self.state / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return [words for words in map(shlex.split, lines) if not program or words[0] == program]

    def lines(self, name: str) -> set[str]:
        return set((self.state / name).read_text().split())

    def nodes(self) -> int:
        return len(list(self.state.glob("node-*")))

    def tokens(self) -> list[Path]:
        return list(self.home.glob(".ray-token-*"))


def until(condition: Callable[[], bool], complaint: str) -> None:
    """Wait for a process."""
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(STEP)


def signalled(site: Site, script: Path, kind: signal.Signals, code: int) -> tuple[int, str]:
    """Send a signal to a script while its run is under way; the run then ends with ``code``."""
    site.mark("code", str(code))
    site.mark("long")
    process = site.start(script)
    until(lambda: (site.state / "running").exists(), "the run did not start")
    process.send_signal(kind)
    return site.end(process)


def settings(words: list[str]) -> tuple[RunConfig, dict[str, str]]:
    """The settings of a recorded 'tts-bench run', and its other options."""
    assert words[:2] == ["tts-bench", "run"]
    pairs = list(zip(words[3::2], words[4::2], strict=True))
    changed = [value for option, value in pairs if option == "--set"]
    return load(words[2], changed), {option: value for option, value in pairs if option != "--set"}


def ray_start(words: list[str]) -> dict[str, object]:
    """The parameters of a recorded 'ray start', as Ray reads them."""
    assert words[:2] == ["ray", "start"]
    return ray_cli.commands["start"].make_context("start", words[2:]).params
