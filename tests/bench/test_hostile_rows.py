"""Rows and files of a foreign results folder: an invalid one ends in one line, and nothing outside is touched."""

from __future__ import annotations

import io
import json
import os
import shutil
import struct
import subprocess
import zlib
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import refused, tree
from PIL import Image
from report_runs import small_run
from stored_runs import rows, stored
from synthetic_trials import trials

from bench.report.plots import figure_curves, png, svg
from bench.report.summary import comparable, read_trials, shown_images
from bench.statistics.curves import curves
from bench.store import reader as store
from bench.store.added import FILE, read_added
from bench.store.images import image_sha256, opened
from bench.store.plain import plain
from bench.store.storage import LocalStorage
from tts.errors import DataError, TTSError

NAN, INF = float("nan"), float("inf")

BAD: dict[str, tuple[str, Any, pa.DataType | None]] = {
    **{f"no {name}": (name, None, None) for name in ("trial", "search", "settings", "condition", "label", "reward")},
    **{f"no {name}": (name, None, None) for name in ("seed", "problem_seed")},
    **{f"{name} below zero": (name, -1, None) for name in ("seed", "problem_seed", "nfe", "decodes", "reward_calls")},
    **{f"{name} out of sight": (name, 2**62, None) for name in ("seed", "nfe", "decodes", "reward_calls")},
    **{
        f"{name} not finite": (name, INF, None)
        for name in ("value", "budget_value", "device_seconds", "score_brightness")
    },
    **{
        f"{name} no number": (name, NAN, None) for name in ("value", "budget_value", "wall_seconds", "score_brightness")
    },
    "a trial without a forward": ("nfe", 0, None),
    "a value whose square is infinite": ("value", 1e200, None),
    "a value that is a text": ("value", "x", pa.string()),
    "counts that are fractions": ("nfe", 1.5, pa.float64()),
    "a search that is a list": ("search", ["x"], pa.list_(pa.string())),
    "an image that is a mapping": ("image", {"x": 1}, pa.struct([("x", pa.int64())])),
    "a recipe that is a number": ("noises", 3, pa.int64()),
    "samples that are no numbers": ("samples", [NAN], None),
    "an identity that is a path": ("trial", "../x", None),
    "an identity that is long": ("trial", "a" * 33, None),
    "an identity in other letters": ("trial", "\u202eabc", None),
    "a reward that is a path": ("reward", "../x", None),
    "settings that are no mapping": ("settings", "[1]", None),
    "settings with a number that is none": ("settings", '{"N": NaN}', None),
    "settings that a terminal obeys": ("settings", '{"N": "\\u001b[2J"}', None),
    "settings with half a character": ("settings", '{"N": "\\ud800"}', None),
    "settings named by half a character": ("settings", '{"\\udfff": 1}', None),
    "a condition with half a character": ("condition", '"\\ud800"', None),
    "settings of many digits": ("settings", '{"N": ' + "9" * 9999 + "}", None),
    "a condition that is a list": ("condition", "[1]", None),
    "a condition that is code": ("condition", "__import__('os')", None),
    "a condition of many digits": ("condition", "9" * 400, None),
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("made") / "run", rows(2))


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def put(run: Path, name: str, value: Any, kind: pa.DataType | None = None) -> None:
    """Set a column to one value in every row, of its own type or another."""
    for part in (run / "trials").iterdir():
        table = pq.read_table(part)
        values = pa.array([value] * len(table), kind or table.schema.field(name).type)
        pq.write_table(table.set_column(table.column_names.index(name), name, values), part)


@pytest.mark.parametrize(("name", "value", "kind"), BAD.values(), ids=BAD.keys())
def test_a_row_that_none_of_ours_is_like_is_refused(name: str, value: Any, kind: pa.DataType | None, run: Path) -> None:
    assert len(read_trials(run))
    put(run, name, value, kind)
    for read in (lambda: store.read(run), lambda: list(store.batches(run, [name]))):
        with pytest.raises(DataError) as caught:
            read()
        assert str(caught.value).startswith(f"{run}: ")
        assert "\n" not in str(caught.value)
        assert plain(str(caught.value)) == str(caught.value)


def test_types_of_the_same_meaning_are_read(run: Path) -> None:
    before = store.read(run)
    for name, kind in {"nfe": pa.int16(), "search": pa.large_string(), "value": pa.float32()}.items():
        [part] = (run / "trials").iterdir()
        table = pq.read_table(part)
        place = table.column_names.index(name)
        pq.write_table(table.set_column(place, name, table[name].cast(kind)), part)
    assert store.read(run).schema.types == before.schema.types


def test_two_columns_of_one_name(run: Path) -> None:
    [part] = (run / "trials").iterdir()
    table = pq.read_table(part)
    pq.write_table(table.append_column("value", table["value"]), part)
    with pytest.raises(DataError, match=r"parquet is damaged.*duplicate field names"):
        store.read(run)


@pytest.mark.parametrize("name", ["derived", "left_out", "flops"])
def test_columns_of_no_run_are_left_out(name: str, run: Path) -> None:
    """A table with ``derived`` would count as one whose failed trials are left out already."""
    [part] = (run / "trials").iterdir()
    table = pq.read_table(part)
    before = curves(read_trials(run))
    pq.write_table(table.append_column(name, pa.array([True] * len(table))), part)
    pd.testing.assert_frame_equal(curves(read_trials(run)), before)


def test_texts_are_printed_without_what_a_terminal_obeys(run: Path) -> None:
    for name in ("search", "label", "device", "error"):
        put(run, name, "\x1b[2J\u202ea b\u3000c\u200dd")
    found = store.read(run)
    assert {found[name][0].as_py() for name in ("search", "label", "device", "error")} == {
        "\ufffd[2J\ufffda b\u3000c\u200dd"  # spaces and joiners of any script stay
    }


@pytest.mark.parametrize("name", ["search", "settings", "budget", "device"])
def test_names_end_somewhere(name: str, run: Path) -> None:
    put(run, name, '{"N": "' + "x" * 10**6 + '"}')
    with pytest.raises(DataError, match=rf"^{run}: {name} of a row has more than 20000 letters$"):
        store.read(run)


@pytest.mark.parametrize("name", ["label", "error"])
def test_longer_texts_are_cut(name: str, run: Path) -> None:
    put(run, name, "x" * 10**6)
    assert store.read(run)[name][0].as_py() == "x" * 10_000


def file(kind: str, side: int = 8) -> bytes:
    """A picture in some file format."""
    buffer = io.BytesIO()
    Image.new("RGB", (side, side), "red").save(buffer, kind)
    return buffer.getvalue()


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"

IMAGES = {
    "a program": EPS,  # drawing it would call a program, too
    "another form": file("GIF"),
    "a large one": bomb(10_000),
    "a very large one": bomb(60_000),
    "half of one": file("PNG")[:50],
    "nothing": b"",
    "text": b"\x80\x04cos\nsystem\n.",
}


@pytest.mark.parametrize("image", IMAGES.values(), ids=IMAGES.keys())
def test_images_are_pngs_of_a_size(image: bytes, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    assert opened(file("PNG")).size == (8, 8)
    with pytest.raises(OSError, match=r"^no image \([^\n]*\)$"):
        opened(image)
    assert len(image_sha256(image) or "") == 64
    put(run, "image", image)
    with pytest.raises(DataError, match=rf"^{run}: the image of trial \w+ is damaged \(no image "):
        shown_images(run, read_trials(run))


@pytest.mark.parametrize("name", ["manifest.json", "status.json", FILE, "trials/part-zz-00000.parquet"])
def test_nobody_waits_for_a_pipe(name: str, run: Path) -> None:
    (run / name).unlink(missing_ok=True)
    os.mkfifo(run / name)
    with pytest.raises(TTSError, match="neither a file nor a folder"):
        LocalStorage(run).read(name)
    if name.startswith("trials"):
        with pytest.raises(TTSError, match="neither a file nor a folder"):
            store.read(run)


@pytest.mark.parametrize("shard", ["", "0/2"])
@pytest.mark.parametrize("target", ["there", "not there"])
def test_a_lock_is_no_link(target: str, shard: str, run: Path, tmp_path: Path) -> None:
    """Otherwise a user who resumes such a run would empty a file of their own."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "there").write_text("mine")
    (run / ".lock").unlink(missing_ok=True)
    (run / ".lock").symlink_to(outside / target)
    before = tree(outside)
    with pytest.raises(DataError, match="leads out of the run's folder"):
        LocalStorage(run).claim(shard)
    assert tree(outside) == before


def test_a_link_to_itself_is_no_file(run: Path) -> None:
    (run / "manifest.json").unlink()
    (run / "manifest.json").symlink_to("manifest.json")
    with pytest.raises(DataError, match=r"'manifest\.json' is a link that leads round to itself"):
        LocalStorage(run).read("manifest.json")


def test_nothing_is_swept_behind_a_link(run: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / ".part.tmp").touch()
    (run / "evaluations").symlink_to(outside)
    with pytest.raises(DataError, match="leads out of the run's folder"):
        LocalStorage(run).sweep("")
    assert (outside / ".part.tmp").exists()


@pytest.mark.parametrize("text", ["[" * 100_000, "{}", "x", "\xff", '{"name": "fid"}'])
def test_added_metrics_are_a_list(text: str, run: Path) -> None:
    (run / FILE).write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"metrics-added\.json is damaged"):
        read_added(run)


def test_a_manifest_without_a_resolved_configuration(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    del manifest["resolved"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert comparable([run, run]) == [[0, 1]]
    refused("does not say what was run", "report", run)


def test_half_a_character_of_a_manifest_is_replaced(run: Path) -> None:
    """JSON can hold what no page and no terminal can."""
    manifest = json.loads((run / "manifest.json").read_text())
    manifest["resolved"]["model"]["note \udfff"] = ["\ud800x", "\U0001f468"]
    (run / "manifest.json").write_text(json.dumps(manifest))
    assert store.read_manifest(run)["resolved"]["model"]["note \ufffd"] == ["\ufffdx", "\U0001f468"]


def test_prompts_stay_as_they_are() -> None:
    """Spaces, joiners and marks of any script are part of an identity."""
    prompt = "a\u00a0cat\u3000\U0001f468\u200d\U0001f469"
    assert plain(prompt) == prompt


@pytest.mark.parametrize(
    "attack", [("image", EPS), ("value", INF), ("nfe", 0), ("condition", "[1]"), ("settings", "{")]
)
def test_commands_say_so_in_one_line(attack: tuple[str, Any], tmp_path: Path) -> None:
    run = small_run(tmp_path / "run", 20)
    put(run, *attack)
    refused(f"{run}: ", "curves", run)


@pytest.mark.usefixtures("drawn")
def test_names_with_dollar_signs_are_no_formulas() -> None:
    points = curves(trials(4))
    points = points.assign(curve="$\\bad{$ " + points["curve"], search="$\\bad{$ " + points["search"])
    assert png(figure_curves(points)).startswith(b"\x89PNG")
    assert svg(figure_curves(points)).endswith(b"</svg>\n")
