"""A faulty search fails its own trial with a sentence that says what a search must do; other trials go on."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from command_line import refused
from rich.console import Console
from tiny_study import small

from bench.run.start import run
from bench.store.reader import read
from bench.study.config import RunConfig

Make = Callable[..., RunConfig]

SAYS = {
    "YieldsNoList": "a search yields lists of segments",
    "YieldsNoSegments": "every entry must be a Segment",
    "YieldsNumber": "a search yields lists of segments",
    "ReturnsList": "it must be a generator of lists of segments",
    "EndsWithNone": "a search must return the evaluation that it chose",
    "EndsEarly": "a search must return the evaluation that it chose",
    "LetsGo": "that it was not given, or has let go",
    "Invents": "that it was not given, or has let go",
    "EndsWithCopy": "a search must return an evaluation as it came",
    "AsksForUnknown": "asks for the reward 'beauty'",
    "AsksForHeldOut": "asks for the reward 'compressibility'",
    "AsksForAll": "asks for the reward '*'",
    "GoesTooFar": "this problem's trajectories have 2 steps",
    "DrawsAnother": "a search draws its problem's condition",
    "TakesNoNoise": "each is a Noise",
    "Overspends": "where its nfe(plan) says at most",
    "NeverEnds": "it never ends",
    "ScoresForEver": "it never ends",
    "Raises": "KeyError: 'mine'",
    "Exits": "SystemExit: 3",
    "WillNotClose": "a search yields lists of segments",
    "ExitsWhenClosed": "a search yields lists of segments",
    "YieldsNone": "yielded None; a search yields lists of segments",
    "YieldsZero": "a search yields lists of segments",
    "ListsNoises": "for a segment's noises; give a tuple",
    "ListsMoves": "for a noise's moves; give a tuple",
    "ListsSeeds": "for a Mixture's seeds; give a tuple",
    "ListsWeights": "for a Mixture's weights; give a tuple",
    "ListsValues": "for a Band's values; give a tuple",
    "MixesUnequally": "a Mixture of 2 seeds and 1 weights; give as many of both",
    "SeedsBelowZero": "has a int (-1) for a noise's seed; seeds are ints in [0, 2**63)",
    "SeedsBeyondRows": "seeds are ints in [0, 2**63)",
    "SeedsByHalves": "seeds are ints in [0, 2**63)",
    "SeedsOfNumpy": "for a noise's seed; seeds are ints in [0, 2**63)",
    "MovesByNumpy": "for a Move's radius; give finite ints or floats",
    "TurnsTooFar": "has a float (1.5) for a Turn's b; give an int or float from 0 to 1",
    "MovesNowhere": "for a Move's radius; give finite ints or floats",
    "SinksTooDeep": "for a Band's level; give an int from 1 to 16",
    "MakesMoves": "each is a Move, Turn, Mixture, Box or Band",
    "GoesBackByHalves": "goes back to step 0.5; the number of a step is an int",
    "GoesBackByNothing": "goes back by None; a way back adds a Noise",
}
"""The errors in the trials' rows."""
ODD = {
    "Panics": "Panic: rust",
    "PanicsWhenClosed": "a search yields lists of segments",
    "IsMute": "Mute: Mute",
    "SaysHalfACharacter": "OSError: no file \ufffd",
}
"""Likewise, of errors that are no plain exceptions."""


@pytest.mark.parametrize("search_on", ["driver", "engine"])
def test_every_fault_is_a_row_that_says_what_to_do(search_on: str, tiny: Make) -> None:
    says = {**SAYS, **ODD}
    modules = {name: "odd_errors" if name in ODD else "faulty_searches" for name in [*says, "KeepsCopies"]}
    searches = ["naive", *(f"{module}:{name}" for name, module in modules.items())]
    config = tiny(
        model=small(steps=2),
        searches=searches,
        rewards=["brightness"],
        held_out=["compressibility"],
        problems={"conditions": [0, 1], "seeds": 1},
        engines={"backend": "local", "batch": 4, "simulate": 0.0, "search_on": search_on},
        max_errors=100,
    )
    run(config, Console(quiet=True))
    rows = {(row["search"], row["label"]): row["error"] for row in read(config.output).to_pylist()}
    assert len(rows) == 2 * len(searches)
    for (search, _), error in rows.items():
        if search in says:
            assert error is not None, search
            assert says[search] in error, search
            assert error.startswith(f"search {search}: ")
            assert "\n" not in error
        else:
            assert error is None


@pytest.mark.parametrize(
    ("search", "says"), [("CannotCount", "nfe"), ("CountsHalves", "depth"), ("CountsNothing", "nfe")]
)
def test_costs_that_cannot_be_had_are_refused_at_once(search: str, says: str, tiny: Make) -> None:
    command = ["run", "quickstart", "--set", f"searches=['faulty_searches:{search}']", "--set", "engines.simulate=0"]
    refused(f"search {search}: {says}(plan)", *command)
