"""The script for one cluster over a Slurm allocation, run with stand-ins for Slurm, Ray and ``tts-bench``."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from stand_ins import ARRAY, CLUSTER, Site, ray_start, settings, signalled, until


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


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_the_jobs_exit_code_is_the_runs(cluster_job: Site, code: int) -> None:
    cluster_job.mark("code", str(code))
    assert cluster_job.run(CLUSTER)[0] == code
    assert cluster_job.calls("scontrol") == []  # only the time limit queues a job again


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
    assert len(longest) < 108  # the limit of a socket's path, for jobs with up to eight more digits

    cluster_job.run(CLUSTER)
    assert len(cluster_job.lines("folders") - {"700"}) == 2  # a different name each time


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
    code, output = signalled(cluster_job, CLUSTER, signal.SIGUSR1, 130)
    assert code == 130
    assert "queues again" in output
    assert cluster_job.calls()[-2:] == [["tts-bench", "TERM"], ["scontrol", "requeue", "71"]]
    assert cluster_job.tokens() == []


@pytest.mark.parametrize("code", [0, 3])
def test_a_run_that_is_done_in_time_does_not_queue_again(cluster_job: Site, code: int) -> None:
    assert signalled(cluster_job, CLUSTER, signal.SIGUSR1, code)[0] == code
    assert cluster_job.calls()[-1] == ["tts-bench", "TERM"]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_stopped_by_hand_stays_stopped(cluster_job: Site, kind: signal.Signals) -> None:
    assert signalled(cluster_job, CLUSTER, kind, 130)[0] == 130
    assert cluster_job.calls()[-1] == ["tts-bench", "TERM"]  # shells start background children that ignore INT


def test_out_of_time_before_the_nodes_are_up(cluster_job: Site) -> None:
    cluster_job.mark("ray-is-slow")
    process = cluster_job.start(CLUSTER)
    until(lambda: (cluster_job.state / "auth").exists(), "Ray did not start")
    process.send_signal(signal.SIGUSR1)
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
