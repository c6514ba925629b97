"""The scripts in clusters/ at work, with stand-ins for Slurm, Ray and the tool that write down how they are called."""

from __future__ import annotations

import re
import shlex
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from cluster_files import CLUSTERS
from ray.scripts.scripts import cli as ray_cli

from bench.study.config import RunConfig, load

STEP = 0.05
DEADLINE = 20.0

LOG = """#!/usr/bin/env bash
name=$(basename "$0")
{ printf '%s ' "$name"; printf '%q ' "$@"; echo; } >>"$STATE/calls"
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
    # A node that is up for as long as it runs.
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
    # Finds out this machine's address, or counts the nodes that are up.
    "python": """#!/usr/bin/env bash
if [[ $* == *get_node_ip_address* ]]; then echo 10.0.0.7; else find "$STATE" -name 'node-*' | wc -l; fi
""",
    # A run; with 'long' it only ends when it is told to.
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
    # Each node has a /tmp of its own, where nothing is made here.
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


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    folders = {name: tmp_path / name for name in ("stand-ins", "state")}
    folders["environment"] = tmp_path / "tts-bench" / ".venv" / "bin"
    for folder in folders.values():
        folder.mkdir(parents=True)
    for name, code in STAND_INS.items():
        slurm = name in {"srun", "scontrol", "sleep", "mkdir"}
        path = folders["stand-ins" if slurm else "environment"] / name
        path.write_text(code)
        path.chmod(0o755)
    made = Site(tmp_path)
    made.mark("code", "0")
    yield made
    for process in made.started:
        process.kill()
        process.wait()


@pytest.fixture
def cluster_job(site: Site) -> Iterator[Site]:
    """An allocation of three nodes with two GPUs each."""
    site.variables = {
        "SLURM_JOB_ID": "71",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_GPUS_ON_NODE": "2",
        "SLURM_CPUS_ON_NODE": "16",
        "SLURMD_NODENAME": "n01",
    }
    yield site
    until(lambda: site.nodes() == 0, "Ray outlived the job")


@pytest.fixture
def shard_job(site: Site) -> Site:
    """A job that is one of four tasks of an array."""
    site.variables = {
        "SLURM_JOB_ID": "82",
        "SLURM_GPUS_ON_NODE": "1",
        "SLURM_ARRAY_TASK_ID": "2",
        "SLURM_ARRAY_TASK_COUNT": "4",
        "SLURM_ARRAY_TASK_MIN": "0",
        "SLURM_ARRAY_TASK_MAX": "3",
    }
    return site


CLUSTER = CLUSTERS / "slurm.sbatch"
ARRAY = CLUSTERS / "slurm-array.sbatch"


def until(condition: Callable[[], bool], complaint: str) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, complaint
        time.sleep(STEP)


def signalled(site: Site, script: Path, kind: signal.Signals, code: int) -> tuple[int, str]:
    """Run a script that gets a signal while its run is under way, which then ends with a code."""
    site.mark("code", str(code))
    site.mark("long")
    process = site.start(script)
    until(lambda: (site.state / "running").exists(), "the run did not start")
    process.send_signal(kind)
    return site.end(process)


def settings(words: list[str]) -> tuple[RunConfig, dict[str, str]]:
    """The settings that a recorded 'tts-bench run' has, and its other options."""
    assert words[:2] == ["tts-bench", "run"]
    pairs = list(zip(words[3::2], words[4::2], strict=True))
    changed = [value for option, value in pairs if option == "--set"]
    return load(words[2], changed), {option: value for option, value in pairs if option != "--set"}


def ray_start(words: list[str]) -> dict[str, object]:
    """The parameters of a recorded 'ray start', as Ray reads them."""
    assert words[:2] == ["ray", "start"]
    return ray_cli.commands["start"].make_context("start", words[2:]).params


# One cluster over an allocation


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_the_jobs_exit_code_is_the_runs(cluster_job: Site, code: int) -> None:
    cluster_job.mark("code", str(code))
    assert cluster_job.run(CLUSTER)[0] == code
    assert cluster_job.calls("scontrol") == []  # only the clock queues a job again


def test_a_run_on_the_whole_allocation(cluster_job: Site) -> None:
    code, output = cluster_job.run(CLUSTER)
    assert (code, output) == (0, "")
    assert [words[0] for words in cluster_job.calls()] == ["srun", "ray", "srun", "ray", "ray", "tts-bench"]

    head, workers = cluster_job.calls("srun")
    assert {"--nodes=1", "--ntasks=1", "--nodelist=n01", "--cpus-per-task=16"} <= set(head)
    assert {"--nodes=2", "--ntasks=2", "--exclude=n01", "--cpus-per-task=16"} <= set(workers)

    first, *others = map(ray_start, cluster_job.calls("ray"))
    assert (first["head"], first["node_ip_address"], first["port"]) == (True, "10.0.0.7", 6379)
    assert [(other["head"], other["address"]) for other in others] == [(False, "10.0.0.7:6379")] * 2
    for node in (first, *others):
        assert (node["block"], node["num_cpus"], node["num_gpus"]) == (True, 16, 2)

    config, options = settings(cluster_job.calls("tts-bench")[0])
    assert options == {"--address": "10.0.0.7:6379"}
    assert (config.engines.count, config.engines.device) == (6, "cuda")
    assert config.output == cluster_job.home / "results" / "study-edm"


def test_the_token_is_the_jobs_own(cluster_job: Site) -> None:
    cluster_job.run(CLUSTER)
    assert cluster_job.lines("modes") == {"600"}
    assert cluster_job.lines("auth") == {"token"}
    assert cluster_job.lines("token-length") == {"64"}
    assert cluster_job.tokens() == []


def test_rays_files_lie_in_a_folder_that_nobody_else_can_enter(cluster_job: Site) -> None:
    cluster_job.run(CLUSTER)
    folders = (cluster_job.state / "folders").read_text().splitlines()
    assert len(folders) == 3  # one on each node, before Ray starts there
    (folder,) = set(folders)
    found = re.fullmatch(r"700 (/tmp/tts-bench-71\.\w{6})", folder)
    assert found
    assert {ray_start(words)["temp_dir"] for words in cluster_job.calls("ray")} == {f"{found[1]}/ray"}
    longest = f"{found[1]}00000000/ray/session_2026-01-01_00-00-00_000000_0000000/sockets/plasma_store"
    assert len(longest) < 108  # of a socket's path; with an eight-digit longer job

    cluster_job.run(CLUSTER)
    assert len(cluster_job.lines("folders") - {"700"}) == 2  # another name each time


def test_a_folder_that_is_there_already_is_not_used(cluster_job: Site) -> None:
    cluster_job.mark("folder-is-taken")
    code, output = cluster_job.run(CLUSTER)
    assert code == 1
    assert "Ray did not start" in output
    assert cluster_job.calls("ray") == []
    assert cluster_job.tokens() == []


def test_one_node_has_no_workers(cluster_job: Site) -> None:
    cluster_job.variables["SLURM_JOB_NUM_NODES"] = "1"
    assert cluster_job.run(CLUSTER)[0] == 0
    assert [words[0] for words in cluster_job.calls()] == ["srun", "ray", "tts-bench"]


def test_out_of_time_queues_again(cluster_job: Site) -> None:
    code, output = signalled(cluster_job, CLUSTER, signal.SIGTERM, 130)
    assert code == 130
    assert "queues again" in output
    assert cluster_job.calls()[-2:] == [["tts-bench", "TERM"], ["scontrol", "requeue", "71"]]
    assert cluster_job.tokens() == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_that_is_done_in_time_does_not_queue_again(cluster_job: Site, code: int) -> None:
    assert signalled(cluster_job, CLUSTER, signal.SIGTERM, code)[0] == code
    assert cluster_job.calls()[-1] == ["tts-bench", "TERM"]


def test_stopped_by_hand_stays_stopped(cluster_job: Site) -> None:
    assert signalled(cluster_job, CLUSTER, signal.SIGINT, 130)[0] == 130
    assert cluster_job.calls()[-1] == ["tts-bench", "TERM"]  # shells start children deaf to INT


def test_out_of_time_before_the_nodes_are_up(cluster_job: Site) -> None:
    cluster_job.mark("ray-is-slow")
    process = cluster_job.start(CLUSTER)
    until(lambda: (cluster_job.state / "auth").exists(), "Ray did not start")
    process.send_signal(signal.SIGTERM)
    assert cluster_job.end(process)[0] == 143
    assert cluster_job.calls("tts-bench") == []
    assert cluster_job.calls("scontrol") == [["scontrol", "requeue", "71"]]


def test_ray_that_does_not_start(cluster_job: Site) -> None:
    cluster_job.mark("ray-fails")
    code, output = cluster_job.run(CLUSTER)
    assert code == 1
    assert "Ray did not start" in output
    assert cluster_job.calls("tts-bench") == []
    assert cluster_job.tokens() == []


def test_nodes_that_do_not_come(cluster_job: Site) -> None:
    cluster_job.mark("ray-is-slow")
    hasty = cluster_job.home / "hasty.sbatch"
    hasty.write_text(CLUSTER.read_text().replace("START_SECONDS=600", "START_SECONDS=1"))
    code, output = cluster_job.run(hasty)
    assert code == 1
    assert "0 of 1 nodes came up within 1 s" in output


@pytest.mark.parametrize("script", [CLUSTER, ARRAY])
def test_an_allocation_without_gpus(site: Site, script: Path) -> None:
    code, output = site.run(script)
    assert code != 0
    assert "no GPUs were allocated" in output


# An array of shards


def test_a_shard_on_one_gpu(shard_job: Site) -> None:
    assert shard_job.run(ARRAY) == (0, "")
    (words,) = shard_job.calls()
    config, options = settings(words)
    assert options == {"--shard": "2/4"}
    assert (config.engines.backend, config.engines.count, config.engines.device) == ("local", 1, "cuda")
    assert config.output == shard_job.home / "results" / "study-edm"


def test_a_shard_on_many_gpus_has_a_cluster_of_its_own(shard_job: Site) -> None:
    shard_job.variables["SLURM_GPUS_ON_NODE"] = "8"
    assert shard_job.run(ARRAY)[0] == 0
    config, _ = settings(shard_job.calls()[0])
    assert (config.engines.backend, config.engines.address, config.engines.count) == ("ray", "local", 8)
    assert shard_job.lines("modes") == {"600"}
    assert shard_job.lines("auth") == {"token"}
    assert shard_job.lines("token-length") == {"64"}


@pytest.mark.parametrize("code", [1, 2, 3])
def test_a_shards_exit_code_is_the_runs(shard_job: Site, code: int) -> None:
    shard_job.mark("code", str(code))
    assert shard_job.run(ARRAY)[0] == code
    assert shard_job.calls("scontrol") == []


def test_a_shard_that_is_out_of_time_queues_again(shard_job: Site) -> None:
    assert signalled(shard_job, ARRAY, signal.SIGTERM, 130)[0] == 130
    assert shard_job.calls()[-2:] == [["tts-bench", "TERM"], ["scontrol", "requeue", "82"]]


def test_a_shard_that_is_stopped_by_hand_stays_stopped(shard_job: Site) -> None:
    assert signalled(shard_job, ARRAY, signal.SIGINT, 130)[0] == 130
    assert shard_job.calls("scontrol") == []


@pytest.mark.parametrize(("first", "last"), [("1", "4"), ("0", "6")])
def test_shards_with_gaps_are_refused(shard_job: Site, first: str, last: str) -> None:
    shard_job.variables |= {"SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last}
    code, output = shard_job.run(ARRAY)
    assert code == 2
    assert "without gaps" in output
    assert shard_job.calls() == []


# One machine


@pytest.fixture
def local(site: Site) -> tuple[Site, Path]:
    """The script beside an environment that holds the stand-ins."""
    script = site.home / "tts-bench" / "clusters" / "local.sh"
    script.parent.mkdir()
    script.write_text((CLUSTERS / "local.sh").read_text())
    site.mark("once")
    return site, script


def test_a_cluster_on_one_machine(local: tuple[Site, Path]) -> None:
    site, script = local
    assert site.run(script, "--num-gpus=1") == (0, "")
    (words,) = site.calls()
    start = ray_start(words)
    assert (start["head"], start["block"], start["num_gpus"]) == (True, True, 1)
    assert (start["dashboard_host"], start["port"]) == ("127.0.0.1", 6379)
    assert site.lines("auth") == {"token"}


def test_a_local_token_is_made_once_and_kept_private(local: tuple[Site, Path]) -> None:
    site, script = local
    token = site.home / ".ray" / "auth_token"
    site.run(script)
    made = token.read_text()
    assert len(made) == 64
    token.chmod(0o644)  # as Ray itself leaves it
    site.run(script)
    assert token.read_text() == made
    assert site.lines("modes") == {"600"}
