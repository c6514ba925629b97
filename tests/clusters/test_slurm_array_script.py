"""The script for an array of shards on Slurm, run with stand-ins for Slurm, Ray and ``tts-bench``."""

from __future__ import annotations

import signal

import pytest
from stand_ins import ARRAY, Site, settings, signalled


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
    assert signalled(shard_job, ARRAY, signal.SIGUSR1, 130)[0] == 130
    assert shard_job.calls()[-2:] == [["tts-bench", "TERM"], ["scontrol", "requeue", "82"]]


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_shard_that_is_stopped_by_hand_stays_stopped(shard_job: Site, kind: signal.Signals) -> None:
    assert signalled(shard_job, ARRAY, kind, 130)[0] == 130
    assert shard_job.calls("scontrol") == []


@pytest.mark.parametrize(("first", "last"), [("1", "4"), ("0", "6")])
def test_shards_with_gaps_are_refused(shard_job: Site, first: str, last: str) -> None:
    shard_job.variables |= {"SLURM_ARRAY_TASK_MIN": first, "SLURM_ARRAY_TASK_MAX": last}
    code, output = shard_job.run(ARRAY)
    assert code == 2
    assert "without gaps" in output
    assert shard_job.calls() == []
