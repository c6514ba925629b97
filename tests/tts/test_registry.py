"""Names and settings: plug-ins are imported lazily, and a wrong name is refused with the nearest one."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any

import pytest

from tts import registry
from tts.errors import SettingError, UnknownNameError
from tts.registry import MODELS, REWARDS, SEARCHES, Registry
from tts.search.eps_greedy import EpsGreedy
from tts.search.naive import Naive
from tts.settings import Settings

EVERY = [(kind, name) for kind in (MODELS, REWARDS, SEARCHES) for name in kind.targets]
NEEDED: dict[str, dict[str, Any]] = {
    "weighted": {"of": [{"reward": "brightness", "weight": 1.0}]},
    "rank_average": {"of": ["brightness"], "reference": "a-run"},
    "diffusers": {"id": "owner/name"},
    "remote": {"url": "http://localhost:8000"},
    "table": {"path": "table.parquet"},
}
"""Settings without a default."""

IDS = [f"{kind.kind}-{name}" for kind, name in EVERY]


@pytest.mark.parametrize(
    ("kind", "name", "meant"),
    [
        (SEARCHES, "eps_gredy", "eps_greedy"),
        (SEARCHES, "Beam", "beam"),
        (SEARCHES, "best-of-n", "best_of_n"),
        (REWARDS, "britness", "brightness"),
        (MODELS, "cifar", "cifar10"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(kind: Registry[Any], name: str, meant: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown {kind.kind} '{name}'; did you mean '{meant}'") as error:
        kind.make(name)
    assert "\n" not in str(error.value)


def test_a_name_near_to_none_lists_all() -> None:
    with pytest.raises(UnknownNameError, match=r"known: .*beam, best_of_n, "):
        SEARCHES.make("xyzzy")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "eps_greedy", "esp": 0.5}, "search eps_greedy: unknown key 'esp'; did you mean 'eps'"),
        ({"name": "eps_greedy", "lamda": 0.5}, "unknown key 'lamda'; did you mean 'lambda'"),
        ({"name": "eps_greedy", "keepbest": True}, "unknown key 'keepbest'; did you mean 'keep_best'"),
        ({"name": "beam", "N": 0}, "search beam: N = 0: .*greater than or equal to 1"),
        ({"name": "eps_greedy", "eps": 1.5}, "eps = 1.5: .*less than or equal to 1"),
        ({"name": "eps_greedy", "lambda": 0}, "lambda = 0: .*greater than 0"),
        ({"name": "eps_greedy", "lambda": float("nan")}, "lambda = nan: .*finite"),
        ({"name": "beam", "B": "two"}, "B = 'two': .*integer"),
        ({"name": "naive", "N": 4}, "unknown key 'N'"),
        ({"N": 4}, "search: expected a name or"),
        ({}, "search: expected a name or"),
        (["beam"], "search: expected a name or"),
        (7, "search: expected a name or"),
        (None, "search: expected a name or"),
        ({"name": ["beam"]}, "unknown search"),
        ({"name": None}, "unknown search 'None'"),
    ],
)
def test_a_wrong_setting_is_named(given: object, message: str) -> None:
    with pytest.raises(SettingError, match=message) as error:
        SEARCHES.make(given)
    assert "\n" not in str(error.value)


def test_a_nested_key_is_named_with_its_place() -> None:
    with pytest.raises(SettingError, match=r"^model cifar10: sampler heun: unknown key 'stepps'; did you mean 'steps'"):
        MODELS.make({"name": "cifar10", "sampler": {"stepps": 9}})
    with pytest.raises(SettingError, match=r"model cifar10: sampler.*: sigma_min must be below sigma_max"):
        MODELS.make({"name": "cifar10", "sampler": {"sigma_min": 100}})


def test_a_name_alone_takes_the_defaults() -> None:
    assert SEARCHES.make("naive") == ("naive", Naive())


@pytest.mark.parametrize("key", ["lambda", "lambda_"])
def test_the_papers_symbols_are_keys(key: str) -> None:
    assert SEARCHES.make({"name": "eps_greedy", key: 0.3})[1] == EpsGreedy(lambda_=0.3)


def test_making_leaves_the_configuration_as_it_was() -> None:
    given = {"name": "beam", "N": 3}
    SEARCHES.make(given)
    assert given == {"name": "beam", "N": 3}


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=IDS)
def test_records_round_trip(kind: Registry[Any], name: str) -> None:
    settings = kind.make({"name": name, **NEEDED.get(name, {})})[1]
    assert kind.make({"name": name, **settings.record()})[1] == settings


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=IDS)
def test_everything_is_documented(kind: Registry[Any], name: str) -> None:
    found: type[Settings] = kind.get(name)
    assert inspect.cleandoc(found.__doc__ or "") != ""
    assert found.__doc__ != found.__bases__[0].__doc__
    assert [key for key, field in found.model_fields.items() if not field.description] == []


@pytest.mark.parametrize(("kind", "name"), EVERY, ids=IDS)
def test_settings_are_frozen(kind: Registry[Any], name: str) -> None:
    settings = kind.make({"name": name, **NEEDED.get(name, {})})[1]
    assert settings.model_config["frozen"]
    assert settings.model_config["extra"] == "forbid"


@pytest.mark.parametrize("name", SEARCHES.targets)
def test_a_searchs_budget_is_one_of_its_settings(name: str) -> None:
    budget = SEARCHES.get(name).budget
    assert budget is None or budget in SEARCHES.get(name).model_fields
    assert (budget is None) == (name == "naive")


def test_the_studys_defaults() -> None:
    """N = 4, K = 20, lambda = 0.15, eps = 0.4, B = 2, S = 8, C = 1.414."""
    greedy, tree, beam = (SEARCHES.make(name)[1].record() for name in ("eps_greedy", "mcts", "beam"))
    assert {key: greedy[key] for key in ("N", "K", "lambda", "eps")} == {"N": 4, "K": 20, "lambda": 0.15, "eps": 0.4}
    assert tree == {"N": 4, "S": 8, "c": 1.414}
    assert beam == {"N": 4, "B": 2}


def test_listing_names_imports_no_torch(fresh_python: Callable[..., str]) -> None:
    code = (
        "import sys; from tts.registry import MODELS, REWARDS, SEARCHES\n"
        "print(len([*MODELS.targets, *REWARDS.targets, *SEARCHES.targets]))\n"
        "assert not {'torch', 'diffusers', 'PIL'} & set(sys.modules)\n"
    )
    assert int(fresh_python(code)) == len(EVERY)


def test_making_everything_imports_no_torch(fresh_python: Callable[..., str]) -> None:
    """Searches with their settings, and settings of models and rewards, are plain Python."""
    code = (
        "import sys; from tts.registry import MODELS, REWARDS, SEARCHES\n"
        f"needed = {NEEDED!r}\n"
        "everything = [(kind, name) for kind in (MODELS, REWARDS, SEARCHES) for name in kind.targets]\n"
        "made = [kind.make({'name': name, **needed.get(name, {})})[1] for kind, name in everything]\n"
        "plan = MODELS.make('cifar10')[1].plan()\n"
        "costs = [(search.nfe(plan), search.depth(plan)) for search in made if hasattr(search, 'nfe')]\n"
        "assert len(costs) == len(SEARCHES.targets)\n"
        "print('torch' in sys.modules)"
    )
    assert fresh_python(code) == "False"


def test_running_every_search_imports_no_torch(fresh_python: Callable[..., str]) -> None:
    code = (
        "import sys, toy\n"
        "print(len([toy.transcript(name, 'gappy', 0) for name in toy.SEARCHES]), 'torch' in sys.modules)"
    )
    assert fresh_python(code).endswith(" False")


def plug_in(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, "toys")


def test_other_packages_add_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [plug_in("mine", "tts.search.naive:Naive")])
    kind: Registry[Any] = Registry("toy", "toys", {"ours": "tts.search.beam:Beam"})
    assert list(kind.targets) == ["mine", "ours"]
    assert kind.get("mine") is Naive


def test_a_name_that_is_taken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entry_points", lambda group: [plug_in("ours", "elsewhere:Thing")])
    kind: Registry[Any] = Registry("toy", "toys", {"ours": "tts.search.beam:Beam"})
    with pytest.raises(SettingError, match=r"toy 'ours' is registered twice.*elsewhere:Thing"):
        _ = kind.targets


def test_code_that_is_in_no_file_has_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    module: Any = ModuleType("unfiled")
    module.Made = type("Made", (Naive,), {"__module__": "unfiled"})
    monkeypatch.setitem(sys.modules, "unfiled", module)
    assert SEARCHES.origin("unfiled:Made") == {"target": "unfiled:Made", "source": ""}
