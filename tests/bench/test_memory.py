"""A device with too little memory: the batch is halved once, or a message names the setting to change."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from torch import Tensor

from bench.run.start import run
from bench.store import reader as store
from bench.study.config import RunConfig
from tts.errors import DeviceMemoryError
from tts.models.pixel_edm import PixelEDM
from tts.plan import Condition

Make = Callable[..., RunConfig]
SMALL: dict[str, Any] = {
    "rewards": ["brightness"],
    "searches": ["naive"],
    "problems": {"conditions": [0, 1], "seeds": 1},
}


@contextmanager
def room_for(rows: int, error: Exception | None = None) -> Iterator[None]:
    """A device with memory for a number of rows."""
    real = PixelEDM.denoise

    def denoise(model: PixelEDM, x: Tensor, levels: Tensor, conditions: Sequence[Condition]) -> Tensor:
        if len(x) > rows:
            raise error or torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return real(model, x, levels, conditions)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PixelEDM, "denoise", denoise)
        yield


def printed(config: RunConfig) -> str:
    out = io.StringIO()
    run(config, Console(file=out, width=300))
    return out.getvalue()


@pytest.mark.parametrize("error", [None, RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_half_the_batch_is_tried_once_and_said(error: Exception | None, tiny: Make, tmp_path: Path) -> None:
    config = tiny(**SMALL, engines={"batch": 8})
    with room_for(4, error):
        text = printed(config)
    assert "out of memory with engines.batch = 8" in text
    assert "trying once with 4" in text
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    assert manifest["resolved"]["numerics"]["batch"] == 4
    assert len(store.done(tmp_path / "run")) == 2


def test_the_same_command_goes_on_with_half_the_batch(tiny: Make, tmp_path: Path) -> None:
    config = tiny(**SMALL, engines={"batch": 8})
    with room_for(4):
        printed(config)
    text = printed(config)
    assert "this run began with engines.batch = 4 for want of memory" in text
    assert "all 2 trials are done" in text


def test_half_may_still_be_too_much(tiny: Make, tmp_path: Path) -> None:
    with room_for(2), pytest.raises(DeviceMemoryError, match=r"engines\.batch = 4; set engines\.batch lower"):
        printed(tiny(**SMALL, engines={"batch": 8}))
    assert not (tmp_path / "run").exists()


def test_a_run_that_has_begun_is_not_halved(tiny: Make) -> None:
    """With another batch, its rows would belong to another run."""
    config = tiny(**SMALL, engines={"batch": 8})
    half = {**SMALL, "problems": {"conditions": [0, 1], "seeds": 1}}
    printed(tiny(**half, engines={"batch": 8}))
    for part in (config.output / "trials").iterdir():
        part.unlink()
    with room_for(4), pytest.raises(DeviceMemoryError, match=r"engines\.batch = 8"):
        printed(config)


def test_other_errors_are_not_taken_for_it(tiny: Make) -> None:
    with room_for(4, RuntimeError("shape mismatch")), pytest.raises(RuntimeError, match="shape mismatch"):
        printed(tiny(**SMALL))


def test_score_batch_is_part_of_the_numerics_only_when_set(tiny: Make) -> None:
    plain, small = tiny(engines={"batch": 8}).engines, tiny(engines={"batch": 8, "score_batch": 2}).engines
    assert "score_batch" not in plain.numerics()
    assert small.numerics()["score_batch"] == 2
    assert small.halved() == small.model_copy(update={"batch": 4, "score_batch": 1})
    assert tiny(engines={"batch": 1}).engines.halved() is None


@pytest.mark.slow
def test_score_batch_changes_no_row(tiny: Make, tmp_path: Path) -> None:
    """This holds here; kernels of other machines may round differently, so ``score_batch`` belongs to the numerics."""
    rows = []
    for name, extra in (("a", {}), ("b", {"score_batch": 3})):
        printed(tiny(name, **{**SMALL, "searches": ["naive", {"name": "best_of_n", "N": 3}]}, engines=extra))
        table = store.table(tmp_path / name)
        assert table is not None
        rows.append(sorted((row["search"], row["condition"], row["value"]) for row in table.to_pylist()))
    assert rows[0] == rows[1]
