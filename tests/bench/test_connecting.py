"""Clusters that are missing or cannot be started, and what their engines may import; no cluster starts here."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import sysconfig
import threading
import time
from pathlib import Path

import pytest
import ray
from ray.core.generated.common_pb2 import JobConfig

from bench.study.config import Engines
from bench.workers.on_ray import paths
from bench.workers.on_ray.connecting import connect
from bench.workers.on_ray.paths import Job, SearchPath
from tts.errors import EngineError


def engines(address: str, seconds: float) -> Engines:
    """Settings of engines on a cluster, with the seconds to wait for it."""
    return Engines.model_validate({"address": address, "start_seconds": seconds})


def test_a_cluster_that_is_not_there_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", None)  # its call would take minutes
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(EngineError) as caught:
        connect(engines(f"127.0.0.1:{port}", 0.2), 1)
    assert str(caught.value).startswith(f"engines.address = 127.0.0.1:{port}: nothing answers there (")
    assert "\n" not in str(caught.value)


def test_what_listens_and_never_answers_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()
    monkeypatch.setattr(ray, "init", lambda **_: done.wait(60))
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(EngineError, match=rf"= {address}: no Ray cluster .* engines.start_seconds = 0.2"):
            connect(engines(address, 0.2), 1)
    done.set()


def test_a_signal_is_heard_while_a_cluster_is_joined(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray's own code handles no signals, so the main thread must not be in it."""
    joining, done = threading.Event(), threading.Event()

    def init(**_: object) -> None:
        joining.set()
        done.wait(60)

    def interrupt() -> None:
        joining.wait()
        os.kill(os.getpid(), 2)

    monkeypatch.setattr(ray, "init", init)
    threading.Thread(target=interrupt, daemon=True).start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        connect(engines("auto", 60), 1)
    assert time.monotonic() - begin < 10
    done.set()


@pytest.mark.parametrize("address", ["auto", "ray://there:10001x", "x"])
def test_why_a_cluster_cannot_be_joined_is_said(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise ConnectionError("Could not find any running Ray instance.\nPlease start one.")

    monkeypatch.setattr(ray, "init", init)
    with pytest.raises(EngineError) as caught:
        connect(engines(address, 5), 1)
    assert str(caught.value) == (
        f"engines.address = {address}: the cluster cannot be joined (Could not find any running Ray instance.)"
    )


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_too_long_for_sockets_is_said(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise OSError("validate_socket_filename failed: AF_UNIX path length cannot exceed 107 bytes: /x/ray/session_")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv(name, str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pytest.raises(EngineError) as caught:
        connect(engines("local", 60), 1)
    assert str(caught.value) == (
        f"engines: Ray cannot start on this machine (its sockets need a shorter folder than {tmp_path}; set RAY_TMPDIR "
        "to a short one, e.g. RAY_TMPDIR=/tmp)"
    )


def test_where_rays_logs_are_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def init(**_: object) -> None:
        raise Exception("The current node timed out during startup.\nThis could happen because")  # noqa: TRY002

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    with pytest.raises(EngineError) as caught:
        connect(engines("local", 60), 1)
    assert str(caught.value) == (
        "engines: Ray cannot start on this machine (The current node timed out during startup.; its logs are in "
        f"{tmp_path}/ray/session_latest/logs)"
    )


@pytest.mark.parametrize(
    ("mode", "kept", "made"), [("token", None, 64), ("token", "\n", 64), ("token", "mine", 0), ("disabled", None, 0)]
)
def test_the_token_of_a_cluster_of_its_own_is_for_nobody_else(
    mode: str, kept: str | None, made: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray would write a new one into a file that everybody may read."""
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_MODE", mode)
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / ".ray" / "auth_token"
    if kept is not None:
        file.parent.mkdir()
        file.write_text(kept)
        file.chmod(0o644)  # as Ray creates it
    monkeypatch.setattr(ray, "init", lambda **_: None)
    connect(engines("local", 60), 1)
    assert len(os.environ.get("RAY_AUTH_TOKEN", "")) == made
    assert [path.stat().st_mode & 0o777 for path in tmp_path.rglob("auth_token")] == [0o600] * (kept is not None)


def test_without_docstrings_ray_is_not_even_started() -> None:
    code = (
        "from bench.study.config import Engines; from bench.workers.on_ray.connecting import connect\n"
        "from tts.errors import EngineError\n"
        "try: connect(Engines(), 1)\n"
        "except EngineError as error: print(error)\n"
    )
    told = subprocess.run([sys.executable, "-OO", "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.startswith("engines: Ray cannot start without docstrings (")
    assert told.stdout.endswith("; unset PYTHONOPTIMIZE, which is 2, or set engines.backend=local\n")


def test_engines_hear_nothing_of_the_drivers_working_folder() -> None:
    """Ray would let engines search the script's and the working folder before installed packages."""
    job = Job()
    job._py_driver_sys_path.extend(["/bin", "/home/me"])  # as ray.init appends them
    assert list(JobConfig.FromString(job._serialize()).py_driver_sys_path) == []


def test_this_project_comes_first_and_the_working_folder_last(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, after, project = (tmp_path / name for name in ("before", "after", "project"))
    for folder in (before, after, project):
        folder.mkdir()
    monkeypatch.setattr(paths, "PROJECT", project)
    standard, site = sysconfig.get_path("stdlib"), sysconfig.get_path("purelib")
    given = [f"{sys.prefix}/bin", str(before), str(tmp_path / "none"), standard, site, str(project), str(after)]
    monkeypatch.setattr(sys, "path", given)
    path = SearchPath.own()
    assert path.first == (str(project), str(before))
    assert path.variables() == {"PYTHONPATH": f"{project}{os.pathsep}{before}"}
    there = [standard, site, str(after)]
    monkeypatch.setattr(sys, "path", there)
    path.append()
    assert there == [standard, site, str(after), str(project)]
