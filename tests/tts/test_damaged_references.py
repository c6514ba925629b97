"""References of real images that cannot be read, in whatever way, are named in one line; others' faults are not."""

from __future__ import annotations

import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from broken_png import broken
from PIL import Image

from tts.errors import DataError, SettingError
from tts.metrics.extractors.inception import Inception
from tts.metrics.extractors.judge import Judge
from tts.metrics.references import computed, images, published

PIXELS = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
MEMBERS = {"moments.npz": ("mu.npy", "sigma.npy"), "images.npz": ("arr_0.npy",), "images.zip": ("a.png",)}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TTS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "references"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder of images."""
    (tmp_path / "images").mkdir()
    for number, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    return tmp_path / "images"


def use(path: Path) -> None:
    """Read moments, or an image."""
    if path.name.startswith("moments"):
        published.moments(path, Inception(), "pooled")
    with images.opened(path) as (_, read):
        read(0)


@pytest.mark.parametrize("spoilt", ["packed by Deflate64", "encrypted", "damaged"])
@pytest.mark.parametrize("name", MEMBERS)
def test_archives_that_cannot_be_unpacked_are_named(tmp_path: Path, name: str, spoilt: str) -> None:
    path, first = tmp_path / name, len(MEMBERS[name][0])
    buffer = io.BytesIO()
    np.save(buffer, PIXELS)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for member in MEMBERS[name]:
            made.writestr(member, buffer.getvalue())
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # of the first member
    place, value = {"packed by Deflate64": (entry + 10, 9), "encrypted": (entry + 8, 1)}.get(spoilt, (30 + first, 255))
    data[place] = value
    path.write_bytes(data)
    with pytest.raises(DataError, match=rf"^reference {path}: (damaged, or holds|its images cannot be read)"):
        use(path)


def test_other_damage_is_named(tmp_path: Path, folder: Path) -> None:
    packed = tmp_path / "images.tar.xz"
    with tarfile.open(packed, "w:xz") as tar:
        tar.add(folder)
    data = bytearray(packed.read_bytes())
    data[len(data) // 2] ^= 255
    packed.write_bytes(data)
    (folder / "0.png").write_bytes(broken((folder / "0.png").read_bytes()))
    (tmp_path / "moments.pkl").write_bytes(pickle.dumps({"fid": {"mu": {"a": 1}, "sigma": ["b"]}}))
    for path in (packed, folder, tmp_path / "moments.pkl"):
        with pytest.raises(DataError, match=rf"^reference {path}: (damaged|its images cannot be read)"):
            use(path)


@pytest.mark.parametrize("name", ["images", "images.zip", "images.tar", "images.npz", "moments.npz"])
def test_far_larger_images_than_there_are_fill_no_memory(
    tmp_path: Path, folder: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as packed:
        packed.write(folder / "0.png")
    with tarfile.open(tmp_path / "images.tar", "w") as tar:
        tar.add(folder)
    np.savez(tmp_path / "images.npz", PIXELS)
    np.savez(tmp_path / "moments.npz", mu=np.zeros(2048), sigma=np.eye(2048))
    use(tmp_path / name) if name != "moments.npz" else published.moments(tmp_path / name, Inception(), "pooled")
    for module in (images, published):
        monkeypatch.setattr(module, "MOST_BYTES", 1000)
    with pytest.raises(DataError, match=rf"^reference {tmp_path / name}: .*(more than 0 MiB|at most 1000 are read)"):
        use(tmp_path / name)


def test_a_folder_may_hold_what_is_no_image(tmp_path: Path, folder: Path) -> None:
    before = computed.digest(folder)
    (folder / "scans.png").mkdir()
    (folder / "gone.png").symlink_to(tmp_path / "nowhere")
    assert computed.digest(folder) == before
    (folder / os.fsdecode(b"\xff.png")).write_bytes(b"")
    with pytest.raises(DataError, match=r"^reference .*images: its images cannot be read"):
        computed.digest(folder)


@pytest.mark.parametrize("error", [SettingError("features: needs the package"), ValueError("no such layer")])
def test_faults_of_an_extractor_are_its_own(folder: Path, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def look(*_: object) -> None:
        raise error

    monkeypatch.setattr(Judge, "look", look)
    with pytest.raises(type(error), match=f"^{error}$"):
        computed.vectors(folder, Judge(), "pooled", 100)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 damaged"], ids=["empty", "damaged"])
def test_a_damaged_file_of_the_cache_is_named(folder: Path, cache: Path, content: bytes) -> None:
    computed.vectors(folder, Judge(), "pooled", 3)
    [kept] = cache.glob("*.npz")
    kept.write_bytes(content)
    with pytest.raises(SettingError, match=f"TTS_CACHE: {kept} cannot be used .*; delete it, or set another folder"):
        computed.vectors(folder, Judge(), "pooled", 3)
