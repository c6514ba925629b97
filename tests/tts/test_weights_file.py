"""Weights files: written tensors are read back, and damage is found."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from tts.errors import WeightsError
from tts.files import weights_file


def network(width: int = 4, seed: int = 0) -> nn.Module:
    """A convolution and a normalisation: floats, and an integer that counts batches."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(3, width, 3), nn.BatchNorm2d(width))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A good file."""
    weights_file.save(network(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def header_size(path: Path) -> int:
    return 8 + int.from_bytes(path.read_bytes()[:8], "little")


def flip(path: Path, place: int) -> None:
    """Change one byte of a file."""
    data = bytearray(path.read_bytes())
    data[place] ^= 0x11
    path.write_bytes(data)


def test_round_trip_within_half_precision(path: Path) -> None:
    loaded = network(seed=1)
    weights_file.load(loaded, path)
    for name, value in network().state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value.half().to(value.dtype)), name


def test_saving_again_what_was_loaded_gives_the_same_file(path: Path, tmp_path: Path) -> None:
    loaded = network(seed=1)
    weights_file.load(loaded, path)
    digest = weights_file.save(loaded, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert digest == weights_file.digest(path)


def test_saving_leaves_one_file(path: Path) -> None:
    assert list(path.parent.iterdir()) == [path]


def test_other_weights_have_another_digest(path: Path, tmp_path: Path) -> None:
    assert weights_file.save(network(seed=1), tmp_path / "other.safetensors") != weights_file.digest(path)


def test_floats_are_stored_in_half_precision(path: Path) -> None:
    header = json.loads(path.read_bytes()[8 : header_size(path)])
    kinds = {name: entry["dtype"] for name, entry in header.items() if name != "__metadata__"}
    assert kinds.pop("1.num_batches_tracked") == "I64"
    assert set(kinds.values()) == {"F16"}


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors: no such file"):
        weights_file.load(network(), tmp_path / "none.safetensors")


@pytest.mark.parametrize("size", [0, 1, 7, 8, 50, -100, -1])
def test_a_truncated_file_is_found(path: Path, size: int) -> None:
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(WeightsError, match=r"net\.safetensors: damaged"):
        weights_file.load(network(), path)


def test_every_flipped_byte_among_the_tensors_is_found(path: Path) -> None:
    start, whole = header_size(path), path.read_bytes()
    for place in range(start, len(whole), 7):
        flip(path, place)
        with pytest.raises(WeightsError, match=r"net\.safetensors: damaged"):
            weights_file.digest(path)
        path.write_bytes(whole)


def survives(path: Path, expected: str) -> bool:
    """Whether a file is still accepted, with the same tensors; an error of another type fails the test."""
    try:
        return weights_file.digest(path) == expected
    except WeightsError as error:
        assert "net.safetensors" in str(error)  # noqa: PT017
        return False


def test_no_flipped_byte_in_the_header_goes_unnoticed(path: Path) -> None:
    """Only the spelling of the digest's key can change without harm, as the tensors are still the same."""
    whole, expected = path.read_bytes(), weights_file.digest(path)
    key = whole.index(b"sha256")
    unnoticed = []
    for place in range(0, header_size(path), 3):
        flip(path, place)
        unnoticed += [place] if survives(path, expected) else []
        path.write_bytes(whole)
    assert set(unnoticed) <= set(range(key, key + 6)) | set(range(whole.index(b"__metadata__"), key))


def test_garbage_is_not_a_weights_file(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(b"<html>404</html>" * 100)
    with pytest.raises(WeightsError, match=r"net\.safetensors: damaged or not a safetensors file"):
        weights_file.digest(path)


def test_a_folder_is_not_a_weights_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=tmp_path.name):
        weights_file.digest(tmp_path)


def test_weights_of_another_network_are_refused(path: Path) -> None:
    with pytest.raises(WeightsError, match=r"net\.safetensors: made for another network than Sequential"):
        weights_file.load(network(width=8), path)


def test_a_refused_file_leaves_the_network_as_it_was(path: Path) -> None:
    flip(path, header_size(path) + 3)
    untouched = network(seed=1)
    with pytest.raises(WeightsError):
        weights_file.load(untouched, path)
    assert all(map(torch.equal, untouched.state_dict().values(), network(seed=1).state_dict().values()))


def test_a_foreign_file_without_a_digest_is_accepted(tmp_path: Path) -> None:
    """Files by other programs state no digest; the digest of their tensors still identifies them."""
    path = tmp_path / "foreign.safetensors"
    save_file({"0.weight": torch.ones(2, 3)}, path)
    foreign = nn.Sequential(nn.Linear(3, 2, bias=False))
    weights_file.load(foreign, path)
    assert torch.equal(foreign[0].weight, torch.ones(2, 3))


def test_a_file_that_cannot_be_written_leaves_the_older_one_alone(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(OSError, match="No space left"):
        weights_file.save(network(seed=1), path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [path.name]
