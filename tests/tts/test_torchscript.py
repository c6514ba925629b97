"""TorchScript archives: only their tensors are read; nothing that they name is imported or run."""

from __future__ import annotations

import pickle
import tracemalloc
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from tts.errors import WeightsError
from tts.files import tensors, torchscript


class Net(nn.Module):
    """Layers of two precisions, a buffer, an attribute, and a tensor that shares another one's memory."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 4).half()
        self.rest = nn.ModuleList([nn.LayerNorm(4), nn.Conv2d(1, 2, 3)])
        self.register_buffer("context_length", torch.tensor(77))
        self.steps = 3
        self.sizes = [1, 2]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.steps


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Net]:
    torch.manual_seed(0)
    path, network = tmp_path_factory.mktemp("archive") / "net.pt", Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the format is deprecated, but CLIP's archives have it
        torch.jit.script(network).save(str(path))  # type: ignore[no-untyped-call]
    return path, network


def test_every_tensor_is_read_as_it_is(archive: tuple[Path, Net], tmp_path: Path) -> None:
    path, network = archive
    found, wanted = tensors.read(path, "weights"), network.state_dict()
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
    torch.save(wanted, tmp_path / "w.pt")
    assert torchscript.is_archive(path)
    assert not torchscript.is_archive(tmp_path / "w.pt")


def changed(path: Path, to: Path, name: str, content: bytes, packing: int = zipfile.ZIP_STORED) -> Path:
    """A copy of an archive with another file in it."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(to, "w", packing) as new:
        for entry in old.namelist():
            new.writestr(entry, content if entry.endswith(name) else old.read(entry))
    return to


MAKE, TWICE, KEEP = b"c__torch__\nM\n)\x81", b"}(X\1\0\0\0ah\0X\1\0\0\0bh\0ub", b"q\0000"
MANY = b"\x80\x02" + MAKE + b"}b" + KEEP + (MAKE + TWICE + KEEP) * 60 + b"h\0."
"""A module in a module, twice, sixty times: few bytes that stand for more modules than any memory holds."""


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("/data.pkl", MANY, "stands for more than 100000 parts"),
        ("/data.pkl", b"cposix\nsystem\n(S'true'\ntR.", "GLOBAL posix.system"),
        ("/data.pkl", pickle.dumps([1]), "holds no module"),
        ("/data.pkl", b"\x80\x02", "damaged"),
        ("/data/1", b"", "too short|damaged"),
    ],
)
def test_what_is_foreign_or_damaged_is_one_line(
    name: str, content: bytes, message: str, archive: tuple[Path, Net], tmp_path: Path
) -> None:
    with pytest.raises(WeightsError, match=message) as error:
        tensors.read(changed(archive[0], tmp_path / "w.pt", name, content), "weights")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("packing", "message"),
    [(zipfile.ZIP_DEFLATED, "would unpack to 1000"), (zipfile.ZIP_BZIP2, "Unsupported packing")],
)
def test_a_small_file_of_large_parts_is_refused_before_it_is_unpacked(
    packing: int, message: str, archive: tuple[Path, Net], tmp_path: Path
) -> None:
    path = changed(archive[0], tmp_path / "w.pt", "/data/1", bytes(100_000_000), packing)
    tracemalloc.start()
    with pytest.raises(WeightsError, match=message) as error:
        tensors.read(path, "weights")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(error.value).startswith(f"weights {path}: ")
    assert "\n" not in str(error.value)
    assert peak < 10_000_000


def test_a_part_larger_than_its_archive_says_is_not_unpacked(archive: tuple[Path, Net], tmp_path: Path) -> None:
    size = 100_000_000
    path = changed(archive[0], tmp_path / "w.pt", "/data/1", bytes(size), zipfile.ZIP_DEFLATED)
    path.write_bytes(path.read_bytes().replace(size.to_bytes(4, "little"), (24).to_bytes(4, "little")))
    tracemalloc.start()
    with pytest.raises(WeightsError, match="Bad CRC-32"):
        tensors.read(path, "weights")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_packed_archives_are_read_too(archive: tuple[Path, Net], tmp_path: Path) -> None:
    path = changed(archive[0], tmp_path / "w.pt", "/none", b"", zipfile.ZIP_DEFLATED)
    found = tensors.read(path, "weights")
    assert all(torch.equal(found[name], value) for name, value in archive[1].state_dict().items())
