"""GenEval's metadata, rules, detectors and colours, against its published program's formulas."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_geneval
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor

from tts.errors import DataError, SettingError, WeightsError
from tts.models.cifar10 import Cifar10
from tts.registry import REWARDS
from tts.rewards.geneval import rules
from tts.rewards.geneval.colours import PHRASES, cut_out
from tts.rewards.geneval.loading import Detecting
from tts.rewards.geneval.metadata import COLOURS, TASKS, Demand, read
from tts.rewards.geneval.rules import Found, correct, degrees, graded, kept, relations

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = {
    "single_object": 80,
    "two_object": 99,
    "counting": 80,
    "colors": 94,
    "position": 100,
    "color_attr": 100,
}
"""Number of lines of each task in the published file."""


def metadata(folder: Path, **line: Any) -> Path:
    path = folder / "metadata.jsonl"
    path.write_text(json.dumps({**tiny_geneval.LINES[0], "prompt": "a photo of a bench", **line}) + "\n")
    return path


def demands(folder: Path) -> list[Demand]:
    return read(tiny_geneval.geneval_lines(folder / "lines.jsonl", [f"prompt {k}" for k in range(6)]))


def test_a_file_of_the_published_form_is_read_and_grouped(tmp_path: Path) -> None:
    """The file has 553 lines, with as many lines of each task as the published file."""
    tasks = [task for task, number in PUBLISHED.items() for _ in range(number)]
    lines = {line["tag"]: line for line in tiny_geneval.LINES}
    path = tmp_path / "metadata.jsonl"
    rows = [json.dumps({**lines[task], "prompt": f"a photo, number {k}"}) for k, task in enumerate(tasks)]
    path.write_text("\n".join(rows) + "\n")
    found = read(path)
    groups = {task: [each for each in found if each.task == task] for task in TASKS}
    assert len(found) == 553
    assert list(dict.fromkeys(each.task for each in found)) == list(TASKS)
    assert {task: len(group) for task, group in groups.items()} == PUBLISHED
    position = groups["position"][0].include[1]
    assert (position.name, position.relation, position.target) == ("cow", "left of", 0)
    assert groups["counting"][0].exclude[0].count == 3
    assert groups["color_attr"][0].classes == ["apple", "bus"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"tag": "colour"}, "tag 'colour' is not one of single_object"),
        ({"include": [{"class": "bus", "count": 1, "color": "beige"}]}, "color 'beige' is not one of red"),
        (
            {"include": [{"class": "bus", "count": 1, "position": ["left of", 0]}]},
            "objects that no earlier clause names",
        ),
        ({"include": [{"class": "bus", "count": 0}]}, "count 0 is below 1"),
        ({"include": [{"count": 1}]}, "line 1: does not have GenEval's form"),
    ],
)
def test_lines_of_another_form_are_refused(line: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message):
        read(metadata(tmp_path, **line))


def found(name: str, score: float = 0.95, box: tuple[float, float, float, float] = (0, 0, 10, 10)) -> Found:
    return Found(name, score, box)


def no_colour(each: Found) -> str:
    raise AssertionError("no colour is asked for")


def test_only_sure_objects_count_and_for_counting_only_very_sure_ones() -> None:
    objects = [found("clock", 0.5), found("clock", 0.95), found("cow", 0.3), found("bus", 0.31)]
    assert {name: len(group) for name, group in kept(objects, "colors").items()} == {"clock": 2, "bus": 1}
    assert [each.score for each in kept(objects, "colors")["clock"]] == [0.95, 0.5]
    assert {name: len(group) for name, group in kept(objects, "counting").items()} == {"clock": 1}
    assert len(kept([found("cow")] * 30, "counting")["cow"]) == rules.MOST


def test_each_task_is_judged_by_its_own_demands(tmp_path: Path) -> None:
    single, two, counting, colours, position, attributes = demands(tmp_path)
    assert correct({"bench": [found("bench")]}, single, no_colour)
    assert not correct({}, single, no_colour)
    assert degrees({"cow": [found("cow")]}, two, no_colour) == [1, 0]
    clocks = [[found("clock")] * number for number in range(5)]
    assert [correct({"clock": some}, counting, no_colour) for some in clocks] == [False, False, True, False, False]
    assert [degrees({"clock": some}, counting, no_colour) for some in clocks] == [
        [0, 1],
        [0.5, 1],
        [1, 1],
        [1, 2 / 3],
        [1, 2 / 4],
    ]
    assert degrees({"bus": [found("bus")]}, colours, lambda each: "red") == [1, 1]
    assert degrees({"bus": [found("bus")]}, colours, lambda each: "blue") == [1, 0]
    assert degrees({}, colours, no_colour) == [0, 0]
    left, right = (0, 0, 10, 10), (50, 0, 60, 10)
    assert correct({"dog": [found("dog", box=right)], "cow": [found("cow", box=left)]}, position, no_colour)
    assert not correct({"dog": [found("dog", box=left)], "cow": [found("cow", box=right)]}, position, no_colour)
    assert degrees({"cow": [found("cow", box=left)]}, position, no_colour) == [0, 1, 0]
    named = {"apple": "black", "bus": "black"}
    both = {"apple": [found("apple")], "bus": [found("bus")]}
    assert degrees(both, attributes, lambda each: named[each.name]) == [1, 1, 1, 0]
    assert graded(both, attributes, lambda each: named[each.name]) == 0.75


def test_colours_are_asked_of_the_surest_objects_only(tmp_path: Path) -> None:
    """A red bus that the detector is less sure of does not make up for a blue one."""
    [demand] = read(metadata(tmp_path, include=[{"class": "bus", "count": 1, "color": "red"}]))
    sure, less = found("bus", 0.9), found("bus", 0.8)
    colours = {sure: "blue", less: "red"}
    assert not correct({"bus": [sure, less]}, demand, colours.__getitem__)


BOXES = st.tuples(*[st.floats(0, 500, width=32)] * 4).map(
    lambda at: (min(at[0], at[2]), min(at[1], at[3]), max(at[0], at[2]) + 1, max(at[1], at[3]) + 1)
)


@given(box=BOXES, other=BOXES)
def test_relations_are_the_published_formula(box: Any, other: Any) -> None:
    """The reference uses numpy: centres, sizes, the offset shortened by a tenth of both sizes, and its direction."""
    ends = np.array([box, other]).reshape(2, 2, 2)
    centres, sizes = ends.mean(axis=1), ends[:, 1] - ends[:, 0]
    offset = centres[0] - centres[1]
    short = np.sign(offset) * np.clip(np.abs(offset) - 0.1 * sizes.sum(axis=0), 0, None)
    expected = set[str]()
    if (np.abs(short) >= 1e-3).any():
        x, y = short / np.sqrt((offset**2).sum())
        margin = min(abs(abs(x) - 0.5), abs(abs(y) - 0.5))
        expected |= {"left of"} if x < -0.5 else {"right of"} if x > 0.5 else set()
        expected |= {"above"} if y < -0.5 else {"below"} if y > 0.5 else set()
        if margin < 1e-9:
            return
    assert relations(box, other) == expected


def image(seed: int = 0, side: int = 48) -> Tensor:
    return torch.randint(0, 256, (3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_a_cut_out_is_the_box_with_grey_where_the_mask_is_not() -> None:
    """Pillow composes and crops the reference."""
    picture, mask = image(), torch.zeros(48, 48, dtype=torch.bool)
    mask[10:30, 5:20] = True
    box = (5.0, 10.0, 25.4, 29.6)
    pillow = Image.fromarray(picture.permute(1, 2, 0).numpy())
    grey = Image.new("RGB", pillow.size, "#999")
    expected = np.asarray(Image.composite(pillow, grey, Image.fromarray(mask.numpy())).crop(box))
    assert np.array_equal(cut_out(picture, Found("cow", 1, box, mask)).permute(1, 2, 0).numpy(), expected)
    bare = np.asarray(pillow.crop(box))
    assert np.array_equal(cut_out(picture, Found("cow", 1, box)).permute(1, 2, 0).numpy(), bare)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return tiny_geneval.geneval(tmp_path_factory.mktemp("geneval"), [f"prompt {k}" for k in range(6)])


def test_a_colour_is_the_nearest_mean_of_its_phrases(settings: dict[str, Any]) -> None:
    reward: Any = REWARDS.make({"name": "geneval", **settings})[1].load("cpu", str)
    picture, bus = image(), Found("bus", 0.9, (4, 4, 40, 40))
    encoders = reward.colours.encoders
    ahead = encoders.images(cut_out(picture, bus)[None])[0].double()
    means = []
    for colour in COLOURS:
        texts = encoders.texts([phrase.format(colour=colour, name="bus") for phrase in PHRASES]).double()
        means.append(texts.mean(dim=0) / texts.mean(dim=0).norm())
    assert reward.colours(picture, bus) == COLOURS[int((torch.stack(means) @ ahead).argmax())]


def test_masks_are_scored_as_mask2formers_own_program_scores_them(settings: dict[str, Any]) -> None:
    """Classes and confidences equal those of transformers' post-processing, which works at another resolution."""
    from transformers import Mask2FormerImageProcessor

    detector: Any = Detecting(**settings["detector"]).load("cpu")
    picture = image(side=64)
    objects = detector(picture)
    outputs = detector.network(pixel_values=detector._prepared(picture)[0])
    [expected] = Mask2FormerImageProcessor().post_process_instance_segmentation(
        outputs, threshold=0.0, target_sizes=[(64, 64)], return_binary_maps=True
    )
    ours = sorted((each.name, round(each.score, 2)) for each in objects)
    names = detector.names
    theirs = sorted((names[each["label_id"]], round(each["score"], 2)) for each in expected["segments_info"])
    assert len(ours) == len(theirs) > 3
    assert [name for name, _ in ours] == [name for name, _ in theirs]
    assert [score for _, score in ours] == pytest.approx([score for _, score in theirs], abs=0.03)
    assert "computer mouse" in names.values()
    for each in objects:
        rows, columns = np.nonzero(each.mask.numpy())
        assert each.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)


def test_boxes_are_scaled_back_to_the_image(tmp_path: Path) -> None:
    """Boxes of a YOLOS equal those of transformers' post-processing, on an image without padding."""
    from transformers import YolosImageProcessor

    detector: Any = Detecting(id=str(tiny_geneval.yolos(tmp_path / "yolos")), size=64).load("cpu")
    picture = image(side=96)
    outputs = detector.network(pixel_values=detector._prepared(picture)[0])
    [expected] = YolosImageProcessor().post_process_object_detection(outputs, threshold=0.0, target_sizes=[(96, 96)])
    objects = detector(picture)
    assert [each.box for each in objects] == [pytest.approx(box, abs=1e-3) for box in expected["boxes"].tolist()]
    assert [each.score for each in objects] == pytest.approx(expected["scores"].tolist(), abs=1e-6)


def test_padding_moves_no_box(tmp_path: Path) -> None:
    detector: Any = Detecting(id=str(tiny_geneval.yolos(tmp_path / "yolos")), size=40).load("cpu")
    pixels, sides = detector._prepared(image(side=80))
    assert (tuple(pixels.shape), sides) == ((1, 3, 64, 64), (40, 40))
    assert float(pixels[:, :, 40:].abs().max()) == 0
    logits, boxes = torch.zeros(1, 2, 9), torch.tensor([[[0.3125, 0.3125, 0.625, 0.625], [0.5, 0.25, 0.25, 0.5]]])
    detector.network = lambda pixel_values: type("Outputs", (), {"logits": logits, "pred_boxes": boxes})()
    assert [each.box for each in detector(image(side=80))] == [(0, 0, 80, 80), (48, 0, 80, 64)]


def test_verdicts_are_the_rules_on_what_the_detector_finds(settings: dict[str, Any]) -> None:
    for value, judge in (("strict", correct), ("graded", graded)):
        chosen: Any = REWARDS.make({"name": "geneval", **settings, "value": value})[1]
        chosen.check()
        reward = chosen.load("cpu", str)
        pictures = torch.stack([image(seed) for seed in range(6)])
        prompts = [f"prompt {k}" for k in range(6)]
        expected = []
        for picture, prompt in zip(pictures, prompts, strict=True):
            demand = chosen.demands[prompt]
            objects = kept(reward.detector(picture), demand.task)
            expected.append(float(judge(objects, demand, partial(reward.colours, picture))))
        assert reward.score(pictures, prompts) == expected
        if value == "graded":
            assert len(set(expected)) > 2
            assert reward.score(pictures[:1], ["another prompt"]) == [None]


def test_what_cannot_be_judged_is_said_before(settings: dict[str, Any], tmp_path: Path) -> None:
    reward: Any = REWARDS.make({"name": "geneval", **settings})[1]
    assert reward.notes(["prompt 0", "x"])[0] == "1 of 2 prompts are not in the metadata and cannot be scored: 'x'"
    with pytest.raises(SettingError, match="judges prompts, and this model draws classes"):
        reward.suits(Cifar10())
    other = tiny_geneval.geneval_lines(
        tmp_path / "m.jsonl", ["p"], ({"tag": "counting", "include": [{"class": "yak", "count": 1}]},)
    )
    with pytest.raises(SettingError, match="detector: does not know 'yak'"):
        REWARDS.make({"name": "geneval", **settings, "metadata": str(other)})[1].check()


def test_a_detector_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"architectures": ["GPT2LMHeadModel"], "id2label": {"0": "cow"}}))
    with pytest.raises(WeightsError, match="is a GPT2LMHeadModel; known: Mask2FormerForUniversalSegmentation"):
        Detecting(id=str(tmp_path)).classes()
    with pytest.raises(SettingError, match="torchvision has no such detector"):
        Detecting(library="torchvision", model="rcnn", weights="w.pth").classes()
    with pytest.raises(ValueError, match="needs a file, or the address of one"):
        Detecting(library="torchvision")


def test_torchvisions_detectors_know_the_same_classes(tmp_path: Path) -> None:
    from torchvision.models import get_model

    name = "fasterrcnn_mobilenet_v3_large_320_fpn"
    torch.manual_seed(0)
    network = get_model(name, weights=None, weights_backbone=None, num_classes=91)
    torch.save(network.state_dict(), tmp_path / "rcnn.pth")
    settings = Detecting(library="torchvision", model=name, weights=str(tmp_path / "rcnn.pth"), size=64)
    assert {"computer mouse", "tv remote", "hair drier", "person"} <= settings.classes()
    assert settings.identity()["model"] == name
    detector = settings.load("cpu")
    network.transform.min_size = (64,)
    [expected] = network.eval()([image().float() / 255])
    objects = detector(image())
    assert [each.score for each in objects] == expected["scores"].tolist()
    assert [each.box for each in objects] == [tuple(box) for box in expected["boxes"].tolist()]
