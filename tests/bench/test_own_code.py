"""Plug-ins of a user's own are identified by their address and their source."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import bench

from bench.store.reader import read
from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError

Make = Callable[..., RunConfig]

SEARCH = (
    "from tts.search.best_of_n import BestOfN\nfrom tts.search.naive import Naive\n\n"
    "class Mine(Naive):\n    '''A search.'''\n\n"
    "class Pick(BestOfN):\n    '''Another.'''\n"
)
REWARD = "from tts.rewards.brightness import Brightness\n\nclass Light(Brightness):\n    '''A reward.'''\n"
MODEL = "from tts.models.cifar10 import Cifar10\n\nclass Small(Cifar10):\n    '''A model.'''\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two modules of a user with identical text."""
    for name in ("one", "two"):
        (tmp_path / f"{name}_own.py").write_text(SEARCH + REWARD + MODEL)
        monkeypatch.delitem(sys.modules, f"{name}_own", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    return tmp_path


def keys(config: RunConfig) -> set[str]:
    """The identities of a run's trials."""
    study = Study(config)
    return {trial.key for trial in study.trials()}


OWN: dict[str, Callable[[str], dict[str, Any]]] = {
    "search": lambda module: {"searches": [f"{module}:Mine"]},
    "inner search": lambda module: {"searches": [{"name": "rank_ensemble", "search": f"{module}:Pick"}]},
    "reward": lambda module: {"rewards": [f"{module}:Light"], "searches": ["naive"]},
    "model": lambda module: {"model": {"name": f"{module}:Small", "sampler": {"steps": 4}}, "searches": ["naive"]},
    "member": lambda module: {
        "rewards": [{"name": "weighted", "of": [{"reward": f"{module}:Light"}]}],
        "searches": ["naive"],
    },
}


@pytest.mark.parametrize("kind", OWN.values(), ids=OWN.keys())
def test_where_it_is_and_what_stands_there_is_part_of_the_identity(
    kind: Callable[[str], dict[str, Any]], folder: Path, tiny: Make
) -> None:
    before = keys(tiny(**kind("one_own")))
    assert keys(tiny(**kind("one_own"))) == before
    assert not before & keys(tiny(**kind("two_own")))
    (folder / "one_own.py").write_text(SEARCH + REWARD + MODEL + "\n# changed\n")
    assert not before & keys(tiny(**kind("one_own")))


def test_registered_searches_keep_their_identity_beside_one_of_a_users_own(folder: Path, tiny: Make) -> None:
    plain = keys(tiny(searches=["naive", "rank_ensemble"]))
    around = {"name": "rank_ensemble", "search": "one_own:Pick"}
    assert plain < keys(tiny(searches=["naive", "rank_ensemble", "one_own:Mine", around]))


def test_two_of_one_name_are_told_apart_or_refused(folder: Path, tiny: Make) -> None:
    with pytest.raises(SettingError, match="two are called Mine, and are different code"):
        Study(tiny(searches=["one_own:Mine", {"name": "two_own:Mine"}]))


def test_an_edited_search_is_another_run(folder: Path) -> None:
    settings = ("searches=['one_own:Mine']", "rewards=[brightness]", "problems.conditions=[0]", "model.sampler.steps=2")
    command = ["run", "quickstart", "--set", "output=run", "--set", "engines={backend: local, simulate: 0.0, batch: 2}"]
    command += [word for setting in settings for word in ("--set", setting)]
    assert bench(*command, "--set", "problems.seeds=1").code == 0
    assert len(read("run")) == 1
    (folder / "one_own.py").write_text(SEARCH + "\n# changed\n")
    result = bench(*command, "--set", "problems.seeds=1")
    assert result.code == 2
    assert "belongs to another configuration" in result.err
