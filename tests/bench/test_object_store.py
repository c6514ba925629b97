"""Runs in an object store: a local S3 server behind a connection that can be cut in the middle of a PUT."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import bench
from driver_processes import DriverProcess, table, write
from tiny_study import SHIPPED

from bench.store import reader as store
from bench.store.row import TrialRow
from bench.store.schema import TIMED
from bench.store.storage import ObjectStorage, place
from bench.store.writer import Store
from bench.study.config import RunConfig
from tts.errors import SettingError

MANIFEST = {"digest": "d", "config": {}, "devices": []}
Make = Callable[..., RunConfig]


class Line:
    """Forwards bytes to a server; a connection is cut after :attr:`budget` more bytes."""

    def __init__(self, port: int) -> None:
        self.server, self.budget = port, float("inf")
        self.cuts = self.closed = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                ours, _ = self._socket.accept()
            except OSError:
                return
            theirs = socket.create_connection(("127.0.0.1", self.server))
            threading.Thread(target=self._carry, args=(ours, theirs, True), daemon=True).start()
            threading.Thread(target=self._carry, args=(theirs, ours, False), daemon=True).start()

    def _carry(self, source: socket.socket, to: socket.socket, counted: bool) -> None:
        sent = 0
        try:
            while data := source.recv(4096):
                sent += len(data)
                if counted and sent > self.budget:
                    self.cuts += 1
                    break
                to.sendall(data)
        except OSError:  # the other side has closed it
            self.closed += 1
        for end in (source, to):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def close(self) -> None:
        """Accept no new connections."""
        self._socket.close()


@pytest.fixture(scope="module")
def server() -> Iterator[int]:
    """Port of a local S3 server with a bucket ``runs``."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while True:
            try:
                connection = HTTPConnection("127.0.0.1", port)
                connection.request("PUT", "/runs")
                assert connection.getresponse().status == HTTPStatus.OK
                connection.close()
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.1)
            else:
                break
        yield port
        process.terminate()


@pytest.fixture
def line(server: int) -> Iterator[Line]:
    """A line to the server."""
    made = Line(server)
    yield made
    made.close()


@pytest.fixture
def address(line: Line, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """The address of a place in the bucket that only this test uses."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    options = f"endpoint_override=127.0.0.1:{line.port}&scheme=http&region=us-east-1&allow_bucket_creation=false"
    return f"s3://runs/{request.node.name.replace('[', '-').strip(']')}?{options}"


def row(k: int, image: bytes | None = None) -> dict[str, Any]:
    """A row with few values."""
    trial = {"trial": f"{k:032x}", "search": "naive", "settings": "{}", "seed": k, "problem_seed": k}
    point = {"budget": None, "budget_value": None, "condition": "0", "label": "cat", "reward": "brightness"}
    return {**trial, **point, "image": image, "score_brightness": 0.1 * k}


def rows_of(output: str) -> list[dict[str, Any]]:
    """Every stored row, sorted, without the columns that tell times."""
    found = store.table(output)
    assert found is not None
    plain = [{name: value for name, value in row.items() if name not in TIMED} for row in found.to_pylist()]
    return sorted(plain, key=lambda row: row["trial"])


def test_a_run_in_a_bucket_is_the_run_in_a_folder(address: str, tiny: Make, tmp_path: Path) -> None:
    study = {
        "model": {**SHIPPED, "sampler": {"steps": 2}},
        "searches": ["naive", {"name": "best_of_n", "N": 2}],
        "rewards": ["brightness"],
    }
    here, there = tiny(output="here", **study), tiny(**study).model_copy(update={"output": address})
    assert bench("run", write(here, tmp_path / "here.yaml")).code == 0
    result = bench("run", write(there, tmp_path / "there.yaml"))
    assert (result.code, result.err) == (0, "")
    assert rows_of(address) == table(tmp_path / "here")
    assert place(address).names() == [
        "curves.parquet",
        "curves.png",
        "images.png",
        "manifest.json",
        "status.json",
        "trials",
    ]
    assert "done, 4 of 4 trials done" in bench("status", address).words
    trial = rows_of(address)[0]["trial"]
    assert "the image is identical to the stored one" in bench("replay", address, trial).out
    assert bench("export", address, tmp_path / "copy").code == 0
    assert table(tmp_path / "copy") == rows_of(address)
    assert "all 4 trials are done" in bench("run", tmp_path / "there.yaml").out


def test_a_killed_run_in_a_bucket_resumes(address: str, tiny: Make, tmp_path: Path) -> None:
    searches = ["naive", {"name": "random", "N": 3}]
    study = {"problems": {"conditions": "all"}, "searches": searches, "rewards": ["brightness"], "flush_seconds": 0.3}
    calm = tiny(output="calm", **study)
    assert bench("run", write(calm, tmp_path / "calm.yaml")).code == 0
    path = write(tiny(**study).model_copy(update={"output": address}), tmp_path / "there.yaml")
    driver, deadline = DriverProcess(path), time.monotonic() + 120
    while not len(store.done(address)) and time.monotonic() < deadline:
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.wait()
    assert 0 < len(store.done(address)) < 20
    assert DriverProcess(path).wait() == 0
    assert rows_of(address) == table(tmp_path / "calm")


def test_images_in_files_of_their_own(address: str) -> None:
    session = Store(address, ["brightness"], image_files=True)
    session.open("d", MANIFEST)
    session.add(TrialRow.of_record(row(1, b"PNG")))
    session.close()
    assert rows_of(address)[0]["image_file"] == f"images/{1:032x}.png"
    assert place(address).read(f"images/{1:032x}.png") == b"PNG"


@pytest.mark.parametrize("size", [100_000, 12_000_000])  # one PUT, or an upload in parts
def test_a_line_cut_in_the_middle_of_a_part_loses_nothing(size: int, address: str, line: Line) -> None:
    session = Store(address, ["brightness"], flush_seconds=10**6)
    session.open("d", MANIFEST)
    image = np.random.default_rng(0).bytes(size)
    session.add(TrialRow.of_record(row(1, image)))
    line.budget = 60_000
    with pytest.raises(SettingError, match=r"output s3://runs/[^?]*: cannot be written to"):
        session.flush()
    assert line.cuts
    assert store.parts(place(address)) == []
    assert session.waiting == 1
    line.budget = float("inf")
    session.add(TrialRow.of_record(row(2)))
    session.close()
    assert [found["trial"] for found in rows_of(address)] == [f"{1:032x}", f"{2:032x}"]
    assert rows_of(address)[0]["image"] == image


def test_one_driver_at_a_time(address: str) -> None:
    first, second = Store(address, ["brightness"]), Store(address, ["brightness"])
    first.open("d", MANIFEST)
    with pytest.raises(SettingError, match=r"another run is writing there \(process \d+ of .*, seen \d s ago\)"):
        second.open("d", MANIFEST)
    first.close()
    second.open("d", MANIFEST)
    second.close()
    assert ".lock" not in place(address).names()


@pytest.mark.parametrize("change", [{"time": 0.0}, {"pid": 2**22 + 1}, {"time": 2.0**33}])
def test_a_killed_drivers_mark_is_no_obstacle(change: dict[str, float], address: str) -> None:
    """The mark is stale, its process is gone, or a clock was set back and the mark is from the future."""
    killed = Store(address, ["brightness"])
    killed.open("d", MANIFEST)
    bucket = place(address)
    mark = json.loads(bucket.read(".lock") or b"")
    bucket.write(".lock", json.dumps({**mark, **change}).encode())
    Store(address, ["brightness"]).open("d", MANIFEST)
    assert json.loads(bucket.read(".lock") or b"")["owner"] != mark["owner"]


@pytest.mark.parametrize(
    "mark", [{"time": "soon"}, {"time": [1]}, {"time": 1e400}, {"pid": "x"}, {"pid": 10**30}, {"pid": -1}]
)
def test_a_mark_that_anyone_may_have_written_is_read(mark: dict[str, Any], address: str) -> None:
    bucket, now = place(address), {"time": time.time(), "host": os.uname().nodename, "pid": 1}
    bucket.write(".lock", json.dumps({**now, **mark}).encode())
    session = Store(address, ["brightness"])
    session.open("d", MANIFEST)
    session.close()


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [((0, 1), (0, 2), False), ((0, 2), (0, 1), False), ((0, 2), (1, 4), False), ((0, 2), (1, 2), True)],
)
def test_shards_share_a_bucket_with_shards_of_as_many_only(
    first: tuple[int, int], second: tuple[int, int], together: bool, address: str
) -> None:
    one, other = (Store(address, ["brightness"], shard=shard) for shard in (first, second))
    one.open("d", MANIFEST)
    if together:
        other.open("d", MANIFEST)
        other.close()
    else:
        with pytest.raises(SettingError, match="another run is writing there"):
            other.open("d", MANIFEST)
    one.close()
    other.open("d", MANIFEST)
    other.close()


def test_a_store_that_is_not_there_is_named(address: str, line: Line, tiny: Make, tmp_path: Path) -> None:
    gone = address.replace("s3://runs/", "s3://nowhere/")
    path = write(tiny().model_copy(update={"output": gone}), tmp_path / "gone.yaml")
    result = bench("run", path)
    assert result.code == 2
    assert result.err.startswith("error: output s3://nowhere/")
    assert result.err.count("\n") == 1


def test_an_address_that_cannot_be_read_is_named() -> None:
    with pytest.raises(SettingError, match=r"output s3://runs/x: cannot be opened"):
        ObjectStorage("s3://runs/x?no_such_option=1")
