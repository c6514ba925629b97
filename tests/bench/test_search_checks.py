"""What a search cannot do with a run's sampler or model is refused, or told, before anything is searched."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tiny_study import small

from bench.study.config import RunConfig
from bench.study.study import Study
from tts.errors import SettingError

Make = Callable[..., RunConfig]

NO_LEAPS = {"model": {"name": "cifar10", "sampler": {"name": "own_samplers:Ancestral", "steps": 8}}}
NO_CLASS = "': is neither a class nor a function written in Python"
LOOKS = "looks ahead, and this sampler takes no coarser steps; set the search's number of steps to look ahead to 0"

REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ("own_searches:BROKEN", {}, f"search 'own_searches:BROKEN{NO_CLASS}"),
    ("math:sqrt", {}, f"search 'math:sqrt{NO_CLASS}"),
    ("faulty_searches:SuitsNobody", {}, "search SuitsNobody: suits() raises KeyError: 'steps'; let it raise"),
    ("faulty_hooks:NotesNothing", {}, "search NotesNothing: note() raises KeyError: 'steps'; let it raise"),
    ("faulty_hooks:PlaysNobody", {}, "search PlaysNobody: played raises LookupError: nobody; let it raise"),
    ("faulty_hooks:HasNoCode", {}, "search HasNoCode: inner_code() raises ZeroDivisionError: ZeroDivisionError; let"),
    ({"name": "dts", "branch": [10, 20]}, {}, "search dts: branch.0 = 10: Input should be less than or equal to 1"),
    ({"name": "adaptive", "low": 2}, {}, "search adaptive: low must be at most high"),
    ({"name": "adaptive", "low": 1e5, "high": 1e6}, {}, "search adaptive: no step that costs forwards has a weight"),
    ({"name": "adaptive", "weights": [1.0]}, {}, "search adaptive: has 1 weights for"),
    ({"name": "ask_tell", "method": "tpe"}, {}, "method is for nevergrad and optuna; leave it out with"),
    ({"name": "ask_tell", "optimiser": "optuna", "method": "tpee"}, {}, "search ask_tell: method = tpee: no sampler"),
    (
        {"name": "ask_tell", "optimiser": "nevergrad", "method": "DiscreteDoerrOnePlusOne"},
        {},
        "search ask_tell: optimiser = nevergrad, method = DiscreteDoerrOnePlusOne, N = 4: Doerr mutation is",
    ),
    ("ses", NO_LEAPS, f"search ses: {LOOKS}"),
    ({"name": "ses", "preview": 9}, NO_LEAPS, f"search ses: {LOOKS}"),
    ({"name": "beam", "lookahead": 2}, NO_LEAPS, f"search beam: {LOOKS}"),
    ({"name": "demon", "rollout": 2}, NO_LEAPS, f"search demon: {LOOKS}"),
]


def told(study: Study) -> tuple[str, list[str]]:
    """What a run asks of a study before it starts anything."""
    return study.digest(), study.notes()


@pytest.mark.parametrize(("search", "changes", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_a_search_that_cannot_be_is_refused_in_one_line(
    search: Any, changes: dict[str, Any], message: str, tiny: Make
) -> None:
    with pytest.raises(SettingError) as caught:
        told(Study(tiny(searches=[search], **changes)))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_searches_need_is_not_asked_for_where_recipes_are_played(tiny: Make) -> None:
    config = tiny(searches=["faulty_searches:SuitsNobody"])
    assert Study(config, searching=False).entries[0].name == "SuitsNobody"


def test_searches_that_look_at_nothing_on_few_steps_are_told(tiny: Make) -> None:
    searches = ["dfs", {"name": "fk", "budget": {"k": [2, 4]}}]
    dfs, fk = Study(tiny(searches=searches)).notes()
    assert dfs.startswith("dfs: looks at no prediction and so is plain sampling, as every = 4 and the sampler has 4")
    assert fk.startswith("fk: resamples nowhere and so is best of k, as no step from first = 4 on injects a noise")
    assert Study(tiny(searches=searches, model=small(steps=18))).notes() == []
