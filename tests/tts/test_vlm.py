"""Rewards by vision-language models, against their formulas on transformers' own networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import tiny_judges
import torch
from torch import Tensor

from tts.errors import SettingError, WeightsError
from tts.registry import REWARDS
from tts.rewards import hpsv3, unified_reward
from tts.rewards.vlm.texts import constants, filled, longest_question

pytestmark = pytest.mark.usefixtures("one_thread")

PROMPTS = ["a cat", "a dog", "two birds"]


def make(name: str, **settings: Any) -> Any:
    return REWARDS.make({"name": name, **settings})[1]


def images(count: int = 3) -> Tensor:
    return torch.randint(0, 256, (count, 3, 40, 30), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("vlm")


@pytest.fixture(scope="module")
def chat(folder: Path) -> Path:
    return tiny_judges.qwen(folder / "chat")


@pytest.fixture(scope="module")
def preference(folder: Path) -> dict[str, Any]:
    return tiny_judges.hpsv3(folder / "hpsv3")


def asked(chat: Path, image: Tensor, text: str) -> tuple[Any, Any]:
    """The model, and a question that its processor makes from a Pillow image."""
    from PIL import Image
    from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

    processor = AutoProcessor.from_pretrained(chat)
    turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": text}]}]
    prompt = processor.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
    pillow = Image.fromarray(image.permute(1, 2, 0).numpy())
    inputs = processor(text=[prompt], images=[pillow], return_tensors="pt")
    return Qwen2_5_VLForConditionalGeneration.from_pretrained(chat, dtype=torch.float32).eval(), inputs


@torch.inference_mode()
def test_vqascore_is_the_probability_of_the_first_token_of_the_answer(chat: Path) -> None:
    reward = make("vqascore", id=str(chat), precision="fp32", answer="Y").load("cpu", str)
    picture, text = images()[0], 'Does this figure show "a cat"? Please answer yes or no.'
    model, inputs = asked(chat, picture, text)
    chances = model(**inputs).logits[0, -1].double().softmax(dim=0)
    token = reward.chat.processor.tokenizer.convert_tokens_to_ids("Y")
    assert reward.score(picture[None], ["a cat"]) == [pytest.approx(float(chances[token]), rel=1e-5)]


@torch.inference_mode()
def test_an_answer_of_several_tokens_has_their_geometric_mean(chat: Path) -> None:
    reward = make("vqascore", id=str(chat), precision="fp32").load("cpu", str)
    model, inputs = asked(chat, images()[0], 'Does this figure show "a cat"? Please answer yes or no.')
    tokens = reward.chat.processor.tokenizer("Yes")["input_ids"]
    assert len(tokens) == 3  # a letter is a token
    product = 1.0
    for token in tokens:
        product *= float(model(**inputs).logits[0, -1].double().softmax(dim=0)[token])
        one = torch.tensor([[token]])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], one], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], 0 * one], dim=1)
    assert reward.score(images()[:1], ["a cat"]) == [pytest.approx(product ** (1 / 3), rel=1e-5)]


@torch.inference_mode()
def test_questions_of_one_form_share_a_pass(chat: Path) -> None:
    """As on a GPU, prompts of the same length share a pass, and values are the same."""
    reward = make("vqascore", id=str(chat), precision="fp32").load("cpu", str)
    alone = reward.score(images(), PROMPTS)
    passes, model = [], reward.chat.model
    reward.chat.model = lambda **inputs: passes.append(len(inputs["input_ids"])) or model(**inputs)
    reward.chat._alike = lambda questions: iter([[0, 1], [2]])
    assert reward.score(images(), PROMPTS) == pytest.approx(alone, rel=1e-6)
    assert passes == [2, 1]


@torch.inference_mode()
def test_questions_are_grouped_by_form_off_the_cpu(chat: Path) -> None:
    reward = make("vqascore", id=str(chat), precision="fp32").load("cpu", str)
    questions = [reward.chat.question([image], prompt) for image, prompt in zip(images(), PROMPTS, strict=True)]
    assert list(reward.chat._alike(questions)) == [[0], [1], [2]]
    reward.chat.device = "cuda"
    assert list(reward.chat._alike(questions)) == [[0, 1], [2]]


@torch.inference_mode()
def test_a_written_answer_is_the_likeliest_token_by_token(chat: Path, tmp_path: Path) -> None:
    settings = tiny_judges.unified_reward(tmp_path / "unified", chat)
    reward = make("unified_reward", **settings).load("cpu", str)
    assert reward.question == tiny_judges.QUESTION
    picture = images()[0]
    model, inputs = asked(chat, picture, filled(tiny_judges.QUESTION, "a cat"))
    tokens = []
    for _ in range(4):
        token = int(model(**inputs).logits[0, -1].argmax())
        tokens.append(token)
        one = torch.tensor([[token]])
        inputs["input_ids"] = torch.cat([inputs["input_ids"], one], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
        inputs["mm_token_type_ids"] = torch.cat([inputs["mm_token_type_ids"], 0 * one], dim=1)
    question = reward.chat.question([picture], filled(reward.question, "a cat"))
    expected = reward.chat.processor.tokenizer.decode(tokens, skip_special_tokens=True)
    assert reward.chat.answers(question, 4) == [expected]


def test_the_score_is_read_by_its_pattern_or_there_is_none(chat: Path) -> None:
    pattern = unified_reward.UnifiedReward.model_fields["pattern"].default
    reader = unified_reward.WrittenScore(object(), "", pattern, 8, str)  # type: ignore[arg-type]
    assert reader.read("cat (animal): 1\nFinal Score: 3.25") == 3.25
    assert reader.read("Final Score:4") == 4.0
    assert reader.read("It is good.") is None
    assert reader.read("Final Score: ...") is None
    with pytest.raises(SettingError, match="it needs a group"):
        make("unified_reward", pattern="score")


def test_texts_of_programs_are_read_and_never_run(tmp_path: Path) -> None:
    program = tmp_path / "infer.py"
    program.write_text(
        "import not_there\nraise SystemExit\nA, B = 1, 'x'\nFIRST = 'rate {text_prompt} '\nSECOND = '''now'''\n"
        "text = f'short {caption}'\nlonger = f'what of this: {prompt} and {{braces}}'\n"
        "both = f'{a} and {b}, both of them here'\n"
    )
    assert constants(program, ("FIRST", "SECOND"), "question") == "rate {text_prompt} now"
    assert longest_question(program, "question") == "what of this: {caption} and {braces}"
    (tmp_path / "question.txt").write_text("as it is {caption}")
    assert longest_question(tmp_path / "question.txt", "question") == "as it is {caption}"
    with pytest.raises(WeightsError, match="has no text named THIRD"):
        constants(program, ("THIRD",), "question")
    program.write_text("x = (")
    with pytest.raises(WeightsError, match="is not a Python program"):
        longest_question(program, "question")
    program.write_text("x = 1")
    with pytest.raises(WeightsError, match="has no f-string with one field"):
        longest_question(program, "question")


@torch.inference_mode()
def test_hpsv3_is_the_heads_mean_at_the_marked_token(preference: dict[str, Any]) -> None:
    """The reference uses the file's own tensors: words and image in one sequence, positions of a plain text, the head
    by hand."""
    from safetensors.torch import load_file

    settings = make("hpsv3", **{**preference, "pixels": hpsv3.PIXELS})
    settings.check()
    reward = settings.load("cpu", str)
    picture = images()[0]
    [(mean, spread)] = reward.predicted(picture[None], ["a cat"])
    assert reward.score(picture[None], ["a cat"]) == [mean]
    text = filled(tiny_judges.QUESTION, "a cat") + " Rate it: <|Reward|>"
    inputs = reward.chat.question([picture], text)
    assert int(inputs["image_grid_thw"].prod()) * 14**2 == pytest.approx(hpsv3.PIXELS, rel=0.1)
    state, network = load_file(preference["weights"]), reward.chat.model.network
    words = state["model.embed_tokens.weight"][inputs["input_ids"][0]]
    seen = torch.cat(list(network.get_image_features(inputs["pixel_values"], inputs["image_grid_thw"]).pooler_output))
    words[inputs["input_ids"][0] == network.config.image_token_id] = seen
    places = torch.arange(len(words)).expand(3, 1, -1)
    hidden = network.language_model(inputs_embeds=words[None], position_ids=places).last_hidden_state[0]
    mark = reward.chat.processor.tokenizer.convert_tokens_to_ids("<|Reward|>")
    at = hidden[inputs["input_ids"][0] == mark]
    for layer in (0, 3):
        at = (at @ state[f"rm_head.{layer}.weight"].T + state[f"rm_head.{layer}.bias"]).relu()
    last = (at @ state["rm_head.5.weight"].T + state["rm_head.5.bias"])[0].double()
    assert (mean, spread) == (pytest.approx(float(last[0]), rel=1e-4), pytest.approx(float(last[1].exp()), rel=1e-4))


@torch.inference_mode()
def test_hpsv3_reads_weights_under_younger_names(preference: dict[str, Any], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(preference["weights"])
    younger = {
        name
        if name.startswith(("rm_head", "lm_head"))
        else f"model.{name}"
        if name.startswith("visual")
        else name.replace("model.", "model.language_model.", 1): value
        for name, value in state.items()
    }
    save_file(younger, tmp_path / "younger.safetensors")
    other = make("hpsv3", **{**preference, "weights": str(tmp_path / "younger.safetensors")}).load("cpu", str)
    assert other.score(images(1), ["a cat"]) == make("hpsv3", **preference).load("cpu", str).score(images(1), ["a cat"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rm_head.5.weight": None}, "rm_head"),
        ({"model.embed_tokens.weight": None}, r"they are not HPSv3's \(no model.embed_tokens.weight\)"),
        ({"model.layers.0.mlp.up_proj.weight": None}, "the network has no weights for 'language_model.layers.0"),
        ({"more.weight": torch.zeros(2)}, "the network takes no 'more.weight'"),
    ],
)
def test_other_weights_are_refused(
    change: dict[str, Any], message: str, preference: dict[str, Any], tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    state = {**load_file(preference["weights"]), **change}
    save_file({name: value for name, value in state.items() if value is not None}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=message):
        make("hpsv3", **{**preference, "weights": str(tmp_path / "w.safetensors")}).load("cpu", str)


def test_a_question_without_its_places_is_refused(preference: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "q.txt").write_text("How good is {caption}?")
    with pytest.raises(WeightsError, match=r"contains <\|Reward\|> 0 times, but must contain it once"):
        make("hpsv3", **{**preference, "question": str(tmp_path / "q.txt")}).check()
    with pytest.raises(SettingError, match=r"it must contain \{caption\}"):
        make("vqascore", question="Is it good?")


def test_networks_of_other_kinds_and_files_that_lack_are_refused(chat: Path, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"architectures": ["GPT2LMHeadModel"]}')
    with pytest.raises(WeightsError, match="is a GPT2LMHeadModel; known: Qwen2VLForConditionalGeneration"):
        make("vqascore", id=str(tmp_path)).check()
    for file in chat.iterdir():
        if file.name not in ("model.safetensors", "chat_template.jinja"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(WeightsError, match="has no safetensors weights"):
        make("vqascore", id=str(tmp_path)).check()
    (tmp_path / "model.safetensors").write_bytes((chat / "model.safetensors").read_bytes())
    with pytest.raises(WeightsError, match="has no chat template"):
        make("vqascore", id=str(tmp_path)).check()


def test_identities_are_of_the_files(chat: Path, preference: dict[str, Any]) -> None:
    found = make("vqascore", id=str(chat)).identity()
    assert {"model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja"} <= set(found["id"])
    told = make("hpsv3", **preference).identity()
    assert len(told["weights"]) == len(told["question"]) == 64
    assert "tokenizer.json" in told["base"]
