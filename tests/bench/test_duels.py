"""Duels: which image a judge prefers, each pair in both orders, and how pairs without an answer count."""

from __future__ import annotations

import io
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import bench, refused
from PIL import Image
from report_runs import small_run
from rich.console import Console

from bench.report.duels import duels, render
from bench.report.summary import read_images, read_trials
from tts.errors import DataError
from tts.rewards.base import RewardSettings
from tts.rewards.pairs import Pair, UnifiedRewardPairs, WrittenPreference, read
from tts.rewards.vlm.texts import filled


class Brighter:
    """Prefers the brighter image; gives no answer for some prompts."""

    def __init__(self, silent: str = "") -> None:
        self.silent, self.pairs = silent, 0

    def preferences(self, pairs: Sequence[Pair]) -> list[float | None]:
        self.pairs += len(pairs)
        return [None if pair.prompt == self.silent else self._one(pair) for pair in pairs]

    def _one(self, pair: Pair) -> float:
        first, second = (int(image.long().sum()) for image in pair[:2])
        return 0.5 if first == second else float(second > first)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of ten problems; at each point, only the first ones have images."""
    searches = ["naive", {"name": "best_of_n", "budget": {"N": [4, 8]}}]
    return small_run(tmp_path_factory.mktemp("duels") / "run", 30, searches=searches)


def test_a_rate_is_the_mean_preference_over_problems(run: Path) -> None:
    judge = Brighter()
    found = duels(str(run), judge).set_index("budget_value")
    trials = read_trials(str(run))
    images = {name: each for name, each in read_images(str(run), trials).items() if each is not None}
    assert set(found.index) == {4, 8}
    for size, row in found.iterrows():
        expected = []
        for _, ours in trials[trials["budget_value"] == size].iterrows():
            same = (trials["condition"] == ours["condition"]) & (trials["seed"] == ours["seed"])
            base = trials[same & (trials["search"] == "naive")].iloc[0]
            if ours["trial"] in images and base["trial"] in images:
                a, b = (int(pixels(images[each["trial"]]).sum()) for each in (base, ours))
                expected.append(0.5 if a == b else float(b > a))
        assert row["n"] == len(expected) > 3
        assert row["rate"] == pytest.approx(np.mean(expected))
        assert row["n"] + row["missing"] == 10
    assert judge.pairs == found["n"].sum()


def pixels(image: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    return np.asarray(Image.open(io.BytesIO(image)).convert("RGB")).astype(np.int64)


def test_what_has_no_answer_is_counted_and_left_out(run: Path) -> None:
    label = read_trials(str(run))["label"].iloc[0]
    found, all_said = duels(str(run), Brighter(silent=str(label))), duels(str(run), Brighter())
    assert (found["undecided"] > 0).all()
    assert (found["n"] + found["undecided"]).tolist() == all_said["n"].tolist()
    shown = Console(width=150, record=True, file=StringIO())
    shown.print(render(found, "naive"))
    assert "preferred to naive" in shown.export_text()


def test_images_of_another_form_are_not_opened(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A results folder is data: only PNG files are decoded."""
    bitmap = io.BytesIO()
    Image.new("RGB", (4, 4)).save(bitmap, format="BMP")
    monkeypatch.setattr(
        "bench.report.duels.read_images", lambda run, trials: dict.fromkeys(trials["trial"], bitmap.getvalue())
    )
    with pytest.raises(DataError, match=r"run: the image of trial \w+ is damaged \(no image \(not a PNG\)\)"):
        duels(str(run), Brighter())


def test_a_device_that_is_not_there_is_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = bench("duel", run, "--device", "cuda")
    assert (found.code, found.err) == (
        2,
        "error: --device cuda: torch finds no GPU; leave it out, or give --device cpu\n",
    )
    assert bench("duel", run, "--device", "gpu").code == 2


def test_a_run_without_the_baseline_is_refused_before_weights_are_looked_for(run: Path, tmp_path: Path) -> None:
    refused("--baseline beam: the run needs trials of it, and of another search", "duel", run, "--baseline", "beam")
    refused(
        "--baseline best_of_n: was run with several settings; name a search with",
        "duel",
        run,
        "--baseline",
        "best_of_n",
    )
    refused("not a results folder", "duel", tmp_path)


@pytest.mark.parametrize(
    ("answer", "value"),
    [
        ("Image 1 is better.", 0.0),
        ("Image 1 is better in parts. All in all: Image 2 is better.", 1.0),
        ("Both images are equally good.", 0.5),
        ("I cannot say.", None),
    ],
)
def test_answers_are_read_by_their_last_word(answer: str, value: float | None) -> None:
    assert read(answer) == value


@pytest.mark.slow
@torch.inference_mode()
def test_each_pair_is_asked_in_both_orders(tmp_path: Path, one_thread: None) -> None:
    """A judge that always prefers one position gives a draw; one that names the same image in both orders decides."""
    import tiny_judges

    chat = tiny_judges.qwen(tmp_path / "chat")
    (tmp_path / "q.txt").write_text("Which of {caption}?")
    settings = UnifiedRewardPairs(id=str(chat), question=str(tmp_path / "q.txt"), precision="fp32", tokens=3)
    settings.check()
    judge = settings.judge()
    assert isinstance(judge, WrittenPreference)
    images = torch.randint(0, 256, (2, 3, 40, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    asked: list[int] = []
    answers = judge.chat.answers

    def placed(inputs: dict[str, torch.Tensor], tokens: int) -> list[str]:
        asked.append(len(inputs["image_grid_thw"]))
        assert len(answers(inputs, tokens)) == 1  # the model does answer
        return ["Image 1 is better."]

    judge.chat.answers = placed  # type: ignore[method-assign]
    assert judge.preferences([Pair(images[0], images[1], "a cat")]) == [0.5]
    assert asked == [2, 2]
    first = judge.chat.question([images[0], images[1]], filled("Which of {caption}?", "a cat"))["pixel_values"]
    judge.chat.answers = lambda inputs, tokens: [  # type: ignore[method-assign]
        f"Image {2 if torch.equal(inputs['pixel_values'], first) else 1} is better."
    ]
    assert judge.preferences([Pair(images[0], images[1], "a cat")]) == [1.0]
    assert not isinstance(settings, RewardSettings)  # it cannot score a single image
    assert "question" in settings.identity()
