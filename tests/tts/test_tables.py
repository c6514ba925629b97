"""Tables of rewards: an engine on a table answers like the recorded world, and a damaged table is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from toy import PLANS, World

from tts.engine.recorded import RecordedEngine
from tts.engine.requests import EvalRequest
from tts.errors import DataError, WeightsError
from tts.models.table import Table
from tts.plan import Plan
from tts.registry import SEARCHES
from tts.search.base import Problem
from tts.search.naive import Naive
from tts.search.segment import ALL, Evaluation, Segment, State
from tts.tables.form import COLUMNS, HEADER, REWARD_MEANING, HeaderForm, schema
from tts.tables.table import read
from tts.testing.toy import CONDITION, REWARD

CANDIDATES = 5
SEEDS = (0, 7)
KNOWN = [
    "naive",
    {"name": "naive", "candidate": 4, "looks": True},
    {"name": "best_of_n", "N": 5},
    {"name": "pruned", "N": 5, "keep": [0.5, 0.4], "at": [0.3, 0.6]},
]
FIELDS = ("nfe_per_step", "injects", "initial_nfe", "levels", "back", "leaps", "forgets_start")


def rows_of(plan: Plan) -> list[dict[str, Any]]:
    """Rewards of every trajectory at each step in the toy world."""
    made = []
    for number, seed in enumerate(SEEDS):
        for candidate in range(CANDIDATES):
            world = World(plan)
            world.play(Naive(candidate=candidate, looks=True), seed)
            for [answer] in world.answers:
                last = answer.state.step == plan.steps
                made.append(
                    {
                        "problem": number,
                        "condition": json.dumps(CONDITION),
                        "label": "three",
                        "seed": seed,
                        "problem_seed": seed,
                        "candidate": candidate,
                        "step": answer.state.step,
                        "image_sha256": f"{candidate:064x}" if last else None,
                        f"reward_{REWARD}": answer.reward,
                    }
                )
    return made


def header_of(plan: Plan, **changes: Any) -> dict[str, Any]:
    return {
        "version": 1,
        "model": {"name": "toy"},
        "rewards": {REWARD: {"name": REWARD, "settings": {}, "identity": {}, "predicted": True}},
        "plan": {name: getattr(plan, name) for name in FIELDS},
        "numerics": {},
        "seed": 0,
        "candidates": CANDIDATES,
        **changes,
    }


def saved(path: Path, plan: Plan, rows: list[dict[str, Any]] | None = None, **changes: Any) -> Path:
    form = HeaderForm.model_validate(header_of(plan, **changes))
    pq.write_table(pa.Table.from_pylist(rows_of(plan) if rows is None else rows, schema=schema(form)), path)
    return path


class OnTable(World):
    """A world that asks an engine on a table; ``errors`` holds the errors in its answers."""

    def __init__(self, plan: Plan, engine: RecordedEngine) -> None:
        super().__init__(plan)
        self.engine, self.errors = engine, list[str]()

    def evaluate(self, segment: Segment) -> Evaluation:
        ticket = next(self._keys)
        self.engine.submit([EvalRequest(ticket, segment.without_history())])
        [found] = self.engine.advance()
        self.errors += found.errors.values()
        state = State(ticket, 0, segment.stop, segment.recipe)
        self._held.add(state)
        scores = {name: found.scores.get(name) for name in segment.rewards}
        return Evaluation.of(state, segment, scores, REWARD, found.nfe)


@pytest.mark.parametrize("given", KNOWN, ids=str)
@pytest.mark.parametrize("name", PLANS)
def test_searches_choose_on_the_table_what_they_choose_in_the_world(name: str, given: Any, tmp_path: Path) -> None:
    plan, search = PLANS[name], SEARCHES.make(given)[1]
    engine = RecordedEngine(read(saved(tmp_path / "table.parquet", plan)), [REWARD])
    for seed in SEEDS:
        world, table = World(plan), OnTable(plan, engine)
        ours, theirs = world.play(search, seed), table.play(search, seed)
        assert (theirs.state.noises, theirs.reward, theirs.nfe) == (ours.state.noises, ours.reward, ours.nfe)
        assert rewards(table) == rewards(world)
        assert (table.nfe, table.depth, table.errors) == (world.nfe, world.depth, [])


def rewards(world: World) -> list[list[float | None]]:
    return [[answer.reward for answer in answers] for answers in world.answers]


EVERY = PLANS["every"]


@pytest.fixture
def engine(tmp_path: Path) -> RecordedEngine:
    return RecordedEngine(read(saved(tmp_path / "table.parquet", EVERY)), [REWARD])


PROBLEM = Problem(CONDITION, 7, EVERY, REWARD)


@pytest.mark.parametrize(
    ("segment", "message"),
    [
        (PROBLEM.trajectory(CANDIDATES), r"\(3 from the initial noise of seed \d+\)"),
        (Problem(4, 7, EVERY, REWARD).trajectory(), r"\(4 from the initial noise of seed"),
        (Segment(PROBLEM.noise(-1).moved(1, 0.1), (), CONDITION, REWARD), "a moved initial noise"),
        (Segment(PROBLEM.noise(-1), (None,), CONDITION, REWARD), "'three', seed 7, candidate 0: no noise at step 0"),
        (Segment(PROBLEM.noise(-1), (PROBLEM.noise(0, 1),), CONDITION, REWARD), "candidate 0: another noise at step 0"),
        (
            Segment(PROBLEM.noise(-1, 2), (PROBLEM.noise(0, 2), PROBLEM.back(0)), CONDITION, REWARD),
            "candidate 2: a way back at step 1",
        ),
        (Segment(PROBLEM.noise(-1), (PROBLEM.noise(0),), CONDITION, REWARD, 2), "a look 2 steps ahead of step 1"),
        (Segment(PROBLEM.noise(-1), (), CONDITION, REWARD), "the image of an initial noise"),
    ],
)
def test_what_is_not_in_the_table_is_named(engine: RecordedEngine, segment: Segment, message: str) -> None:
    engine.submit([EvalRequest(0, segment)])
    [found] = engine.advance()
    assert found.scores == {}
    assert re.search(message, found.errors[REWARD])
    assert found.errors[REWARD].startswith(f"model table: {REWARD} was asked for where it was not recorded (")


def test_a_state_off_the_record_is_no_fault_until_it_is_scored(engine: RecordedEngine) -> None:
    left = Segment(PROBLEM.noise(-1), (None,), CONDITION)
    engine.submit([EvalRequest(0, left)])
    [found] = engine.advance()
    assert (found.errors, found.nfe) == ({}, 1)
    engine.submit([EvalRequest(1, Segment(State(0, 0, 1, ()), (None,) * 3, CONDITION, ALL))])
    [found] = engine.advance()
    assert "candidate 0: no noise at step 0" in found.errors[REWARD]
    assert (found.nfe, found.image_sha256) == (3, None)


def test_the_final_image_is_known_by_its_digest_and_states_are_let_go(engine: RecordedEngine) -> None:
    whole = PROBLEM.trajectory(3)
    engine.submit([EvalRequest(0, Segment(whole.start, whole.noises, CONDITION, ALL))])
    [found] = engine.advance()
    assert (found.image, found.image_sha256, found.reward_calls) == (None, f"{3:064x}", 1)
    engine.release([0])
    assert not engine.busy
    assert engine._spots == {}


def test_a_batch_is_of_rows(engine: RecordedEngine) -> None:
    """A cluster's meters accept no batch without rows, and a state that is only scored has none."""
    engine.submit(
        [EvalRequest(0, PROBLEM.trajectory()), EvalRequest(1, Segment(State(0, 0, 4, ()), (), CONDITION, ALL))]
    )
    assert [found.nfe for found in engine.advance()] == [4, 0]
    assert (engine.load.batches, engine.load.rows) == (1, 4)


def test_what_could_not_be_scored_is_none(tmp_path: Path) -> None:
    rows = rows_of(EVERY)
    rows[0][f"reward_{REWARD}"] = None
    engine = RecordedEngine(read(saved(tmp_path / "table.parquet", EVERY, rows)), [REWARD])
    first = Problem(CONDITION, 0, EVERY, REWARD)
    engine.submit([EvalRequest(0, first.trajectory(stop=1))])
    assert engine.advance()[0].scores == {REWARD: None}


def changed(**values: Any) -> Callable[[list[dict[str, Any]]], list[dict[str, Any]]]:
    return lambda rows: [{**rows[0], **values}, *rows[1:]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (changed(candidate=CANDIDATES), "a problem, candidate or step is out of range"),
        (changed(step=0), "a problem, candidate or step is out of range"),
        (changed(step=5), "a problem, candidate or step is out of range"),
        (changed(problem=-1), "a problem, candidate or step is out of range"),
        (changed(problem=9), "numbered from 0, or are told in two ways"),
        (changed(label="four"), "numbered from 0, or are told in two ways"),
        (changed(step=2), "a trajectory has a step twice, or lacks one"),
        (lambda rows: rows[1:], "a trajectory has a step twice, or lacks one"),
        (lambda rows: [], "or there is no row"),
        (lambda rows: [{**row, "problem_seed": 7} for row in rows], "a problem stands there twice"),
        (changed(problem_seed=None), "problem_seed is missing in a row"),
        (changed(**{f"reward_{REWARD}": float("inf")}), f"reward_{REWARD} is no finite number in a row"),
        (lambda rows: [{**row, "condition": "[3]"} for row in rows], r"condition '\[3\]' is no JSON number or text"),
        (lambda rows: [{**row, "image_sha256": "../x"} for row in rows], "image_sha256 is no SHA-256 in a row"),
    ],
)
def test_a_wrong_row_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        read(saved(tmp_path / "table.parquet", EVERY, change(rows_of(EVERY))))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "its header is wrong in version"),
        ({"plan": {"nfe_per_step": [1, 1], "injects": [True]}}, "its header is wrong in plan: .*as many steps"),
        ({"plan": {"nfe_per_step": [-1], "injects": [True]}}, "its header is wrong in plan.nfe_per_step.0"),
        ({"plan": {"nfe_per_step": [0], "injects": [True]}}, "its header is wrong in plan: .*take a denoiser forward"),
        ({"rewards": {}}, "its header is wrong in rewards"),
        ({"rewards": {"a b": header_of(EVERY)["rewards"][REWARD]}}, "'a b' is no name of a reward"),
        ({"candidates": 1 << 40}, "its header is wrong in candidates"),
        ({"rewards": {"other": header_of(EVERY)["rewards"][REWARD]}}, "has no column reward_other"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = saved(tmp_path / "table.parquet", EVERY)
    found = pq.read_table(path)
    content = json.dumps({**header_of(EVERY), **changes}).encode()
    pq.write_table(found.replace_schema_metadata({HEADER: content}), path)
    with pytest.raises(DataError, match=message):
        read(path)


@pytest.mark.parametrize("name", ["problem", "image_sha256", f"reward_{REWARD}"])
def test_a_column_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "table.parquet", EVERY)
    found = pq.read_table(path)
    pq.write_table(found.append_column(name, found[name]), path)
    with pytest.raises(DataError, match=rf"has several columns {name}$"):
        read(path)


@pytest.mark.parametrize("name", ["condition", "label", "image_sha256"])
def test_a_text_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    path = saved(tmp_path / "table.parquet", EVERY)
    found = pq.read_table(path)
    raw = pa.array([b"\xed\xa0\x80"] * len(found), pa.binary())
    text = pa.Array.from_buffers(pa.string(), len(raw), raw.buffers())
    pq.write_table(found.set_column(found.column_names.index(name), name, text), path)
    with pytest.raises(DataError, match=r"a damaged one \([^\n]*UTF8[^\n]*\)$"):
        read(path)


def test_what_is_no_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="No such file"):
        Table(path=tmp_path / "none.parquet").plan()
    (tmp_path / "text.parquet").write_text("hello")
    with pytest.raises(DataError, match="is no Parquet file, or a damaged one"):
        Table(path=tmp_path / "text.parquet").plan()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(DataError, match="is no table of rewards; tts-bench tabulate writes them"):
        Table(path=tmp_path / "other.parquet").plan()
    path = saved(tmp_path / "table.parquet", EVERY)
    pq.write_table(pq.read_table(path).replace_schema_metadata({HEADER: b"{" * 9999}), path)
    with pytest.raises(DataError, match="its header is no JSON"):
        read(path)


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = saved(tmp_path / "table.parquet", EVERY)
    first = read(path)
    assert read(path) is first
    saved(path, EVERY, candidates=6)
    assert read(path).digest != first.digest


PAGE = (Path(__file__).parents[2] / "docs" / "tables.md").read_text(encoding="utf-8")


def test_the_page_has_every_column_and_every_key() -> None:
    columns = [*COLUMNS, ("reward_<name>", "float64", REWARD_MEANING)]
    assert "\n".join(f"| `{name}` | {kind} | {meaning} |" for name, kind, meaning in columns) in PAGE
    first_cells = re.findall(r"^\| ([^|]*) \|", PAGE.partition("a header in JSON")[2], re.MULTILINE)
    keys = re.findall(r"`(\w+)`", " ".join(first_cells))
    assert set(keys) == set(HeaderForm.model_fields)
