"""Fixtures and settings shared by all tests.

``make test`` runs them in three processes. The tests of one file run in one process, and so do all tests that start a
cluster: these mostly wait, and two clusters would compete for the machine. Some tests measure time, so no other
test runs meanwhile.
"""

from __future__ import annotations

import gc
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest
from hypothesis import settings
from PIL import Image
from ray_cluster import SharedCluster
from rooms import room

# Ray reads these when it is imported, and some test modules import it before any module of this project.
os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32), "RAY_USAGE_STATS_ENABLED": "0"}
# Ray starts no idle worker processes: engines have their own variables, so they start processes of their own.
os.environ |= {"RAY_enable_worker_prestart": "0", "RAY_prestart_worker_first_driver": "0"}

# One thread whether tests run in one process or two: a sum of floats may depend on it, and there are two cores.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

# Tests start hundreds of processes: each module is compiled once for all of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# Triton interprets kernels for GPUs; it reads this when it is imported.
os.environ["TRITON_INTERPRET"] = "1"

settings.register_profile("repeatable", deadline=None, derandomize=True, database=None, max_examples=25)
settings.load_profile("repeatable")

ROOT = Path(__file__).parents[1]

ON_RAY = {
    "test_combinations",
    "test_families",
    "test_mishaps",
    "test_nodes",
    "test_pools",
    "test_ray_scorers",
    "test_scale",
}
"""Test files that start a cluster."""
SLOW = ON_RAY | {
    # whole commands, processes that are killed, servers, browsers, shells
    "test_benchmarks",
    "test_adding_metrics",
    "test_against_loop",
    "test_cli",
    "test_cli_runs",
    "test_cli_training",
    "test_cluster_commands",
    "test_cluster_files",
    "test_connecting",
    "test_extending",
    "test_hostile_folder",
    "test_installers",
    "test_interrupts",
    "test_kill",
    "test_kubernetes_file",
    "test_local_script",
    "test_export",
    "test_object_store",
    "test_readme",
    "test_scorer_processes",
    "test_scorers",  # its scorers are processes
    "test_report_browser",
    "test_report_page",
    "test_shards",
    "test_slurm_array_script",
    "test_slurm_script",
    "test_verify",
    "test_site",
    # many whole studies or engines
    "test_across",
    "test_calibrate",
    "test_chaos",
    "test_compare",
    "test_encoding",
    "test_hostile_parts",
    "test_hostile_rows",
    "test_losses",
    "test_plots",
    "test_precisions",
    "test_publish",
    "test_samplers",
    "test_simulated",
    "test_tabulate",
    # larger networks, and packages that take seconds to import
    "test_adapters",
    "test_adm_classifier",
    "test_aesthetic_head",
    "test_aesthetic_v2_5",
    "test_any_pipeline",
    "test_attention",
    "test_checkpoint",
    "test_class_logits",
    "test_classifier",
    "test_clip_t5",
    "test_clip_weights",
    "test_cogview4",
    "test_config_keys",
    "test_config_tables",
    "test_cut_prompts",
    "test_data",
    "test_edm2",
    "test_edm_checkpoint",
    "test_edm_refusals",
    "test_encoders",
    "test_extractors",
    "test_features",
    "test_few_steps",
    "test_flow_families",
    "test_flow_keys",
    "test_folded_unet",
    "test_geneval",
    "test_guided_classifier",
    "test_guiding",
    "test_half_precision",
    "test_latent_models",
    "test_latent_parity",
    "test_metric_conformance",
    "test_model_conformance",
    "test_other_forms",
    "test_own_family",
    "test_prompt_store",
    "test_published_configs",
    "test_published_networks",
    "test_references",
    "test_reward_conformance",
    "test_sampler_conformance",
    "test_search_conformance",
    "test_set_metrics",
    "test_single_file",
    "test_sit",
    "test_sizes",
    "test_song",
    "test_spreading",
    "test_torchvision_classifier",
    "test_training",
    "test_vlm",
    "test_whole_weights",
}
"""Files that ``pytest -m "not slow"`` leaves out: each of their tests is marked ``slow``."""
ALONE = {
    "test_help_appears_at_once",
    "test_a_host_keeps_its_device_busy_with_full_batches",
    "test_engines_of_unequal_speed_all_have_work_until_the_end",
    "test_a_million_trials_are_not_made_before_they_are_needed",
    "test_a_large_run_goes_on_soon_and_in_little_memory",
    "test_a_real_window_is_made_of_its_parts",
}
"""Tests that measure time, so that no other test may run meanwhile."""
LOCKS = "TTS_BENCH_TEST_LOCKS"
"""Environment variable with the folder of locks and of a network that the processes of one test run share."""
if LOCKS not in os.environ:
    os.environ[LOCKS] = tempfile.mkdtemp(prefix="tts-bench-tests-")


def pytest_configure(config: pytest.Config) -> None:
    """Create that folder; the process that starts the others removes it."""
    if not hasattr(config, "workerinput"):
        os.environ["TTS_CACHE"] = str(Path(os.environ[LOCKS]) / "cache")  # tests leave nothing in the user's cache
        config.add_cleanup(lambda: shutil.rmtree(os.environ[LOCKS]))


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Skip reading slow files if none of their tests is asked for, as their imports take seconds."""
    return True if config.option.markexpr == "not slow" and collection_path.stem in SLOW else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Exempt imported and collected objects from garbage collection: they stay to the end."""
    gc.disable()
    yield
    gc.freeze()
    gc.enable()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark slow tests before ``-m`` is applied, and run them first, so that no process has a long file at the end."""
    for item in items:
        if item.path.stem in SLOW:
            item.add_marker("slow")
    items.sort(key=lambda item: (item.path.stem not in ON_RAY, item.name not in ALONE, item.path.stem not in SLOW))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Hand out whole files to the processes; all files of :data:`ON_RAY` count as one, and so do tests that are to be
    alone: in another process they would wait for the former, which take up to a minute each, and all others for them.
    """
    from xdist.scheduler import LoadScopeScheduling

    class ByFile(LoadScopeScheduling):  # type: ignore[misc]
        def _split_scope(self, nodeid: str) -> str:
            file, _, name = nodeid.partition("::")
            return "ray" if Path(file).stem in ON_RAY or name in ALONE else file

    return ByFile(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let tests that start clusters go first where processes compete for cores: their own processes wait for each
    other."""
    if hasattr(item.config, "workerinput") and item.path.stem not in ON_RAY and os.nice(0) == 0:
        os.nice(5)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keep tests of :data:`ALONE` and tests of other processes apart, by locks."""
    with room(Path(os.environ[LOCKS]), alone=item.name in ALONE):
        return (yield)


_cluster = SharedCluster()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Use one thread, like an engine: with more, the CPU's kernels let a row depend on its position."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def ray_address() -> str:
    """Address of the cluster that all tests of :data:`ON_RAY` share."""
    return _cluster.address


def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the cluster after the last test that may need it."""
    if nextitem is None or nextitem.path.stem not in ON_RAY:
        _cluster.close()


@pytest.fixture(scope="session")
def fresh_python() -> Callable[..., str]:
    """Runs code in a new process and returns what it printed; the code can import ``tts`` and the test helpers."""

    def run(code: str, hash_seed: int = 0) -> str:
        path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
        environment = os.environ | {"PYTHONHASHSEED": str(hash_seed), "PYTHONPATH": path}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False, timeout=300
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


@pytest.fixture(scope="module")
def undrawn() -> Iterator[Callable[..., None]]:
    """Figures are made and become empty pictures, as drawing is most of a report; the value is what would draw them."""
    from matplotlib.figure import Figure

    def save(figure: Figure, file: IO[bytes], format: str = "png", **_: Any) -> None:
        if format == "svg":
            file.write(b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg"></svg>\n')
        else:
            Image.new("RGB", (1, 1)).save(file, format)

    with pytest.MonkeyPatch.context() as patch:
        draws = Figure.savefig
        patch.setattr(Figure, "savefig", save)
        yield draws
