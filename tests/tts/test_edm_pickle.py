"""EDM pickles: every tensor is read, and nothing in a file is ever run."""

from __future__ import annotations

import io
import os
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import edm_pickles
import numpy as np
import pytest
import torch
from edm_pickles import TINY

from tts.errors import WeightsError
from tts.files import edm_pickle
from tts.models.edm import EDM


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good file of a tiny network."""
    return edm_pickles.save(edm_pickles.network(**TINY), tmp_path_factory.mktemp("edm") / "network.pkl")


@pytest.mark.parametrize("protocol", [3, 4, pickle.HIGHEST_PROTOCOL])
def test_every_form_of_pickle_gives_the_same_network(tmp_path: Path, path: Path, protocol: int) -> None:
    other = edm_pickles.save(edm_pickles.network(**TINY), tmp_path / "other.pkl", protocol)
    first, second = edm_pickle.read(path), edm_pickle.read(other)
    assert (first.sigma_data, first.architecture) == (0.5, "DhariwalUNet")
    assert first.arguments == second.arguments == {**TINY, "in_channels": 3, "out_channels": 3, "dropout": 0.1}
    assert first.tensors.keys() == second.tensors.keys()
    assert all(np.array_equal(first.tensors[name], second.tensors[name]) for name in first.tensors)


def test_reads_every_tensor_as_it_was(path: Path) -> None:
    state, tensors = edm_pickles.network(**TINY).model.state_dict(), edm_pickle.read(path).tensors
    assert state.keys() == tensors.keys()
    assert all(np.array_equal(state[name].numpy(), tensors[name]) for name in state)


# ---- hostile files --------------------------------------------------------------------------------------------------


@pytest.fixture
def marker(tmp_path: Path) -> Path:
    """A file that appears if a hostile pickle runs."""
    return tmp_path / "marker"


KINDS = ["a command", "an expression", "a statement", "an attribute", "a file", "torch's loader", "a class of torch"]
STORAGE_START = b"".join(map(pickle.dumps, [*edm_pickle.STORAGE_HEADER, {}]))


def hostile(kind: str, marker: Path) -> tuple[object, str]:
    """An object whose unpickling makes the marker, and the name that its refusal must contain."""
    code = f"__import__('pathlib').Path({str(marker)!r}).touch()"
    calls: dict[str, tuple[object, str]] = {
        "a command": (edm_pickles.Calls(os.system, f"touch {marker}"), f"{os.name}.system"),
        "an expression": (edm_pickles.Calls(eval, code), "builtins.eval"),
        "a statement": (edm_pickles.Calls(exec, code), "builtins.exec"),
        "an attribute": (edm_pickles.Calls(getattr, "", "join"), "builtins.getattr"),
        "a file": (edm_pickles.Calls(os.mknod, str(marker)), f"{os.name}.mknod"),
        "torch's loader": (edm_pickles.Calls(torch.load, str(marker)), "torch.serialization.load"),
        "a class of torch": (torch.nn.Linear(1, 1), "torch.nn.modules.linear.Linear"),
    }
    return calls[kind]


def refused(path: Path, name: str) -> None:
    """Assert that the file is refused in one line that names the file and what it asks for."""
    for use in (edm_pickle.read, lambda path: EDM(checkpoint=path).check(), lambda path: EDM(checkpoint=path).load()):
        with pytest.raises(WeightsError) as error:
            use(path)
        assert str(error.value) == (
            f"checkpoint {path}: refused, because it names {name!r}, which no EDM network needs; "
            "nothing in it was executed"
        )


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_hostile_file_wants_to_run_is_refused_by_name(tmp_path: Path, marker: Path, kind: str) -> None:
    evil, name = hostile(kind, marker)
    (tmp_path / "evil.pkl").write_bytes(pickle.dumps(evil))
    refused(tmp_path / "evil.pkl", name)
    assert not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_refused_beside_a_good_network(tmp_path: Path, marker: Path, kind: str) -> None:
    evil, name = hostile(kind, marker)
    network = edm_pickles.network(**TINY)
    network.model.extra = [evil]
    refused(edm_pickles.save(network, tmp_path / "evil.pkl"), name)
    assert not marker.exists()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("header", [b"", STORAGE_START], ids=["at its start", "as its class"])
def test_it_is_refused_inside_a_tensors_storage(tmp_path: Path, marker: Path, kind: str, header: bytes) -> None:
    evil, name = hostile(kind, marker)
    nested = edm_pickles.Calls(torch.storage._load_from_bytes, header + pickle.dumps(evil))
    refused(edm_pickles.save(nested, tmp_path / "evil.pkl"), name)
    assert not marker.exists()


def test_the_hostile_files_would_work_elsewhere(marker: Path) -> None:
    """Otherwise the tests above would prove nothing."""
    for kind in ("a command", "an expression", "a statement", "a file"):
        pickle.loads(pickle.dumps(hostile(kind, marker)[0]))  # noqa: S301
        marker.unlink()


def test_a_names_dots_lead_nowhere(tmp_path: Path) -> None:
    """Listed names give no access to unlisted ones."""
    for module, name in [("collections", "OrderedDict.__class__"), ("dnnlib.util", "EasyDict.__init__.__globals__")]:
        (tmp_path / "evil.pkl").write_bytes(
            b"\x80\x04" + b"".join(b"\x8c" + bytes([len(word)]) + word.encode() for word in (module, name)) + b"\x93."
        )
        refused(tmp_path / "evil.pkl", f"{module}.{name}")


@pytest.mark.parametrize("name", edm_pickle.NAMES)
@pytest.mark.parametrize("build", [b"N}Vpoison\nI1\ns\x86b.", b"}Vpoison\nI1\nsb."], ids=["slots", "attributes"])
def test_a_file_cannot_change_what_stands_for_its_names(tmp_path: Path, name: str, build: bytes) -> None:
    """Unpickling may set attributes of any object that it can name, and these would outlive the file."""
    module, _, attribute = name.rpartition(".")
    (tmp_path / "evil.pkl").write_bytes(f"c{module}\n{attribute}\n".encode() + build)
    with pytest.raises(WeightsError, match="damaged, or not an EDM pickle"):
        edm_pickle.read(tmp_path / "evil.pkl")
    assert not hasattr(edm_pickle.NAMES[name], "poison")


# ---- damaged and foreign files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [0, 1e-5, 1e-3, 0.01, 0.2, 0.5, 0.9, 0.999, 1 - 1e-5])
def test_a_truncated_file_is_found(tmp_path: Path, path: Path, part: float) -> None:
    whole = path.read_bytes()
    (tmp_path / "part.pkl").write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(WeightsError, match=r"part\.pkl: damaged, or not an EDM pickle"):
        edm_pickle.read(tmp_path / "part.pkl")


@pytest.mark.parametrize(
    "content",
    [b"<html>404</html>", b"PK\x03\x04 not a pickle", pickle.dumps([1, 2]), pickle.dumps({"ema": 3}), b"\x80\x04}."],
)
def test_another_kind_of_file_is_found(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "other.pkl").write_bytes(content)
    with pytest.raises(WeightsError, match=r"other\.pkl: damaged, or not an EDM pickle") as error:
        edm_pickle.read(tmp_path / "other.pkl")
    assert "\n" not in str(error.value)


def storage(**changes: Any) -> bytes:
    """A storage of two numbers in torch's form, with changes."""
    parts = {"magic": 0x1950A86A20F9469CFC6C, "version": 1001, "little": True, "length": 2, "numbers": 2, "keys": ["0"]}
    parts |= changes

    class Header(pickle.Pickler):
        def persistent_id(self, value: object) -> object:
            return ("storage", torch.FloatStorage, "0", "cpu", parts["length"], None) if value is parts else None

    stream = io.BytesIO()
    for value in (parts["magic"], parts["version"], {"little_endian": parts["little"]}, parts, parts["keys"]):
        Header(stream, 2).dump(value)
    return stream.getvalue() + struct.pack("<q2f", parts["numbers"], 0.25, 4.0)


def tensor(data: bytes, offset: int = 0, size: tuple[int, ...] = (2,), stride: tuple[int, ...] = (1,)) -> object:
    """A network's ``ema`` that is a tensor with such a storage."""
    nested = edm_pickles.Calls(torch.storage._load_from_bytes, data)
    return edm_pickles.Calls(torch._utils._rebuild_tensor_v2, nested, offset, size, stride, False, {})


def unread(path: Path, ema: object) -> str:
    with pytest.raises(WeightsError) as error:
        edm_pickle.read(edm_pickles.save(ema, path / "x.pkl"))
    return str(error.value)


def test_a_sound_tensor_is_only_in_the_wrong_place(tmp_path: Path) -> None:
    """Otherwise the next tests would prove nothing."""
    assert "_Tensor" in unread(tmp_path, tensor(storage()))


@pytest.mark.parametrize(
    "changes",
    [
        {"magic": 1},
        {"version": 1002},
        {"little": False},
        {"length": 3},
        {"numbers": 3},
        {"keys": ["1"]},
        {"length": 1, "numbers": 1},
        {"length": 3, "numbers": 3},
        {"length": -1, "numbers": -1},
    ],
)
def test_a_damaged_storage_is_found(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert "a tensor's storage is damaged" in unread(tmp_path, tensor(storage(**changes)))


@pytest.mark.parametrize(
    "place",
    [(0, (3,), (1,)), (1, (2,), (1,)), (-1, (1,), (1,)), (1, (2,), (-1,)), (0, (2,), (2,)), (0, (2**40,), (0,))],
)
def test_a_tensor_stays_inside_its_storage(tmp_path: Path, place: tuple[int, tuple[int, ...], tuple[int, ...]]) -> None:
    assert "a tensor reaches beyond its storage" in unread(tmp_path, tensor(storage(), *place))


def hold_values(network: Any) -> None:
    """More than any memory holds, in few bytes."""
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]
    network.model._init_kwargs["embedding_type"] = value


def hold_parts(network: Any) -> None:
    for _ in range(60):
        network.model = edm_pickles.Both(network.model)


@pytest.mark.parametrize("hold", [hold_values, hold_parts])
def test_a_small_file_that_stands_for_very_much_is_refused(tmp_path: Path, hold: Callable[[Any], None]) -> None:
    network = edm_pickles.network(**TINY)
    hold(network)
    path = edm_pickles.save(network, tmp_path / "bomb.pkl")
    with pytest.raises(WeightsError, match=r"it stands for more than 10+ (values|parts)"):
        edm_pickle.read(path)
