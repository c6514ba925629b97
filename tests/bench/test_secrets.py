"""No secret of a configuration reaches a file, the terminal or a page."""

from __future__ import annotations

from pathlib import Path

import pytest
from command_line import bench, tree

ADDRESSES = ("s3://KEYID:HIDDEN@bucket/run", "s3://bucket/run?secret_key=HIDDEN", "s3://bucket/run?access_key=HIDDEN")


@pytest.mark.parametrize("address", ADDRESSES)
def test_an_output_with_a_secret_is_refused(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    result = bench("run", "quickstart", "--set", f"output={address}")
    assert result.code == 2
    assert result.err.count("\n") == 1
    assert "AWS_ACCESS_KEY_ID" in result.err
    assert "HIDDEN" not in result.out + result.err
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("command", ["status", "curves", "report", "export", "compare"])
def test_every_command_refuses_it(command: str, tmp_path: Path) -> None:
    more = {"export": [tmp_path / "out"], "compare": [ADDRESSES[0]]}.get(command, [])
    result = bench(command, ADDRESSES[0], *more)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "HIDDEN" not in result.out + result.err


def test_an_address_of_weights_with_a_secret_is_refused(tmp_path: Path) -> None:
    model = "model={name: edm, checkpoint: 'https://user:HIDDEN@host/x.pkl'}"
    result = bench("run", "quickstart", "--set", model, "--set", f"output={tmp_path / 'run'}")
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert "HIDDEN" not in result.err
    assert not (tmp_path / "run").exists()
